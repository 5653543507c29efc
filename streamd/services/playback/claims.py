"""The claims of a token, read strictly.

A claim that is known and has another form than it should is a refusal, whatever the signer meant by it; one that is not
known is left alone.

Spec: RFC 7519 section 4 (JWT claims); ``uid``, ``max``, ``ip``, ``cc``, ``ref`` and ``dvr`` are ours.
"""

from __future__ import annotations

import enum
import ipaddress
import json
import math
import re
from dataclasses import dataclass
from typing import Any, Final

from streamd.services.playback.refusal import Refusal

# RFC 3339 ends with the year 9999; a double has each of its seconds.
NUMERIC_DATE_MAX: Final = 253_402_300_799
# How long a token of the server's own is good for at the most.
TOKEN_S_MAX: Final = 366 * 86_400
# An id of a token or a viewer: a UUID has 36, a mail address rarely 60.
ID_CHARS_MAX: Final = 128
# Viewers at once that a claim may allow; a ticket has two bytes for it.
VIEWERS_MAX: Final = 65_535
# A ticket has the networks in it, 5 or 17 bytes each.
NETWORKS_MAX: Final = 4
# More countries than there are.
COUNTRIES_MAX: Final = 256
REFERRERS_MAX: Final = 32

_COUNTRY = re.compile(r"[A-Za-z]{2}")
_HOST = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9._-]{0,251}[a-z0-9])?")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Audience(enum.IntFlag):
    """The kinds of media that a token is for (``aud``)."""

    VIDEO = 1
    """``v``: playlists, media, HTTP-FLV, MP4."""
    THUMBNAIL = 2
    """``t``: posters."""
    STORYBOARD = 4
    """``s``: pictures along a timeline."""
    CLIP = 8
    """``c``: making clips."""


_AUDIENCES: Final = {
    "v": Audience.VIDEO.value,
    "t": Audience.THUMBNAIL.value,
    "s": Audience.STORYBOARD.value,
    "c": Audience.CLIP.value,
}


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of one token."""

    subject: str
    """Channel or recording (``sub``)."""
    expires_at: float
    """Unix time, seconds (``exp``)."""
    not_before: float = 0.0
    """Unix time, seconds (``nbf``)."""
    issued_at: float = 0.0
    """Unix time, seconds (``iat``); where it is left out, ``nbf``, or 0."""
    audience: Audience = Audience.VIDEO
    """The media that the token opens (``aud``)."""
    jti: str = ""
    """The token's id."""
    uid: str = ""
    """The viewer, in the words of the token's issuer."""
    viewers_max: int = 0
    """Viewers at once of this ``uid``, or else of this token (``max``); 0: no bound."""
    networks: tuple[Network, ...] = ()
    """Networks in which it is good (``ip``); none: everywhere."""
    countries: frozenset[str] = frozenset()
    """Likewise (``cc``), capital letters."""
    referrers: tuple[str, ...] = ()
    """Hosts of the pages that may show it (``ref``), ``*.example.org`` for those below one; none: all."""
    may_go_back: bool = True
    """It opens the past of a live channel too (``dvr``)."""


