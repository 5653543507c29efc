"""The rooms that decide who may watch, in one server: the gate, its acts, passwords, countries and the hook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from streamd.process.options import gate_options, playback_hook_options
from streamd.services.playback.countries import Countries
from streamd.services.playback.gate import PlaybackGate
from streamd.services.playback.hook import ViewerHook
from streamd.services.playback.key_set import RemoteKeySet
from streamd.services.playback.passwords import Passwords
from streamd.services.playback.playback_store import PlaybackStore
from streamd.services.playback.service import PlaybackService

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from streamd.clock import Clock
    from streamd.doors.outgoing.http_sender import HttpSender
    from streamd.process.config import Config
    from streamd.services.metrics import Metrics
    from streamd.services.store.database import Database


class PlaybackRooms:
    """Policies, tokens, passwords and the operator's own service.

    Args:
        config: All of the configuration.
        clock: For all times.
        metrics: Counted into.
        sender: Makes the requests of the hook, and for the key set.
        database: The key store's.

    Attributes:
        countries: Tells the country of an address.
        gate: Decides over each viewer.
        passwords: Checks those of channels.
        service: The acts on who may watch.
        hook: Asked over viewers with the policy ``hook``.
    """

    def __init__(self, config: Config, clock: Clock, metrics: Metrics, sender: HttpSender, database: Database) -> None:
        self.countries = Countries(Path(file) if (file := config.playback.geoip_file) else None)
        refusals = metrics.viewing.playback_refusals_total
        self.gate = gate = PlaybackGate(
            clock, gate_options(config), self.countries, lambda reason: refusals.labels(reason).inc()
        )
        self.passwords = Passwords(clock.monotonic)
        self.service = PlaybackService(
            PlaybackStore(database),
            gate,
            clock,
            self.passwords,
            RemoteKeySet(config.playback.jwks_url, sender, clock, gate.keys),
        )
        self.hook = ViewerHook(playback_hook_options(config), sender, clock, gate.revocations.channel_epoch)

    async def open(self, resources: AsyncExitStack) -> None:
        """Have what was decided before hold, before any door opens.

        Args:
            resources: Closes all of it.

        Raises:
            StoreUnavailableError: It cannot be read.
        """
        self.countries.open()
        resources.callback(self.countries.close)
        resources.push_async_callback(self.service.close)
        await self.service.start()

    def configure(self, config: Config) -> None:
        """Take from a configuration that was read again what can be taken while they run."""
        self.service.configure(gate_options(config), config.playback.jwks_url)
        self.hook.options = playback_hook_options(config)
