"""The certificates, as a client meets them: a TLS handshake in memory says whether it trusts them, and until when."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from streamd.process.doctor.check_result import CheckResult, failed, ok, warning

if TYPE_CHECKING:
    from streamd.process.config import Config

# Certificates of ninety days are renewed thirty days before their end: one that is not by now will not be.
EXPIRES_SOON = timedelta(days=14)
# OpenSSL, x509_vfy.h.
_NOT_YET_VALID, _HAS_EXPIRED, _HOSTNAME_MISMATCH = 9, 10, 62


def check_certificates(config: Config, now: datetime) -> Iterator[CheckResult]:
    """Look at the certificate of each section that has one."""
    host = urlsplit(config.http.public_url).hostname
    for section, pair in (("rtmp", config.rtmp), ("http", config.http)):
        if pair.tls_cert and pair.tls_key:
            yield _check(f"{section}.tls_cert", pair.tls_cert, pair.tls_key, host, now)


def _check(check: str, cert: str, key: str, host: str | None, now: datetime) -> CheckResult:
    try:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(cert, key, password="")
    except (OSError, ValueError) as exc:
        said = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        return failed(
            check,
            f"{cert} and {key} do not load: {said}",
            "both as PEM, made for each other, the key without a password",
        )
    try:
        # Trusted as its own authority: only its dates and names are left to be judged.
        expires_at = _handshake(server, ssl.create_default_context(cafile=cert), host)
    except ssl.SSLCertVerificationError as exc:
        match exc.verify_code:
            case code if code == _HAS_EXPIRED:
                return failed(check, f"{cert} has expired", "renew it; the server loads the new one by itself")
            case code if code == _NOT_YET_VALID:
                return failed(check, f"{cert} is not valid yet", "set the clock, or wait")
            case code if code == _HOSTNAME_MISMATCH:
                return failed(check, f"{cert} is not for {host}", "get one for the host name of http.public_url")
        return failed(check, f"{cert}: {exc.verify_message}", "get one that clients trust")
    until = f"{cert} is good until {expires_at:%Y-%m-%d}"
    if expires_at - now < EXPIRES_SOON:
        return warning(check, until, "renew it now; the server loads the new one by itself")
    try:
        _handshake(server, ssl.create_default_context(), None)
    except ssl.SSLCertVerificationError as exc:
        return warning(
            check,
            f"{until}, and this machine does not trust who issued it: {exc.verify_message}",
            "OBS and browsers want a public authority's; with its chain, the server's own certificate first",
        )
    return ok(check, until)


def _handshake(server_context: ssl.SSLContext, client_context: ssl.SSLContext, host: str | None) -> datetime:
    """Shake hands in memory.

    Args:
        server_context: With the certificate.
        client_context: Judges it.
        host: The name that the certificate has to be for; None for any.

    Returns:
        When the certificate expires.

    Raises:
        ssl.SSLCertVerificationError: The client does not accept it.
    """
    client_context.check_hostname = host is not None
    # Of a chain whose root is not at hand, what is at hand is trusted (X509_V_FLAG_PARTIAL_CHAIN).
    client_context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=host)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    is_done = False
    while not is_done:
        is_done = True
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                is_done = False
    certificate = client.getpeercert()
    assert certificate is not None, "it was verified"
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
