"""The faults of settings, each with a text to write instead."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from pydantic_core import ErrorDetails

from streamd.doors.outgoing.address_guard import AddressGuard
from streamd.process.config.sections import Config, ModerationConfig, Name, PlaybackConfig, PublishHookConfig
from streamd.process.config.values import ListenAddress
from streamd.services.storage.place import Place, Scheme

Fault = tuple[Name, str]
"""A setting, and what to write instead."""

_ADVICE = {
    "bool_type": "write true or false",
    "int_type": "write a whole number",
    "float_type": "write a number",
    "string_type": "write text in quotes",
    "list_type": 'write a list of texts, for example ["live.example.org"]',
    "model_type": "write a table",
    "missing": "is missing",
    "extra_forbidden": "is unknown",
    "too_short": "write something",
    "enum": "write one of {expected}",
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
    """Return what to write in place of a value that pydantic refused."""
    template = _ADVICE.get(error["type"])
    advice = template.format(**error.get("ctx", {})) if template else error["msg"]
    # Of a list of tables: which one, counted as people do, and which of its keys.
    inner = [f"number {part + 1}" if isinstance(part, int) else part for part in error["loc"][2:]]
    return ": ".join((", ".join(inner), advice)) if inner else advice


def contradictions(config: Config, endpoint_urls: Sequence[str]) -> Iterator[Fault]:
    """Settings that are fine alone and not together.

    Args:
        config: With the defaults in place of what is faulty by itself.
        endpoint_urls: Of all webhooks, those with another fault included.
    """
    rtmp, http, hls, limits = config.rtmp, config.http, config.hls, config.limits
    if rtmp.listen is None and rtmp.tls_listen is None:
        yield ("rtmp", "listen"), "write an address here or in rtmp.tls_listen; else nobody can broadcast"
    for section, pair, is_needed in (("rtmp", rtmp, rtmp.tls_listen is not None), ("http", http, bool(http.tls_cert))):
        for key, path in (("tls_cert", pair.tls_cert), ("tls_key", pair.tls_key)):
            if path and _is_missing(path):
                yield (section, key), "there is no such file"
            elif not path and (is_needed or pair.tls_cert or pair.tls_key):
                yield (section, key), "write the path of a PEM file; TLS needs both tls_cert and tls_key"
    if http.proxy_protocol and not http.trusted_proxies:
        yield (
            ("http", "proxy_protocol"),
            "name the proxies in http.trusted_proxies; a header is believed from nobody else",
        )
    if hls.part_target_ms > hls.segment_target_ms:
        yield ("hls", "part_target_ms"), f"write at most segment_target_ms, {hls.segment_target_ms}"
    if limits.held_bytes_max < limits.message_bytes_max:
        yield ("limits", "held_bytes_max"), f"write at least message_bytes_max, {limits.message_bytes_max}"
    yield from _faults_of_hook(config.publish_hook)
    yield from _faults_of_storage(config)
    yield from _faults_of_playback(config.playback)
    yield from _faults_of_moderation(config.moderation)
    yield from _faults_of_cluster(config)
    yield from _faults_of_workers(config)
    receivers = [
        ("webhooks", "endpoints", f"number {number}, url: ", url) for number, url in enumerate(endpoint_urls, start=1)
    ]
    guard = AddressGuard([ip_network(text) for text in config.webhooks.allow_networks])
    receivers += [
        ("publish_hook", "url", "", config.publish_hook.url),
        ("playback", "hook_url", "", config.playback.hook_url),
        ("playback", "jwks_url", "", config.playback.jwks_url),
    ]
    for section, key, which, url in receivers:
        host = _host_of(url)
        if _is_address(host) and not guard.allows(host):
            yield (section, key), f"{which}{host} is not on the internet; name its network in webhooks.allow_networks"
    listeners: list[tuple[Name, ListenAddress | None]] = [
        (("rtmp", "listen"), rtmp.listen),
        (("rtmp", "tls_listen"), rtmp.tls_listen),
        (("http", "listen"), http.listen),
        (("admin", "listen"), config.admin.listen),
        (("cluster", "listen"), config.cluster.listen),
    ]
    taken: dict[int, list[tuple[Name, str]]] = {}
    for name, address in listeners:
        if address is None or address.port == 0:
            continue
        for other, host in taken.get(address.port, []):
            if address.host == host or not address.host or not host:
                yield name, f"port {address.port} is taken by {'.'.join(other)}; write another"
        taken.setdefault(address.port, []).append((name, address.host))


def _faults_of_workers(config: Config) -> Iterator[Fault]:
    """What several workers on one data directory cannot share."""
    if config.server.workers_count == 1:
        return
    for (section, key), is_on in (
        (("recording", "mode"), config.recording.mode != "off"),
        (("dvr", "window_s"), config.dvr.window_s > 0),
        (("cluster", "nats_url"), bool(config.cluster.nats_url.get_secret_value())),
    ):
        if is_on:
            yield (
                ("server", "workers"),
                f"write 1, or leave {section}.{key} out: several workers cannot do it yet; on several machines, "
                "run one server on each",
            )


def _faults_of_hook(hook: PublishHookConfig) -> Iterator[Fault]:
    if hook.url and hook.format == "streamd" and not hook.secret.get_secret_value():
        yield ("publish_hook", "secret"), "write the secret that the hook knows; what it is asked is signed with it"
    if not hook.decides:
        if hook.format != "streamd":
            yield ("publish_hook", "format"), "is the form of a hook that decides alone; write decides = true as well"
        return
    if not hook.url:
        yield ("publish_hook", "url"), "write the URL of the service that decides; else nobody can go live"
    if hook.on_failure == "allow":
        yield (
            ("publish_hook", "on_failure"),
            "write deny; where the hook decides alone, nothing else has checked the key",
        )
    if hook.url.startswith("http:") and not _is_this_machine(_host_of(hook.url)):
        yield ("publish_hook", "url"), "write https://, or an address of this machine; stream keys go there"


def _faults_of_storage(config: Config) -> Iterator[Fault]:
    storage = config.storage
    if not storage.url:
        return
    scheme, secret = Place.parse(storage.url).scheme, storage.secret_access_key_file
    if importlib.util.find_spec("obstore") is None:
        yield ("storage", "url"), "needs obstore, which is not installed: pip install 'streamd[storage]'"
    if secret and _is_missing(secret):
        yield ("storage", "secret_access_key_file"), "there is no such file"
    if scheme in (Scheme.S3, Scheme.AZURE) and secret and not storage.access_key_id:
        whose = "of the access key" if scheme is Scheme.S3 else "of the account"
        yield ("storage", "access_key_id"), f"write the name {whose} whose secret is in secret_access_key_file"
    elif scheme is Scheme.AZURE and not storage.access_key_id:
        yield ("storage", "access_key_id"), "write the name of the account"
    elif scheme is Scheme.S3 and storage.access_key_id and not secret:
        yield ("storage", "secret_access_key_file"), "write the path of a file with the secret of the access key"
    if scheme is Scheme.FILE:
        directory, recordings = Path(Place.parse(storage.url).prefix), config.recordings_dir
        if directory == recordings or directory in recordings.parents or recordings in directory.parents:
            yield ("storage", "url"), "write a directory that has nothing to do with recording.dir"
        if storage.serve == "redirect":
            yield ("storage", "serve"), "write proxy, or a public URL; a directory gives no addresses away"
        for key in ("endpoint", "access_key_id", "secret_access_key_file", "storage_class"):
            if getattr(storage, key):
                yield ("storage", key), "leave it out; a directory has none"


def _faults_of_playback(playback: PlaybackConfig) -> Iterator[Fault]:
    if playback.hook_url and not playback.hook_secret.get_secret_value():
        yield ("playback", "hook_secret"), "write the secret that the hook knows; what it is asked is signed with it"
    if playback.policy == "hook" and not playback.hook_url:
        yield ("playback", "hook_url"), "write the URL of the service that decides; else nobody can watch"
    if playback.policy == "password":
        yield ("playback", "policy"), "a password belongs to a channel: streamd playback lock NAME --password"
    if playback.blocked_countries and not playback.geoip_file:
        yield ("playback", "geoip_file"), "write the path of a country database; without one no country is known"
    if playback.geoip_file and _is_missing(playback.geoip_file):
        yield ("playback", "geoip_file"), "there is no such file"


def _faults_of_moderation(moderation: ModerationConfig) -> Iterator[Fault]:
    if not moderation.enabled:
        return
    for path in moderation.hash_lists:
        if _is_missing(path):
            yield ("moderation", "hash_lists"), f"there is no such file: {path}"
    if moderation.classifier not in ("", "nudenet") and _is_missing(moderation.classifier):
        yield ("moderation", "classifier"), "write nudenet, or the path of an ONNX file; there is no such file"


def _faults_of_cluster(config: Config) -> Iterator[Fault]:
    cluster = config.cluster
    if not cluster.nats_url.get_secret_value():
        return
    if importlib.util.find_spec("nats") is None:
        yield ("cluster", "nats_url"), "needs nats-py, which is not installed: pip install 'streamd[cluster]'"
    if not config.keys.database_url.get_secret_value():
        yield (
            ("keys", "database_url"),
            "write the PostgreSQL that all nodes of the cluster have; SQLite is one machine's",
        )
    if cluster.listen is None:
        yield ("cluster", "listen"), "write the address at which other nodes fetch streams, such as 10.0.0.11:8082"
    if not cluster.advertise:
        yield ("cluster", "advertise"), "write the URL at which other nodes reach cluster.listen"
    if not cluster.secret_file:
        yield ("cluster", "secret_file"), "write the path of a file with a secret that all nodes have"
    elif _is_missing(cluster.secret_file):
        yield ("cluster", "secret_file"), "there is no such file"
    if cluster.nats_credentials_file and _is_missing(cluster.nats_credentials_file):
        yield ("cluster", "nats_credentials_file"), "there is no such file"


def _is_this_machine(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def _is_missing(path: str) -> bool:
    """Whether there is no such file, as far as this user may know: a certificate's key may be the server's alone."""
    try:
        return not Path(path).is_file()
    except PermissionError:
        return False


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
