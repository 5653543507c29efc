"""A certificate that is renewed while we run: the files are watched, and new ones serve the next connection."""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

log = logging.getLogger(__name__)


class TlsCertificate:
    """A certificate chain and its key, in PEM files, and the TLS context that serves them.

    Args:
        cert_path: The chain, the server's own certificate first.
        key_path: Its private key, not encrypted.
        alpn: Protocols to offer (RFC 7301); none for a protocol that has no name there.

    Attributes:
        context: For the listener. Its connections keep the certificate that they began with.

    Raises:
        OSError: A file cannot be read, or is no certificate or key, or they do not belong together
            (``ssl.SSLError`` is one).
    """

    def __init__(self, cert_path: Path, key_path: Path, alpn: Sequence[str] = ("http/1.1",)) -> None:
        self._cert_path = cert_path
        self._key_path = key_path
        self._version = self._look()
        # TLS 1.2 or later, and forward secrecy.
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        # Each renegotiation costs us a signature; no client needs one, and TLS 1.3 has none.
        self.context.options |= ssl.OP_NO_RENEGOTIATION
        if alpn:
            self.context.set_alpn_protocols(alpn)
        self.context.load_cert_chain(cert_path, key_path, _no_password)

    def reload_if_changed(self) -> bool:
        """Load files that have changed since they were looked at last; called about once a second.

        Files that do not serve are logged, and the old certificate stays.

        Returns:
            Whether there is a new certificate.
        """
        version = self._look()
        if version == self._version:
            return False
        self._version = version
        try:
            # Tried elsewhere first: a chain whose key does not load would replace ours and leave it without one.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._cert_path, self._key_path, _no_password)
            self.context.load_cert_chain(self._cert_path, self._key_path, _no_password)
        except OSError as exc:
            reason = why_not_loaded(exc, self._cert_path, self._key_path)
            log.warning("tls.reload_failed", extra={"cert": str(self._cert_path), "reason": reason})
            return False
        log.info("tls.reloaded", extra={"cert": str(self._cert_path)})
        return True

    def _look(self) -> tuple[object, ...]:
        """The marks of one version of the files: modification time, size and inode, or absence."""
        return tuple(_version(path) for path in (self._cert_path, self._key_path))


def why_not_loaded(exc: OSError, cert_path: Path, key_path: Path) -> str:
    """Say for an operator why a certificate and its key do not load: which file, and what is to be in it.

    Args:
        exc: From ``TlsCertificate``.
        cert_path: The chain.
        key_path: Its key.
    """
    if not isinstance(exc, ssl.SSLError):
        for path in (cert_path, key_path):
            try:
                path.open("rb").close()
            except OSError as unreadable:
                return f"{unreadable.strerror}: {path}"
        return exc.strerror or str(exc)
    if exc.reason == "KEY_VALUES_MISMATCH":
        return f"{key_path} is not the key of {cert_path}, whose first certificate is to be the server's own"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cert_path)
    except OSError:
        return f"{cert_path} is not a certificate in PEM ({exc.reason or exc})"
    if b"ENCRYPTED" in key_path.read_bytes():
        return f"{key_path} is encrypted; write it without a password: openssl pkey -in {key_path} -out NEW"
    return f"{key_path} is not a private key in PEM ({exc.reason or exc})"


def _no_password() -> bytes:
    """The password of a key that is to have none: else OpenSSL would ask for it at the terminal."""
    return b""


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
