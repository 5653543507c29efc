"""The place of a target: where its URL leads to, and what the server there is told.

RTMP has no URL scheme of its own; this is the form that YouTube, Twitch, Facebook and encoders use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from streamd.errors import KeyRequestError, RestreamError
from streamd.formats.rtmp.client_connection import PublishAddress
from streamd.services.keys.request import checked_label

URL_CHARS_MAX = 1024
"""Those of large services have fewer than 80."""
STREAM_KEY_CHARS_MAX = 512
"""Facebook's have some 60, Twitch's with options 120."""

_PORTS = {"rtmp": 1935, "rtmps": 443}
# Scheme, user and password, host (an IPv6 address in brackets), port, all behind the host.
_URL = re.compile(
    r"(?P<scheme>[a-z]+)://(?P<user>[^/@]*@)?(?P<host>\[[0-9a-f:.]+\]|[^/?#:@\[\]]+)(?P<port>:\d*)?(?P<rest>[/?#].*)?",
    re.I,
)
_PORT_MAX = 65_535
# RFC 1035 section 2.3.4.
_HOST_CHARS_MAX = 253
_HOST_LABEL_CHARS_MAX = 63


@dataclass(frozen=True, slots=True)
class RestreamPlace:
    """Where a target's server is."""

    host: str
    port: int
    is_tls: bool
    app: str
    url: str
    """As it is shown, and told as ``tcUrl``."""

    def is_served_as(self, other: RestreamPlace) -> bool:
        """Whether the other is on the same server, told as safely: only there may a stream key go on to be sent."""
        return (self.host.lower(), self.port, self.is_tls) == (other.host.lower(), other.port, other.is_tls)

    def address(self, stream_key: str) -> PublishAddress:
        """The words of the connection."""
        return PublishAddress(self.app, self.url, stream_key)


def read_place(url: str) -> RestreamPlace:
    """Read a target's URL.

    Args:
        url: ``rtmp://HOST[:PORT]/APP`` or ``rtmps://…``, without the stream key.

    Raises:
        RestreamError: It is none; the text says why.
    """
    text = url.strip()
    if len(text) > URL_CHARS_MAX:
        raise RestreamError("url", f"has {len(text)} characters, {URL_CHARS_MAX} allowed")
    if not _is_plain(text):
        raise RestreamError("url", "has a space or a sign that no URL has")
    parts = _URL.fullmatch(text)
    scheme = parts["scheme"].lower() if parts is not None else ""
    if parts is None or scheme not in _PORTS:
        raise RestreamError("url", "is no address of a server; the form is rtmp://HOST/APP or rtmps://HOST/APP")
    if parts["user"] is not None or "#" in text:
        raise RestreamError("url", "has a user, a password or a fragment, which RTMP has no place for")
    port = int(parts["port"][1:] or 0) if parts["port"] else _PORTS[scheme]
    if not 0 < port <= _PORT_MAX:
        raise RestreamError("url", "has a port that cannot be")
    app = (parts["rest"] or "").strip("/")
    if not app or app.startswith("?"):
        raise RestreamError(
            "url", "has no application; the form is rtmp://HOST/APP, and the stream key stands by itself"
        )
    host = parts["host"]
    labels = host.removesuffix(".").split(".")
    if len(host) > _HOST_CHARS_MAX or not all(0 < len(label) <= _HOST_LABEL_CHARS_MAX for label in labels):
        raise RestreamError("url", "has a host that no server can have")
    where = host if port == _PORTS[scheme] else f"{host}:{port}"
    return RestreamPlace(
        host=host.strip("[]"), port=port, is_tls=scheme == "rtmps", app=app, url=f"{scheme}://{where}/{app}"
    )


def check_stream_key(stream_key: str) -> str:
    """Check the stream key of a target.

    Returns:
        It, without spaces around.

    Raises:
        RestreamError: It is none; the text has nothing of it.
    """
    text = stream_key.strip()
    if not text:
        raise RestreamError("stream_key", "is empty")
    if len(text) > STREAM_KEY_CHARS_MAX:
        raise RestreamError("stream_key", f"has {len(text)} characters, {STREAM_KEY_CHARS_MAX} allowed")
    if not _is_plain(text):
        raise RestreamError("stream_key", "has a space or a sign that no stream key has")
    return text


def check_apart(place: RestreamPlace, stream_key: str) -> None:
    """Check that the stream key is not a part of the URL, which everybody would see.

    Raises:
        RestreamError: It is.
    """
    if stream_key in place.app.split("/"):
        raise RestreamError("url", "has the stream key in it, which stands by itself")


def check_label(label: str, stream_key: str) -> str:
    """Check the label of a target.

    Args:
        label: For people; it stands in lists, events and logs.
        stream_key: The secret of the target.

    Returns:
        It, without spaces around.

    Raises:
        RestreamError: It is no line of text, or has a stream key in it.
    """
    try:
        text = checked_label(label)
    except KeyRequestError as exc:
        raise RestreamError("label", str(exc)) from exc
    if stream_key in text:
        raise RestreamError("label", "holds the stream key, which everybody would see")
    return text


def hint_of(stream_key: str) -> str:
    """The end of a stream key, by which its owner knows it; of a short one nothing."""
    return f"…{stream_key[-4:]}" if len(stream_key) >= 12 else "…"


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
