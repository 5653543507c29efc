"""The texts of settings, checked: addresses, URLs and tokens, each fault with what to write instead.

A command that asks a server reads the configuration too, so SQLAlchemy, which knows database URLs, is loaded where
there is one to read.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, SecretStr

from streamd.services.obs.ladder import RUNGS_MAX, Rung
from streamd.services.playback.claims import is_host_pattern
from streamd.services.storage.place import Place, keep_local_days

# A process of some 100 MB each; larger machines are better divided, by containers for one.
WORKERS_MAX = 64
# Standard Webhooks 1.0.0, "Signature scheme": at least 192 bits, at most 512.
WEBHOOK_SECRET_BYTES = range(24, 65)


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where a listener binds."""

    host: str
    """Name or IP address without brackets; empty for all interfaces."""
    port: int
    """Port; 0 for any that is free."""

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """Read ``host:port``, ``:port`` or ``[IPv6]:port``.

        Raises:
            ValueError: It is none of these.
        """
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/\s]*)):(\d{1,5})", text)
        if match is None or int(match[3]) > 65535:
            raise ValueError('write host:port, for example "127.0.0.1:8080", or ":8080" for all interfaces')
        return cls(host=match[1] or match[2] or "", port=int(match[3]))

    def __str__(self) -> str:
        """As it is written in the file."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _parse_listen(value: object) -> ListenAddress:
    return value if isinstance(value, ListenAddress) else ListenAddress.parse(str(value))


def _parse_optional_listen(value: object) -> ListenAddress | None:
    return None if value is None or value == "" else _parse_listen(value)


def _parse_workers(value: object) -> object:
    """A number as the environment has it; all else as it is."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"\d{1,4}", value) else value


def _check_workers(value: int | str) -> int | str:
    if value != "auto" and not (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= WORKERS_MAX):
        raise ValueError(f'write a number from 1 to {WORKERS_MAX}, or "auto" for one worker a core')
    return value


def _check_public_url(value: str) -> str:
    url = urlsplit(value)
    is_whole = url.scheme in ("http", "https") and url.hostname and _check_port(url) and not re.search(r"\s", value)
    if value and (not is_whole or url.query or url.fragment or "@" in value):
        raise ValueError('write the address that viewers use, for example "https://live.example.org"')
    return value.rstrip("/")


def _check_nats_url(value: SecretStr) -> SecretStr:
    for url in filter(None, (each.strip() for each in value.get_secret_value().split(","))):
        parts = _split_url(url)
        if parts is None or parts.scheme not in ("nats", "tls") or not parts.hostname:
            raise ValueError("write nats://host:port or tls://host:port, several separated by commas")
    return value


def _check_node_name(value: str) -> str:
    if value and not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", value):
        raise ValueError("write up to 63 small letters, digits and -, as in a host's name")
    return value


def _check_node_url(value: str) -> str:
    parts = _split_url(value) if value else None
    if value and (
        parts is None or parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query
    ):
        raise ValueError("write http://host:port, where the other nodes reach cluster.listen")
    return value


