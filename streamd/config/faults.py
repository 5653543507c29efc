"""What is wrong with settings, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic_core import ErrorDetails

from streamd.config.sections import Config, Name
from streamd.config.values import ListenAddress

Fault = tuple[Name, str]
"""A setting, and what to write instead."""

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


def advice_on(error: ErrorDetails) -> str:
    """What to write instead of what pydantic refused."""
    template = _ADVICE.get(error["type"])
    return template.format(**error.get("ctx", {})) if template else error["msg"]


def contradictions(config: Config) -> Iterator[Fault]:
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
    listeners: list[tuple[Name, ListenAddress | None]] = [
        (("rtmp", "listen"), rtmp.listen),
        (("rtmp", "tls_listen"), rtmp.tls_listen),
        (("http", "listen"), http.listen),
        (("admin", "listen"), config.admin.listen),
    ]
    taken: dict[int, list[tuple[Name, str]]] = {}
    for name, address in listeners:
        if address is None or address.port == 0:
            continue
        for other, host in taken.get(address.port, []):
            if address.host == host or not address.host or not host:
                yield name, f"port {address.port} is taken by {'.'.join(other)}; write another"
        taken.setdefault(address.port, []).append((name, address.host))
