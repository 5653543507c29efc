"""The live streams, in the form that the operators' doors read; the live registry holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from streamd.services.live.health import Health


class ListedStream(Protocol):
    """An operator's facts about a live stream; units as in ``models.streams.Stream``."""

    @property
    def name(self) -> str:
        """Channel."""

    @property
    def key_id(self) -> str:
        """Id of the key that opened it."""

    @property
    def live_since(self) -> datetime:
        """When it began."""

    @property
    def publisher_address(self) -> str:
        """IP address of the publisher."""

    @property
    def encoder(self) -> str:
        """Name that the publisher's software gives itself."""

    @property
    def codecs(self) -> Sequence[str]:
        """RFC 6381 codecs of its tracks."""

    @property
    def width(self) -> int:
        """Of the picture as it is shown, in square pixels; 0 without video."""

    @property
    def height(self) -> int:
        """Pixels; 0 without video."""

    @property
    def bitrate_bps(self) -> float:
        """Bits a second, lately."""

    @property
    def frame_rate(self) -> float:
        """Frames a second, lately; 0 without video."""

    @property
    def keyframe_interval_s(self) -> float | None:
        """Seconds between the last two keyframes; None before there are two."""

    @property
    def health(self) -> Health:
        """How well it arrives."""

    @property
    def viewers(self) -> Mapping[str, int]:
        """Viewers by protocol."""

    @property
    def tags_dropped(self) -> int:
        """Media tags that were not carried, since it began."""

    @property
    def timestamps_repaired(self) -> int:
        """Since it began."""


class LiveStreams(Protocol):
    """The live streams, and the way to end one."""

    def summaries(self) -> Sequence[ListedStream]:
        """All live streams."""

    def summary(self, name: str) -> ListedStream | None:
        """The live stream of this name; None where it is not live."""

    async def kick(self, name: str) -> bool:
        """Close its publisher, and return when it is closed; False where none was live."""