def _split_url(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        # Reading it finds one that is none.
        _ = parts.port
    except ValueError:
        return None
    return parts


def _check_database_url(value: SecretStr) -> SecretStr:
    if value.get_secret_value():
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            driver = make_url(value.get_secret_value()).drivername
        except ArgumentError:
            driver = ""
        if driver not in ("postgresql+asyncpg", "sqlite+aiosqlite"):
            raise ValueError("write postgresql+asyncpg://user:password@host/database, or nothing for SQLite")
    return value


def _check_token(value: SecretStr) -> SecretStr:
    token = value.get_secret_value()
    if token and (len(token) < 20 or not re.fullmatch(r"[A-Za-z0-9._~+/=-]+", token)):
        raise ValueError("write at least 20 letters, digits or ._~+/=-, or nothing to have one made")
    return value


def _check_ladder(value: list[str]) -> list[str]:
    if len(value) > RUNGS_MAX:
        raise ValueError(f"write at most {RUNGS_MAX} video tracks")
    for rung in value:
        Rung.parse(rung)
    return value


def _check_receiver_url(value: str) -> str:
    url = urlsplit(value)
    is_whole = url.scheme in ("http", "https") and url.hostname and _check_port(url) and not re.search(r"\s", value)
    if value and (not is_whole or "@" in url.netloc or url.fragment):
        raise ValueError('write a URL without user and password, for example "https://example.org/streamd"')
    return value


def _check_webhook_secret(value: SecretStr) -> SecretStr:
    prefix, _, encoded = value.get_secret_value().partition("_")
    try:
        length = len(base64.b64decode(encoded, validate=True))
    except binascii.Error:
        length = 0
    if value.get_secret_value() and (prefix != "whsec" or length not in WEBHOOK_SECRET_BYTES):
        raise ValueError("write whsec_ and 24 to 64 random bytes in base64: echo whsec_$(openssl rand -base64 32)")
    return value


def _check_hosts(value: list[str]) -> list[str]:
    for text in value:
        # RFC 1123 2.1; names are compared whole, with the Host field that a browser sends.
        if not re.fullmatch(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?)+", text) or len(text) > 253:
            raise ValueError(
                f'"{text}" is no host name: write whole names without port, such as "admin.example.org" '
                "(in punycode where it has other letters); there are no wildcards"
            )
    return value


def _check_storage_url(value: str) -> str:
    if value:
        Place.parse(value)
    return value


def _check_endpoint(value: str) -> str:
    url = urlsplit(value)
    is_whole = url.scheme in ("http", "https") and url.hostname and _check_port(url) and not re.search(r"\s", value)
    if value and (not is_whole or "@" in url.netloc or url.query or url.fragment):
        raise ValueError('write the URL of the service, without user and password, such as "https://s3.example.org"')
    return value.rstrip("/")


def _check_keep_local(value: str) -> str:
    keep_local_days(value)
    return value


def _check_serve(value: str) -> str:
    if value not in ("proxy", "redirect"):
        url = urlsplit(value)
        is_whole = url.scheme in ("http", "https") and url.hostname and _check_port(url) and not re.search(r"\s", value)
        if not is_whole or "@" in url.netloc or url.query or url.fragment:
            raise ValueError('write "proxy", "redirect" or the URL at which the bucket is public')
    return value.rstrip("/")


def _check_host_patterns(value: list[str]) -> list[str]:
    for text in value:
        if not is_host_pattern(text):
            raise ValueError(f'"{text}" is no host: write names without port, such as "example.org" or "*.example.org"')
    return value


def _check_countries(value: list[str]) -> list[str]:
    for text in value:
        if not re.fullmatch(r"[A-Z]{2}", text):
            raise ValueError(f'"{text}" is no country: write two capital letters (ISO 3166), such as "DE"')
    return value


def _check_flaggers(value: list[str]) -> list[str]:
    for text in value:
        if not re.fullmatch(r"[^=\s][^=]{0,63}=[0-9a-f]{64}", text):
            raise ValueError(
                "write a name, = and the SHA-256 of the token in hexadecimal digits; "
                "streamd cases flagger NAME prints both"
            )
    return value


def _check_receiver_urls(value: list[str]) -> list[str]:
    for text in value:
        if not text or _check_receiver_url(text) != text:
            raise ValueError('write URLs, for example ["http://127.0.0.1:6081"]')
    return value


def _check_port(url: SplitResult) -> bool:
    """Return True for a URL whose port is one.

    Raises:
        ValueError: It is none; the text says what to write.
    """
    try:
        is_port = url.port != 0
    except ValueError:
        is_port = False
    if not is_port:
        raise ValueError("write a port from 1 to 65535 in the URL, or none")
    return True


def _check_networks(value: list[str]) -> list[str]:
    for text in value:
        try:
            ip_network(text)
        except ValueError as exc:
            raise ValueError(f'{exc}: write networks, for example ["127.0.0.0/8", "10.1.0.0/16"]') from exc
    return value


Listen = Annotated[ListenAddress, BeforeValidator(_parse_listen), PlainSerializer(str)]
OptionalListen = Annotated[
    ListenAddress | None,
    BeforeValidator(_parse_optional_listen),
    PlainSerializer(lambda value: "" if value is None else str(value)),
]
Workers = Annotated[int | str, BeforeValidator(_parse_workers), AfterValidator(_check_workers)]
NatsUrl = Annotated[SecretStr, AfterValidator(_check_nats_url)]
NodeName = Annotated[str, AfterValidator(_check_node_name)]
NodeUrl = Annotated[str, AfterValidator(_check_node_url)]
PublicUrl = Annotated[str, AfterValidator(_check_public_url)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_check_database_url)]
Token = Annotated[SecretStr, AfterValidator(_check_token)]
Ladder = Annotated[list[str], AfterValidator(_check_ladder)]
ReceiverUrl = Annotated[str, AfterValidator(_check_receiver_url)]
WebhookSecret = Annotated[SecretStr, AfterValidator(_check_webhook_secret)]
StorageUrl = Annotated[str, AfterValidator(_check_storage_url)]
Endpoint = Annotated[str, AfterValidator(_check_endpoint)]
KeepLocal = Annotated[str, AfterValidator(_check_keep_local)]
Serve = Annotated[str, AfterValidator(_check_serve)]
Hosts = Annotated[list[str], AfterValidator(_check_hosts)]
Networks = Annotated[list[str], AfterValidator(_check_networks)]
HostPatterns = Annotated[list[str], AfterValidator(_check_host_patterns)]
Countries = Annotated[list[str], AfterValidator(_check_countries)]
Flaggers = Annotated[list[str], AfterValidator(_check_flaggers)]
ReceiverUrls = Annotated[list[str], AfterValidator(_check_receiver_urls)]
