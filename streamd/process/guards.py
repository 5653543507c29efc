"""The steps between a listener and its protocols: TLS, and the header of a proxy in front."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from streamd.doors.delivery.trusted_proxies import TrustedProxies
from streamd.doors.tls.certificate import TlsCertificate, why_not_loaded
from streamd.doors.tls.handshakes import TlsEntry, TlsHandshakes
from streamd.doors.tls.proxy_headers import ProxyHeaders
from streamd.process.binding import StartError
from streamd.process.options import handshake_limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamd.doors.tls.handshakes import Accept, MakeProtocol, TlsGuard
    from streamd.process.config import Config, HttpConfig, RtmpConfig
    from streamd.process.resources import Descriptors
    from streamd.services.bounds.memory_accounts import MemoryAccounts
    from streamd.services.metrics import Metrics


class Guards:
    """The guards of every listener, which share the bound on TLS handshakes.

    Args:
        config: All of the configuration.
        descriptors: How many of each there are file descriptors for.
        metrics: Told the name of a limit when it acts, and why a handshake has failed.
        accounts: Count in what handshakes make us hold.
    """

    def __init__(self, config: Config, descriptors: Descriptors, metrics: Metrics, accounts: MemoryAccounts) -> None:
        self._count_limit = metrics.count_limit

        def count_failure(port: str, reason: str) -> None:
            metrics.tls_handshakes_failed_total.labels(port, reason).inc()

        limits = handshake_limits(config, descriptors.handshakes)
        self._handshakes = TlsHandshakes(limits, metrics.count_limit, count_failure)
        accounts.add(self._handshakes)
        self._proxy_header_timeout_s = config.limits.proxy_header_timeout_s
        self._certificates: list[TlsCertificate] = []
        self._proxy_headers: list[ProxyHeaders] = []

    def configure(self, config: Config, descriptors: Descriptors) -> None:
        """Take other limits, and renewed certificates."""
        self._handshakes.limits = handshake_limits(config, descriptors.handshakes)
        self._proxy_header_timeout_s = config.limits.proxy_header_timeout_s
        for headers in self._proxy_headers:
            headers.timeout_s = self._proxy_header_timeout_s
        self.look()

    def look(self) -> None:
        """Take renewed certificates; called about once a second."""
        for certificate in self._certificates:
            certificate.reload_if_changed()

    def make(
        self, section: str, pair: RtmpConfig | HttpConfig, proxies: Sequence[str], alpn: Sequence[str] | None
    ) -> TlsGuard | None:
        """Return the steps before a listener's protocols.

        Args:
            section: Of the configuration.
            pair: The section, with the files of its certificate, which are watched from now on.
            proxies: Networks whose connections begin with a PROXY header.
            alpn: The protocols that TLS offers; None for a listener without TLS.

        Returns:
            None for nothing.

        Raises:
            StartError: The certificate does not load.
        """
        entry = self._tls_entry(section, pair, alpn) if alpn is not None and pair.tls_cert else None
        if proxies:
            headers = ProxyHeaders(TrustedProxies(proxies).trusts, self._proxy_header_timeout_s, self._count_limit)
            self._proxy_headers.append(headers)

            def guard(make_protocol: MakeProtocol, accept: Accept | None = None, /) -> MakeProtocol:
                tls = partial(self._handshakes.begin, entry, accept=accept) if entry is not None else None
                return headers.guard(tls, make_protocol)

            return guard
        return partial(self._handshakes.guard, entry) if entry is not None else None

    def _tls_entry(self, section: str, pair: RtmpConfig | HttpConfig, alpn: Sequence[str]) -> TlsEntry:
        certificate = load_certificate(section, pair, alpn)
        self._certificates.append(certificate)
        level = logging.INFO if section == "rtmp" else logging.DEBUG
        return TlsEntry(certificate.context, f"{section}s", level)


def load_certificate(section: str, pair: RtmpConfig | HttpConfig, alpn: Sequence[str]) -> TlsCertificate:
    """Load the certificate of a section.

    Args:
        section: Of the configuration.
        pair: The section, with the files of its certificate.
        alpn: The protocols that TLS offers.

    Raises:
        StartError: It does not load.
    """
    cert, key = Path(pair.tls_cert), Path(pair.tls_key)
    try:
        return TlsCertificate(cert, key, alpn)
    except OSError as exc:
        why = f"the certificate does not load: {why_not_loaded(exc, cert, key)}"
        raise StartError(f"{section}.tls_cert and {section}.tls_key: {why}", why) from exc
