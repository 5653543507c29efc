"""Why a TLS handshake has failed, in words that name what to change.

OpenSSL's reasons are those of its error strings (``include/openssl/sslerr.h``); an alert is one of RFC 8446 section
6.2, sent by the peer.
"""

from __future__ import annotations

import enum
import ssl


class HandshakeFailure(enum.StrEnum):
    """Why a handshake failed; the value is its name in metrics."""

    UNTRUSTED_CERTIFICATE = "untrusted_certificate"
    """The client does not accept the certificate: its issuer, its name or its dates."""
    OLD_VERSION = "old_version"
    """The client speaks TLS 1.1 or older alone."""
    NO_COMMON_CIPHER = "no_common_cipher"
    """The client and the server have no way to encrypt in common."""
    NOT_TLS = "not_tls"
    """The client speaks something else on this port: plain RTMP, or HTTP."""
    TIMEOUT = "timeout"
    """It took longer than ``tls_handshake_timeout_s``."""
    CLOSED = "closed"
    """The client went away: so do port scanners, health checks, and clients that say nothing where they distrust."""
    OTHER = "other"

    @property
    def advice(self) -> str:
        """Its words in the log."""
        return _ADVICE[self]


_ADVICE = {
    HandshakeFailure.UNTRUSTED_CERTIFICATE: "the client does not accept the certificate: does it bear the name that is "
    "connected to, is it in date, and does tls_cert have the whole chain?",
    HandshakeFailure.OLD_VERSION: "the client has no TLS 1.2 or later",
    HandshakeFailure.NO_COMMON_CIPHER: "the client has no cipher in common with the server, as one "
    "without TLS 1.2 or later has none",
    HandshakeFailure.NOT_TLS: "the client does not speak TLS: is it set to rtmp:// or http:// on this port?",
    HandshakeFailure.TIMEOUT: "the handshake took too long",
    HandshakeFailure.CLOSED: "the client closed the connection; some do where they do not accept the certificate",
    HandshakeFailure.OTHER: "the handshake failed",
}

_CERTIFICATE_ALERTS = {
    "BAD_CERTIFICATE",
    "UNSUPPORTED_CERTIFICATE",
    "CERTIFICATE_REVOKED",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_UNKNOWN",
    "UNKNOWN_CA",
}
_BY_REASON = {
    **{f"{version}_ALERT_{alert}": HandshakeFailure.UNTRUSTED_CERTIFICATE
       for version in ("SSLV3", "TLSV1", "TLSV13") for alert in _CERTIFICATE_ALERTS},
    "UNSUPPORTED_PROTOCOL": HandshakeFailure.OLD_VERSION,
    "VERSION_TOO_LOW": HandshakeFailure.OLD_VERSION,
    "INAPPROPRIATE_FALLBACK": HandshakeFailure.OLD_VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": HandshakeFailure.OLD_VERSION,
    "NO_SHARED_CIPHER": HandshakeFailure.NO_COMMON_CIPHER,
    "NO_SUITABLE_GROUPS": HandshakeFailure.NO_COMMON_CIPHER,
    "NO_SUITABLE_KEY_SHARE": HandshakeFailure.NO_COMMON_CIPHER,
    "NO_SUITABLE_SIGNATURE_ALGORITHM": HandshakeFailure.NO_COMMON_CIPHER,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": HandshakeFailure.NO_COMMON_CIPHER,
    "WRONG_VERSION_NUMBER": HandshakeFailure.NOT_TLS,
    "PACKET_LENGTH_TOO_LONG": HandshakeFailure.NOT_TLS,
    "RECORD_LAYER_FAILURE": HandshakeFailure.NOT_TLS,
    "UNEXPECTED_MESSAGE": HandshakeFailure.NOT_TLS,
    "BAD_RECORD_TYPE": HandshakeFailure.NOT_TLS,
    "UNKNOWN_PROTOCOL": HandshakeFailure.NOT_TLS,
    "HTTP_REQUEST": HandshakeFailure.NOT_TLS,
    "HTTPS_PROXY_REQUEST": HandshakeFailure.NOT_TLS,
    "UNEXPECTED_EOF_WHILE_READING": HandshakeFailure.CLOSED,
}  # fmt: skip


def failure_of(error: OSError) -> HandshakeFailure:
    """Say why a handshake failed.

    Args:
        error: As the loop raises it.
    """
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return HandshakeFailure.CLOSED
    if isinstance(error, ssl.SSLError):
        return _BY_REASON.get(getattr(error, "reason", None) or "", HandshakeFailure.OTHER)
    # asyncio's and uvloop's own word for a handshake that takes too long.
    if isinstance(error, ConnectionAbortedError):
        return HandshakeFailure.TIMEOUT
    return HandshakeFailure.CLOSED if isinstance(error, ConnectionError) else HandshakeFailure.OTHER
