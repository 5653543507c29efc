"""Webhook endpoints, hooks and key sets: do their names lead to addresses that may be reached?"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from streamd.doors.outgoing.address_guard import AddressGuard
from streamd.process.doctor.check_result import CheckResult, failed, ok

if TYPE_CHECKING:
    from streamd.process.config import Config


def check_receivers(config: Config) -> Iterator[CheckResult]:
    """Look up every name; nothing is sent to any."""
    guard = AddressGuard([ip_network(network) for network in config.webhooks.allow_networks])
    urls = {f"webhooks.endpoints {n}": e.url for n, e in enumerate(config.webhooks.endpoints, start=1)}
    urls |= {
        "publish_hook.url": config.publish_hook.url,
        "playback.hook_url": config.playback.hook_url,
        "playback.jwks_url": config.playback.jwks_url,
    }
    for check, url in urls.items():
        if host := urlsplit(url).hostname:
            yield _check(check, host, guard)


def _check(check: str, host: str, guard: AddressGuard) -> CheckResult:
    try:
        addresses = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError as exc:
        return failed(check, f"{host}: {exc.strerror or exc}", "check the host name, and this machine's DNS")
    for address in sorted(addresses):
        if not guard.allows(address):
            return failed(
                check,
                f"{host} is {address}, which is not on the internet",
                f'if it should be reached: webhooks.allow_networks = ["{address}"]',
            )
    return ok(check, f"{host} is {', '.join(sorted(addresses))}")
