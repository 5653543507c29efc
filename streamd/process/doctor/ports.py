"""The ports: free to be bound, or held by the server that runs."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from streamd.process.doctor.check_result import CheckResult, failed, ok, warning

if TYPE_CHECKING:
    from streamd.process.config import Config, ListenAddress
    from streamd.process.data_dir import RunningServer

CONNECT_TIMEOUT_S = 3.0
_ADVICE = {
    errno.EADDRINUSE: "end what listens there (ss -ltnp names it), or choose another port",
    errno.EACCES: "ports under 1024 need CAP_NET_BIND_SERVICE, as configs/ has it, or a proxy in front",
    errno.EADDRNOTAVAIL: "write an address of this machine (ip address lists them), or :port for all",
}


def check_ports(config: Config, server: RunningServer | None) -> Iterator[CheckResult]:
    """Look at every listener that is configured.

    Args:
        config: Where they are.
        server: The server that runs on the data directory; its ports have to answer instead of being free.
    """
    listeners = {
        "rtmp.listen": config.rtmp.listen,
        "rtmp.tls_listen": config.rtmp.tls_listen,
        "http.listen": config.http.listen,
        "admin.listen": config.admin.listen,
    }
    for check, address in listeners.items():
        if address is not None and address.port:
            yield _answers(check, address) if server is not None else _is_free(check, address)
    broadcasters = config.rtmp.listen or config.rtmp.tls_listen
    if broadcasters is not None and not _is_loopback(broadcasters.host):
        host = urlsplit(config.rtmp_url).hostname or ""
        if _is_loopback(host) and not config.http.public_url:
            yield warning(
                "http.public_url",
                f"broadcasters are shown {config.rtmp_url}, which is their own machine",
                "write how viewers reach this server, for example https://live.example.org",
            )
    if config.admin.listen is not None and not _is_loopback(config.admin.listen.host):
        yield warning(
            "admin.listen",
            f"{config.admin.listen} can be reached from other machines",
            "listen on 127.0.0.1, or see that a firewall lets only operators through",
        )


def _is_free(check: str, address: ListenAddress) -> CheckResult:
    try:
        with contextlib.ExitStack() as bound:
            for family, _, _, _, sockaddr in _addresses(address, socket.AI_PASSIVE):
                listener = bound.enter_context(socket.socket(family, socket.SOCK_STREAM))
                # As the server binds: over what waits in TIME_WAIT, and IPv6 apart from IPv4.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind(sockaddr)
    except OSError as exc:
        reason = exc.strerror or str(exc)
        return failed(check, f"{address}: {reason}", _ADVICE.get(exc.errno or 0, "write host:port, or :port for all"))
    return ok(check, f"{address} is free")


def _answers(check: str, address: ListenAddress) -> CheckResult:
    try:
        host = {"": "localhost", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104  # compared, not bound
        socket.create_connection((host, address.port), CONNECT_TIMEOUT_S).close()
    except OSError as exc:
        return failed(
            check,
            f"{address}: the server runs, and does not answer there: {exc.strerror or exc}",
            "was the configuration changed since it was started? Start it anew, and read its log",
        )
    return ok(check, f"{address}: the server answers")


def _addresses(address: ListenAddress, flags: int) -> list[tuple[socket.AddressFamily, Any, Any, Any, Any]]:
    found = socket.getaddrinfo(address.host or None, address.port, type=socket.SOCK_STREAM, flags=flags)
    # A machine without IPv6 still lists it.
    return [entry for entry in found if entry[0] != socket.AF_INET6 or socket.has_dualstack_ipv6() or address.host]


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
