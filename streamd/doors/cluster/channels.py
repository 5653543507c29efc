"""The channels that the public may see at a node of a cluster: its own, and those of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.doors.delivery.answer import Absence
from streamd.doors.delivery.channels import PublicChannels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from streamd.services.cluster.edges import Edges
    from streamd.services.cluster.kv_directory import KvDirectory
    from streamd.services.cluster.permit import Permit
    from streamd.services.live.channel import Channel
    from streamd.services.live.registry import LiveRegistry
    from streamd.services.playback.gate import PlaybackGate


class ClusterChannels(PublicChannels):
    """The channels of all nodes, without those whose user is suspended.

    Args:
        registry: This node's streams.
        is_taken_down: As for ``PublicChannels``.
        is_listed: Likewise.
        gate: Likewise.
        permit: Whether this node may show anything.
        directory: Knows what is live elsewhere.
        edges: The channels of others; None where this node serves its own alone.
    """

    def __init__(
        self,
        registry: LiveRegistry,
        is_taken_down: Callable[[str], bool],
        is_listed: Callable[[str], bool],
        gate: PlaybackGate | None,
        *,
        permit: Permit,
        directory: KvDirectory,
        edges: Edges | None,
    ) -> None:
        super().__init__(registry, is_taken_down, is_listed, gate)
        self._permit = permit
        self._directory = directory
        self._edges = edges

    def find(self, name: str) -> Channel | Absence:
        """A channel that is live at any node or has lately ended, or why there is none."""
        if not self._permit.may_serve:
            return Absence.NOT_NOW
        found = super().find(name)
        if self._edges is None or found is Absence.TAKEN_DOWN or (not isinstance(found, Absence) and found.is_live):
            return found
        return self._edges.find(name) or found

    def live(self) -> Iterable[Channel]:
        """The channels that are live here, and those of other nodes that are watched here."""
        yield from super().live()
        if self._edges is not None:
            here = {channel.name for channel in super().live()}
            yield from (channel for channel in self._edges.channels() if channel.name not in here)
