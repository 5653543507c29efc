"""The room in which broadcasts are passed on to other servers, and the door to these."""

from __future__ import annotations

import random
from ipaddress import ip_network
from typing import TYPE_CHECKING

from streamd import __version__
from streamd.doors.outgoing.address_guard import AddressGuard
from streamd.doors.outgoing.rtmp_link import RtmpDialer
from streamd.process.options import told
from streamd.services.restream.service import RestreamOptions, RestreamService
from streamd.services.restream.target_metrics import TargetMetrics
from streamd.services.restream.target_store import TargetStore

if TYPE_CHECKING:
    from contextlib import AsyncExitStack
    from pathlib import Path

    from streamd.clock import Clock
    from streamd.process.config import Config
    from streamd.services.events.event import EventSink
    from streamd.services.metrics import Metrics
    from streamd.services.restream.secret_box import SecretBox
    from streamd.services.store.database import Database

# As encoders say their name: servers read the first word.
_FLASH_VERSION = f"FMLE/3.0 (compatible; streamd/{__version__})"


class RestreamRooms:
    """Targets and the pushes to them, where restreaming is on.

    Args:
        config: All of the configuration.
        clock: For all times.
        metrics: Counted into.
        database: The key store's.
        tell: Gets the events.

    Attributes:
        service: The acts on targets.
    """

    def __init__(self, config: Config, clock: Clock, metrics: Metrics, database: Database, *, tell: EventSink) -> None:
        self._config = config
        self._dialer = RtmpDialer(AddressGuard(), _FLASH_VERSION, self._own_ports)
        self.service = RestreamService(
            TargetStore(database, _SecretFile(config.secret_key_file).box),
            dialer=self._dialer,
            clock=clock,
            draw=random.random,
            options=RestreamOptions(),
            tell=tell,
        )
        self.configure(config)
        metrics.registry.register(TargetMetrics(lambda: self.service.reports))

    def configure(self, config: Config) -> None:
        """Take from a configuration that was read again what can be taken while it runs."""
        self._config = config
        self._dialer.guard = AddressGuard([ip_network(text) for text in config.restream.allow_networks])
        self.service.options = told(RestreamOptions(), config.restream)

    async def open(self, resources: AsyncExitStack) -> None:
        """Have it closed with the other services."""
        resources.callback(self._dialer.close)
        resources.push_async_callback(self.service.close)

    def _own_ports(self) -> frozenset[int]:
        rtmp = self._config.rtmp
        return frozenset(listen.port for listen in (rtmp.listen, rtmp.tls_listen) if listen is not None and listen.port)


class _SecretFile:
    """The box of secrets, opened with the first target, and again when its file is another: it was rotated."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written_ns = 0
        self._box: SecretBox | None = None

    def box(self) -> SecretBox:
        """The box.

        Raises:
            SecretsError: The file cannot be read or made, or is none.
        """
        # Cryptography is loaded with the first target.
        from streamd.process.secret_key import load_secret_box

        try:
            written_ns = self._path.stat().st_mtime_ns
        except OSError:
            written_ns = 0
        if self._box is None or written_ns != self._written_ns:
            self._box = load_secret_box(self._path)
            self._written_ns = self._path.stat().st_mtime_ns
        return self._box
