"""The configuration: one TOML file, the environment over it, every fault at once.

Each setting is documented by the string under it; ``configs/streamd.toml`` is made from these
(``default_config_text``), so the file and the program cannot disagree. Only ``server.py`` and the
command line see the whole of it: every service takes its own small options.
"""

from __future__ import annotations

import difflib
import json
import os.path
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import ErrorDetails
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from streamd.errors import ConfigError

ENV_PREFIX = "STREAMD_"
RTMP_PORT = 1935
# Where a configuration is looked for when none is named, in this order; without any, the defaults hold.
CONFIG_PATHS = (Path("streamd.toml"), Path("/etc/streamd/streamd.toml"))
MASK = "********"


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


def _check_public_url(value: str) -> str:
    url = urlsplit(value)
    if value and (url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment):
        raise ValueError('write the address that viewers use, for example "https://live.example.org"')
    return value.rstrip("/")


def _check_database_url(value: SecretStr) -> SecretStr:
    if value.get_secret_value():
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


Listen = Annotated[ListenAddress, BeforeValidator(_parse_listen), PlainSerializer(str)]
OptionalListen = Annotated[
    ListenAddress | None,
    BeforeValidator(_parse_optional_listen),
    PlainSerializer(lambda value: "" if value is None else str(value)),
]