def read_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object that has one meaning for every reader.

    Args:
        data: UTF-8, of bounded length.

    Raises:
        PlaybackRefusedError: It is none, names something twice, or has a number that is none.
    """
    try:
        value = _JSON.decode(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Refusal.MALFORMED.error() from None
    if not isinstance(value, dict):
        raise Refusal.MALFORMED.error()
    return value


def read_claims(payload: dict[str, Any], *, issuer: str = "", audience: str = "") -> Claims:
    """Read the claims of a token whose signature is right.

    Args:
        payload: As ``read_object`` gives it.
        issuer: The ``iss`` that a token needs; empty: any, or none.
        audience: A word that ``aud`` has to contain; empty: none. The letters v, t, s and c in ``aud`` say which media
            the token opens; without one of them it opens video.

    Raises:
        PlaybackRefusedError: A claim is missing or has the wrong form, or is of another issuer or for another audience.
    """
    if issuer and payload.get("iss") != issuer:
        raise Refusal.ISSUER.error()
    not_before = _date(payload, "nbf", 0.0)
    return Claims(
        subject=_text(payload, "sub", is_required=True),
        expires_at=_date(payload, "exp", None),
        not_before=not_before,
        issued_at=_date(payload, "iat", not_before),
        audience=_audience(payload, audience),
        jti=_text(payload, "jti"),
        uid=_text(payload, "uid"),
        viewers_max=_count(payload, "max"),
        networks=_networks(payload),
        countries=_countries(payload),
        referrers=_referrers(payload),
        may_go_back=_flag(payload, "dvr"),
    )


def is_host_pattern(text: str) -> bool:
    """Whether a text names a host, or with ``*.`` those below one; small letters, without a port."""
    return _HOST.fullmatch(text) is not None


def allows_host(patterns: tuple[str, ...], host: str) -> bool:
    """Whether a host is one of those that are named.

    Args:
        patterns: As ``is_host_pattern`` has them.
        host: Small letters, without a port.
    """
    return any(
        host == pattern or (pattern.startswith("*.") and host.endswith(pattern[1:]) and host != pattern[2:])
        for pattern in patterns
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # RFC 7519 4: "The Claim Names within a JWT Claims Set MUST be unique".
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _no_number(_: str) -> None:
    # RFC 8259 6: "Numeric values that cannot be represented in the grammar (such as Infinity and NaN) are not
    # permitted."
    raise ValueError


# One for all: ``json.loads`` makes one for each text.
_JSON: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_number)


def _text(payload: dict[str, Any], name: str, *, is_required: bool = False) -> str:
    value = payload.get(name, "")
    if not isinstance(value, str) or len(value) > ID_CHARS_MAX or (is_required and not value):
        raise Refusal.MALFORMED.error()
    if not value.isprintable():
        raise Refusal.MALFORMED.error()
    return value


def _date(payload: dict[str, Any], name: str, default: float | None) -> float:
    value = payload.get(name, default)
    # A bool is an int to Python, and no date. 1e400 is infinite once it is read.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refusal.MALFORMED.error()
    if not (isinstance(value, int) or math.isfinite(value)) or not 0 <= value <= NUMERIC_DATE_MAX:
        raise Refusal.MALFORMED.error()
    return float(value)


def _count(payload: dict[str, Any], name: str) -> int:
    if name not in payload:
        return 0
    value = payload[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= VIEWERS_MAX:
        raise Refusal.MALFORMED.error()
    return value


def _flag(payload: dict[str, Any], name: str) -> bool:
    value = payload.get(name, True)
    if not isinstance(value, bool):
        raise Refusal.MALFORMED.error()
    return value


def _texts(payload: dict[str, Any], name: str, count_max: int) -> list[str]:
    """A claim that is a text or a list of texts; none where it is left out."""
    if name not in payload:
        return []
    value = payload[name]
    values = [value] if isinstance(value, str) else value
    # An empty list allows nothing, and is a slip: leaving the claim out allows everything.
    if not isinstance(values, list) or not 0 < len(values) <= count_max:
        raise Refusal.MALFORMED.error()
    if not all(isinstance(each, str) and 0 < len(each) <= ID_CHARS_MAX * 2 for each in values):
        raise Refusal.MALFORMED.error()
    return values


def _audience(payload: dict[str, Any], wanted: str) -> Audience:
    values = _texts(payload, "aud", len(_AUDIENCES) * 4)
    if wanted and wanted not in values:
        raise Refusal.AUDIENCE.error()
    found = 0
    for value in values:
        found |= _AUDIENCES.get(value, 0)
    if values and not found and not wanted:
        # It is for something else than media of ours.
        raise Refusal.AUDIENCE.error()
    return Audience(found) if found else Audience.VIDEO


def _networks(payload: dict[str, Any]) -> tuple[Network, ...]:
    texts = _texts(payload, "ip", NETWORKS_MAX)
    if any("%" in text for text in texts):
        # An address of one link (RFC 4007) is nobody's on the internet.
        raise Refusal.MALFORMED.error()
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError:
        raise Refusal.MALFORMED.error() from None


def _countries(payload: dict[str, Any]) -> frozenset[str]:
    values = _texts(payload, "cc", COUNTRIES_MAX)
    if not all(_COUNTRY.fullmatch(value) for value in values):
        raise Refusal.MALFORMED.error()
    return frozenset(value.upper() for value in values)


def _referrers(payload: dict[str, Any]) -> tuple[str, ...]:
    values = tuple(value.lower() for value in _texts(payload, "ref", REFERRERS_MAX))
    if not all(is_host_pattern(value) for value in values):
        raise Refusal.MALFORMED.error()
    return values
