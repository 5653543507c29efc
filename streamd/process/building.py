"""The refusals of ``streamd serve`` at its start, found without starting: by its own steps, one by one.

Nothing is bound to a port, made or written. ``streamd doctor`` looks at the rest, such as a port that is in use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.errors import StoreUnavailableError
from streamd.process.binding import StartError, cannot_bind, try_address
from streamd.process.guards import load_certificate
from streamd.services.keys.key_store import KeyStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamd.process.config import Config
    from streamd.process.config.faults import Fault


def refusals(config: Config) -> Iterator[Fault]:
    """Take every step of a start that can be taken back, and tell of those that fail.

    Args:
        config: Without a fault in its texts.
    """
    rtmp, http = config.rtmp, config.http
    for section, pair, is_on in (("rtmp", rtmp, rtmp.tls_listen is not None), ("http", http, bool(http.tls_cert))):
        if is_on and pair.tls_cert and pair.tls_key:
            try:
                load_certificate(section, pair, ())
            except StartError as exc:
                yield (section, "tls_cert"), exc.why
    try:
        KeyStore(config.database_url)
    except StoreUnavailableError as exc:
        yield ("keys", "database_url"), str(exc)
    for section, key, listen in (
        ("rtmp", "listen", rtmp.listen),
        ("rtmp", "tls_listen", rtmp.tls_listen),
        ("http", "listen", http.listen),
        ("admin", "listen", config.admin.listen),
    ):
        if listen is not None:
            try:
                try_address(listen)
            except OSError as exc:
                yield (section, key), cannot_bind(f"{section}.{key}", listen, exc).why