class Section(BaseModel):
    """One table of the file: frozen, strict, and with nothing in it that it does not know."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=True,
    )


class ServerConfig(Section):
    """The process."""

    data_dir: Annotated[str, Field(min_length=1)] = "~/.local/share/streamd"
    """Directory for the key database and the admin token; made with mode 0700. `~` is your home;
    a relative path starts at this file."""


class RtmpConfig(Section):
    """Where broadcasters connect."""

    listen: OptionalListen = ListenAddress("", RTMP_PORT)
    """Address for RTMP: `host:port`, or `:port` for all interfaces. Empty: RTMP is off, which needs `tls_listen`."""
    tls_listen: OptionalListen = None
    """Address for RTMPS, customarily port 443. Empty: off."""
    tls_cert: str = ""
    """Certificate chain, PEM. OBS accepts only certificates of a public authority, and no self-signed one."""
    tls_key: str = ""
    """Private key of the certificate, PEM."""


class HttpConfig(Section):
    """Where viewers connect: playlists, media, watch pages, public API."""

    listen: Listen = ListenAddress("", 8080)
    """Address for HTTP, or for HTTPS where a certificate is given."""
    tls_cert: str = ""
    """Certificate chain, PEM. Empty: plain HTTP."""
    tls_key: str = ""
    """Private key of the certificate, PEM."""
    public_url: Annotated[str, AfterValidator(_check_public_url)] = ""
    """How viewers reach this server, for example `https://live.example.org`; used in the URLs that are shown.
    Empty: made of the listen addresses."""


class AdminConfig(Section):
    """Where operators connect: keys, users, live streams, metrics."""

    listen: OptionalListen = ListenAddress("127.0.0.1", 8081)
    """Address for the admin API. Keep it off the internet. Empty: off."""
    token: Annotated[SecretStr, AfterValidator(_check_token)] = SecretStr("")
    """Bearer token of the admin API. Empty: made at first start and kept in `data_dir/admin-token`, mode 0600."""
    hosts: list[str] = []
    """Host names by which browsers may reach the admin API, beside `localhost` and IP addresses (a
    guard against DNS rebinding)."""


class HlsConfig(Section):
    """How a live stream is cut."""

    part_target_ms: Annotated[int, Field(ge=100, le=2000)] = 500
    """Longest part of a segment (PART-TARGET), milliseconds. Players stay about three of them behind."""
    segment_target_ms: Annotated[int, Field(ge=1000, le=10_000)] = 2000
    """Length of a segment, milliseconds; it ends at the first keyframe from there on."""
    window_segments: Annotated[int, Field(ge=4, le=100)] = 7
    """Segments in the playlist, and so how much of the past stays in memory."""
    low_latency: bool = True
    """Offer parts and blocking playlist reload (Low-Latency HLS). Off: plain HLS, a few segments behind."""


class LiveConfig(Section):
    """Live streams."""

    reconnect_window_s: Annotated[float, Field(ge=0, le=1800)] = 30
    """Seconds for which a stream whose connection just ended may be taken up again with the same key."""


class KeysConfig(Section):
    """The key store."""

    database_url: Annotated[SecretStr, AfterValidator(_check_database_url)] = SecretStr("")
    """`postgresql+asyncpg://user:password@host/database`. Empty: SQLite, in `data_dir/streamd.db`."""


class LogConfig(Section):
    """What the server says on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is written."""
    format: Literal["auto", "console", "json"] = "auto"
    """`console` for people, `json` for machines (one object a line), `auto`: console on a terminal, else json."""


class LimitsConfig(Section):
    """Every bound that protects the server."""

    connections_max: Annotated[int, Field(ge=1)] = 2000
    """RTMP connections at once. One that sends nothing yet costs about 20 kB until `handshake_timeout_s`."""
    connections_per_address_max: Annotated[int, Field(ge=1)] = 64
    """RTMP connections at once from one IP address. A studio behind one address has dozens of encoders."""
    streams_max: Annotated[int, Field(ge=1)] = 500
    """Live streams at once. A stream of 6 Mb/s keeps about 15 MB of media in memory with the default window."""
    handshake_timeout_s: Annotated[float, Field(gt=0)] = 10
    """Seconds from the connection to the end of the RTMP handshake: three packets, and a second on a bad line."""
    publish_timeout_s: Annotated[float, Field(gt=0)] = 10
    """Seconds from the handshake to the publish command. Encoders need about ten round trips."""
    verify_timeout_s: Annotated[float, Field(gt=0)] = 5
    """Seconds for the key store's answer; then the publish is refused, and the encoder tries again."""
    failed_publishes_per_address_max: Annotated[int, Field(ge=1)] = 60
    """Failed publishes from one IP address (IPv6: from one /64) in a row, and in each minute after them. Past that,
    keys are refused without being looked up, but for those that are known to be good. A studio behind one address whose
    dozens of encoders all have a wrong key retries less often."""
    failed_publishes_per_key_max: Annotated[int, Field(ge=1)] = 20
    """The same for one key id, from wherever. The right secret is let in however many wrong ones are shown. An encoder
    whose key was revoked retries five times in the first half minute, then less and less."""
    media_timeout_s: Annotated[float, Field(gt=0)] = 15
    """Seconds without media after which a publisher counts as gone. Longer than a reconnect of Wi-Fi, shorter than
    viewers' patience."""
    message_bytes_max: Annotated[int, Field(ge=65_536, le=64 * 1024 * 1024)] = 8 * 1024 * 1024
    """Bytes of one RTMP message, which is one frame. A keyframe of a 50 Mb/s broadcast is about 3 MB."""
    held_bytes_max: Annotated[int, Field(ge=65_536)] = 16 * 1024 * 1024
    """Bytes of unfinished RTMP messages that one connection may hold: two of the largest at once, video and audio
    interleaved."""
    waiting_requests_max: Annotated[int, Field(ge=1)] = 20_000
    """Viewers' requests that wait for the next part or playlist at once. Each costs about 0.6 kB."""
    viewer_connections_max: Annotated[int, Field(ge=1)] = 20_000
    """Viewers' connections at once; one more is closed at once. An idle one costs about 2 kB."""
    viewer_head_timeout_s: Annotated[float, Field(gt=0)] = 10
    """Seconds from the first byte of a viewer's request to the end of its head, which is a packet or two."""
    viewer_idle_timeout_s: Annotated[float, Field(gt=0)] = 75
    """Seconds from one answer to the next request of a viewer's connection: longer than any segment."""
    viewer_write_timeout_s: Annotated[float, Field(gt=0)] = 15
    """Seconds for which a viewer's connection may take nothing of what is sent to it, before it is closed."""
    drain_timeout_s: Annotated[float, Field(ge=0)] = 10
    """Seconds for viewers to fetch the last segments when the server stops."""


