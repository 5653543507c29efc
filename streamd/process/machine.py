"""The process's share of its machine: how many peers get a descriptor, and which go when memory is short."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from streamd.doors.delivery.body_file import FILES_MAX
from streamd.formats import payload
from streamd.process.allocator import give_back_free_memory
from streamd.process.memory_relief import MemoryRelief
from streamd.process.resources import (
    MEMORY_SHARE,
    Descriptors,
    MemoryCeiling,
    descriptors_needed,
    memory_total_bytes,
    raise_descriptor_limit,
    share_descriptors,
)
from streamd.services.bounds.memory_accounts import MemoryAccounts, Standing

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.process.config import Config
    from streamd.services.metrics import Metrics

log = logging.getLogger(__name__)


class Machine:
    """The process's share of its machine.

    Args:
        config: All of the configuration.
        clock: Measures how fast memory fills.
        metrics: Asked for what is held.

    Attributes:
        descriptors: How many connections and files may be open.
        memory: How large the process is, and how large it may be.
        accounts: How much of it each peer holds; each door adds its own.
    """

    def __init__(self, config: Config, clock: Clock, metrics: Metrics) -> None:
        self._descriptors_max = raise_descriptor_limit()
        self.descriptors = self._share(config)
        self._told: Descriptors | None = None
        self.memory = MemoryCeiling(_ceiling_bytes(config), now=clock.monotonic)
        self.accounts = MemoryAccounts()
        self.accounts.add_store(payload.kept_bytes)
        self._relief = MemoryRelief(self.memory, self.accounts, give_back=_give_back, now=clock.monotonic)
        metrics.process.memory_used_bytes.set_function(lambda: self.memory.used_bytes)
        metrics.process.memory_ceiling_bytes.set_function(lambda: self.memory.ceiling_bytes)
        for standing in Standing:
            metrics.process.held_bytes.labels(standing.name.lower()).set_function(
                partial(self.accounts.held_bytes, standing)
            )
        metrics.process.held_bytes.labels("shared").set_function(lambda: self.accounts.stored_bytes)

    def configure(self, config: Config) -> None:
        """Take other limits."""
        self.descriptors = self._share(config)
        self.memory.set(_ceiling_bytes(config))

    def look(self) -> None:
        """Let go of connections where memory is short; called about once a second."""
        self._relief.look()

    def tell(self, config: Config) -> None:
        """Warn where there are fewer descriptors than the limits of the configuration ask for, once for what is so."""
        limits, shared = config.limits, self.descriptors
        if (shared.encoders, shared.viewers) == (limits.connections_max, limits.viewer_connections_max):
            self._told = None
        elif shared != self._told:
            self._told = shared
            log.warning(
                "descriptors.short",
                extra={
                    "descriptors": self._descriptors_max,
                    "connections_max": shared.encoders,
                    "viewer_connections_max": shared.viewers,
                    "advice": advice_on_descriptors(wanted_descriptors(config)),
                },
            )

    def _share(self, config: Config) -> Descriptors:
        return share_descriptors(*_wanted(config), self._descriptors_max)


def _ceiling_bytes(config: Config) -> int:
    """The size that this process may have: the workers of one server share what it may have."""
    workers = config.server.workers_count
    if workers == 1:
        return config.limits.memory_bytes_max
    return (config.limits.memory_bytes_max or int(memory_total_bytes() * MEMORY_SHARE)) // workers


def _give_back() -> None:
    """Give back to the machine what the process has free: slabs that nobody uses, and pages of its heap."""
    payload.let_go_of_kept()
    give_back_free_memory()


def wanted_descriptors(config: Config) -> int:
    """How many file descriptors the limits of a configuration ask for."""
    return descriptors_needed(*_wanted(config))


def advice_on_descriptors(wanted: int) -> str:
    """Return the remedy for fewer file descriptors than are wanted."""
    return (
        f"LimitNOFILE={wanted} in the systemd unit, --ulimit nofile={wanted} for a container, or ulimit -n {wanted} "
        "before a start by hand; or lower limits.connections_max and limits.viewer_connections_max"
    )


def _wanted(config: Config) -> Descriptors:
    limits = config.limits
    has_tls = config.http.tls_cert or config.rtmp.tls_listen
    return Descriptors(
        limits.connections_max,
        limits.viewer_connections_max,
        FILES_MAX,
        limits.tls_handshakes_max if has_tls else 0,
    )