class Config(Section):
    """The whole configuration, valid."""

    server: ServerConfig = ServerConfig()
    rtmp: RtmpConfig = RtmpConfig()
    http: HttpConfig = HttpConfig()
    admin: AdminConfig = AdminConfig()
    hls: HlsConfig = HlsConfig()
    live: LiveConfig = LiveConfig()
    keys: KeysConfig = KeysConfig()
    log: LogConfig = LogConfig()
    limits: LimitsConfig = LimitsConfig()

    @property
    def data_dir(self) -> Path:
        """Directory for what the server keeps, absolute."""
        return Path(self.server.data_dir)

    @property
    def database_url(self) -> str:
        """URL of the key store; holds a password where the operator's does."""
        return self.keys.database_url.get_secret_value() or f"sqlite+aiosqlite:///{self.data_dir / 'streamd.db'}"

    @property
    def public_url(self) -> str:
        """How viewers reach the public port, without a slash at the end."""
        if self.http.public_url:
            return self.http.public_url
        scheme, default_port = ("https", 443) if self.http.tls_cert else ("http", 80)
        return _url(scheme, self.http.listen, default_port, "localhost")

    @property
    def rtmp_url(self) -> str:
        """What broadcasters type as server: the stream key is a field of its own."""
        host = urlsplit(self.public_url).hostname or "localhost"
        if self.rtmp.listen is not None:
            return _url("rtmp", self.rtmp.listen, RTMP_PORT, host) + "/live"
        assert self.rtmp.tls_listen is not None
        return _url("rtmps", self.rtmp.tls_listen, 443, host) + "/live"


_SECTIONS: dict[str, type[Section]] = {
    name: annotation
    for name, field in Config.model_fields.items()
    if isinstance(annotation := field.annotation, type) and issubclass(annotation, Section)
}
# Settings that are paths, and so start at the file that names them.
_PATHS = [("server", "data_dir"), *((s, k) for s in ("rtmp", "http") for k in ("tls_cert", "tls_key"))]

_Name = tuple[str, str]
"""Section and key of a setting."""
_Fault = tuple[_Name, str]
"""A setting, and what to write instead."""


def _url(scheme: str, listen: ListenAddress, default_port: int, host_if_any: str) -> str:
    """A URL that reaches a listener; ``host_if_any`` where it listens on all interfaces."""
    host = listen.host if listen.host not in ("", "0.0.0.0", "::") else host_if_any  # noqa: S104  # compared, not bound
    if ":" in host:
        host = f"[{host}]"
    return f"{scheme}://{host}" if listen.port == default_port else f"{scheme}://{host}:{listen.port}"


# -- reading ------------------------------------------------------------------------------------


def find_config(environ: Mapping[str, str]) -> Path | None:
    """The file to read where none is named: ``STREAMD_CONFIG``, else the first of ``CONFIG_PATHS``."""
    if named := environ.get(f"{ENV_PREFIX}CONFIG"):
        return Path(named)
    return next((path for path in CONFIG_PATHS if path.is_file()), None)


def load_config(path: Path | None, *, environ: Mapping[str, str], data_dir: Path | None = None) -> Config:
    """Read the configuration.

    Args:
        path: The file; None for the defaults.
        environ: Environment: ``STREAMD_<SECTION>__<KEY>`` beats the file.
        data_dir: Beats both; from the command line.

    Raises:
        ConfigError: Every fault, each with its place and what to write instead.
    """
    reading = _Reading()
    if path is not None:
        reading.read_file(path)
    reading.read_environment(environ)
    if data_dir is not None:
        reading.set(("server", "data_dir"), str(data_dir), "--data-dir", Path.cwd())
    config = reading.validate()
    if reading.faults:
        raise ConfigError(reading.faults)
    return config


class _Reading:
    """Settings from all sources on their way to one ``Config``, with where each came from."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._values: dict[str, dict[str, object]] = {}
        self._places: dict[_Name, str] = {}
        self._default_place = "default"
        self.set(("server", "data_dir"), ServerConfig().data_dir, self._default_place, Path.cwd())

    def set(self, name: _Name, value: object, place: str, directory: Path) -> None:
        """Take a value for a setting that exists.

        Args:
            name: The setting.
            value: As TOML has it; a path is relative to ``directory``.
            place: Where it stands, for people.
            directory: Where its source is.
        """
        section, key = name
        if name in _PATHS and isinstance(value, str) and value:
            value = os.path.join(directory, os.path.expanduser(value))
        self._values.setdefault(section, {})[key] = value
        self._places[name] = place

    def read_file(self, path: Path) -> None:
        """Take what a TOML file says."""
        try:
            text = path.read_text(encoding="utf-8")
            tables = tomllib.loads(text)
        except OSError as exc:
            self.faults.append(f"{path}: cannot be read: {exc.strerror}")
            return
        except UnicodeDecodeError:
            self.faults.append(f"{path}: is not UTF-8 text")
            return
        except tomllib.TOMLDecodeError as exc:
            place = re.search(r"at line (\d+)", str(exc))
            self.faults.append(f"{path}{f':{place[1]}' if place else ''}: is not TOML: {exc}")
            return
        self._default_place = str(path)
        lines = _find_lines(text)
        directory = path.absolute().parent

        def place_of(*name: str) -> str:
            line = lines.get(name) or lines.get(name[:1])
            return f"{path}:{line}" if line else str(path)

        for section, table in tables.items():
            if section not in _SECTIONS:
                what = f"[{section}]" if isinstance(table, dict) else section
                self._unknown(place_of(section), f"{what} is unknown", section, list(_SECTIONS))
            elif not isinstance(table, dict):
                self.faults.append(f"{place_of(section)}: {section} is a table: write [{section}] and its keys below")
            else:
                for key, value in table.items():
                    self._set_if_known((section, key), value, place_of(section, key), directory)

    def read_environment(self, environ: Mapping[str, str]) -> None:
        """Take what variables say that are named ``STREAMD_<SECTION>__<KEY>``."""
        for variable, text in sorted(environ.items()):
            section, separator, key = variable.removeprefix(ENV_PREFIX).lower().partition("__")
            if not variable.startswith(ENV_PREFIX) or not separator:
                continue
            if section not in _SECTIONS:
                self._unknown(variable, f"section {section} is unknown", section, list(_SECTIONS))
            else:
                field = _SECTIONS[section].model_fields.get(key)
                value = text if field is None else _from_text(text, field.annotation)
                self._set_if_known((section, key), value, variable, Path.cwd())

    def validate(self) -> Config:
        """Check every setting, then how they go together.

        Returns:
            The configuration, with defaults for what is faulty.
        """
        faulty: set[_Name] = set()
        try:
            config = Config.model_validate(self._values)
        except ValidationError as exc:
            for error in exc.errors(include_url=False):
                section, key = str(error["loc"][0]), str(error["loc"][1])
                if (section, key) not in faulty:
                    self._fault((section, key), _advice(error))
                    faulty.add((section, key))
            for section, key in faulty:
                del self._values[section][key]
            config = Config.model_validate(self._values)
        for name, advice in _contradictions(config):
            if name not in faulty:
                self._fault(name, advice)
        return config

    def _set_if_known(self, name: _Name, value: object, place: str, directory: Path) -> None:
        section, key = name
        if key in _SECTIONS[section].model_fields:
            self.set(name, value, place, directory)
        else:
            self._unknown(place, f"{section}.{key} is unknown", key, list(_SECTIONS[section].model_fields))

    def _unknown(self, place: str, what: str, name: str, known: list[str]) -> None:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"write one of {', '.join(known)}"
        self.faults.append(f"{place}: {what}: {hint}")

    def _fault(self, name: _Name, advice: str) -> None:
        section, key = name
        setting = f"{section}.{key}"
        value = self._values.get(section, {}).get(key)
        if name in self._places and not _is_secret(name):
            shown = json.dumps(value, default=str, ensure_ascii=False)
            setting += f" = {shown if len(shown) <= 60 else shown[:59] + '…'}"
        self.faults.append(f"{self._places.get(name, self._default_place)}: {setting}: {advice}")


def _find_lines(text: str) -> dict[tuple[str, ...], int]:
    """Where the tables and keys of a TOML file stand: line by name, from 1.

    ``tomllib`` keeps no lines. This reads line by line and knows no multi-line values, of which our
    settings have none but lists; a name that it misses is told without a line.
    """
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            table = _split_name(header[1])
            lines.setdefault(table, number)
        elif assignment := re.match(r"\s*([\w\s\"'.-]+?)\s*=", line):
            name = table + _split_name(assignment[1])
            for length in range(1, len(name) + 1):
                lines.setdefault(name[:length], number)
    return lines


def _split_name(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _from_text(text: str, annotation: object) -> object:
    """An environment variable's text as TOML would have it; the text itself where it is not that."""
    if annotation == list[str]:
        return [item.strip() for item in text.split(",") if item.strip()]
    if annotation not in (bool, int, float):
        return text
    try:
        value: object = TypeAdapter(annotation).validate_python(text.strip())
    except ValidationError:
        return text
    return value


_ADVICE = {
    "bool_type": "write true or false",
    "int_type": "write a whole number",
    "float_type": "write a number",
    "string_type": "write text in quotes",
    "list_type": 'write a list of texts, for example ["live.example.org"]',
    "string_too_short": "write something",
    "greater_than_equal": "write {ge:.12g} or more",
    "greater_than": "write more than {gt:.12g}",
    "less_than_equal": "write {le:.12g} or less",
    "literal_error": "write one of {expected}",
    "finite_number": "write a finite number",
    # ValueErrors of the validators above say themselves what to write.
    "value_error": "{error}",
}


def _advice(error: ErrorDetails) -> str:
    template = _ADVICE.get(error["type"])
    return template.format(**error.get("ctx", {})) if template else error["msg"]


def _contradictions(config: Config) -> Iterator[_Fault]:
    """Settings that are fine alone and not together."""
    rtmp, http, hls, limits = config.rtmp, config.http, config.hls, config.limits
    if rtmp.listen is None and rtmp.tls_listen is None:
        yield ("rtmp", "listen"), "write an address here or in rtmp.tls_listen; else nobody can broadcast"
    for section, pair, is_needed in (("rtmp", rtmp, rtmp.tls_listen is not None), ("http", http, bool(http.tls_cert))):
        for key, path in (("tls_cert", pair.tls_cert), ("tls_key", pair.tls_key)):
            if path and not Path(path).is_file():
                yield (section, key), "there is no such file"
            elif not path and (is_needed or pair.tls_cert or pair.tls_key):
                yield (section, key), "write the path of a PEM file; TLS needs both tls_cert and tls_key"
    if hls.part_target_ms > hls.segment_target_ms:
        yield ("hls", "part_target_ms"), f"write at most segment_target_ms, {hls.segment_target_ms}"
    if limits.held_bytes_max < limits.message_bytes_max:
        yield ("limits", "held_bytes_max"), f"write at least message_bytes_max, {limits.message_bytes_max}"
    listeners: list[tuple[_Name, ListenAddress | None]] = [
        (("rtmp", "listen"), rtmp.listen),
        (("rtmp", "tls_listen"), rtmp.tls_listen),
        (("http", "listen"), http.listen),
        (("admin", "listen"), config.admin.listen),
    ]
    taken: dict[int, list[tuple[_Name, str]]] = {}
    for name, address in listeners:
        if address is None or address.port == 0:
            continue
        for other, host in taken.get(address.port, []):
            if address.host == host or not address.host or not host:
                yield name, f"port {address.port} is taken by {'.'.join(other)}; write another"
        taken.setdefault(address.port, []).append((name, address.host))


# -- writing ------------------------------------------------------------------------------------


def default_config_text() -> str:
    """The configuration file with every setting at its default and explained; ``configs/streamd.toml``."""
    config = Config()
    paragraphs = [_DEFAULT_HEADER]
    for section, model in _SECTIONS.items():
        settings = [f"# {model.__doc__}\n[{section}]"]
        for key, field in model.model_fields.items():
            comment = textwrap.fill(
                " ".join((field.description or "").split()), 110, initial_indent="# ", subsequent_indent="# "
            )
            settings.append(f"{comment}\n{key} = {_toml(getattr(config, section), key)}")
        paragraphs.append("\n\n".join(settings))
    return "\n\n\n".join(paragraphs) + "\n"


_DEFAULT_HEADER = """\
# streamd's configuration, with every setting at its default.
#
# Keep what you change and leave out the rest. Each setting can also be given in the environment, as
# STREAMD_<SECTION>__<KEY>, for example STREAMD_RTMP__LISTEN; the environment beats this file.
# `streamd config check FILE` finds every fault at once."""


def config_text(config: Config) -> str:
    """A configuration as a TOML file, with its secrets masked."""
    return "\n".join(
        f"[{section}]\n" + "".join(f"{key} = {_toml(getattr(config, section), key)}\n" for key in model.model_fields)
        for section, model in _SECTIONS.items()
    )


def secrets_of(config: Config) -> list[str]:
    """Texts that must not be seen in any log."""
    database_url = config.keys.database_url.get_secret_value()
    password = make_url(database_url).password if database_url else None
    return [text for text in (config.admin.token.get_secret_value(), password) if text]


def _is_secret(name: _Name) -> bool:
    section, key = name
    return _SECTIONS[section].model_fields[key].annotation is SecretStr


def _toml(section: Section, key: str) -> str:
    value = section.model_dump(include={key})[key]
    if isinstance(value, SecretStr):
        value = _masked(value.get_secret_value())
    if isinstance(value, float):
        return f"{value:g}"
    # TOML's booleans, integers, basic strings and lists of these are written as JSON's.
    return json.dumps(value, ensure_ascii=False)


def _masked(secret: str) -> str:
    if "://" in secret:
        return make_url(secret).render_as_string(hide_password=True)
    return MASK if secret else ""
