"""What an output is made with, where there is no registry; and tracks and parts to feed it with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from streamd.clock import ManualClock
from streamd.media.packager.ladder import Variant
from streamd.media.packager.numbering import Numbering
from streamd.media.packager.rendition import RenditionOptions
from streamd.services.live.gop_cache import GopLimits
from streamd.services.live.outputs import OutputContext, StreamTracks
from streamd.services.live.waiters import WaiterBudget
from streamd.services.metrics import Metrics
from tests.support.chunk_feeder import AUDIO, HEADER, VIDEO

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.clock import Clock
    from streamd.services.live.restart_record import PlaylistRecord

EPOCH = datetime(2026, 3, 1, 12, tzinfo=UTC)
NUMBERING = Numbering(1000, 10_000, 0)


def output_context(
    *,
    clock: Clock | None = None,
    metrics: Metrics | None = None,
    rendition: RenditionOptions | None = None,
    record: PlaylistRecord | None = None,
    hurry: Callable[[], None] = lambda: None,
) -> OutputContext:
    """What an output of channel ``alice`` is made with."""
    return OutputContext(
        name="alice",
        live_since=EPOCH,
        numbering=NUMBERING,
        rendition=rendition or RenditionOptions(),
        gop=GopLimits(),
        clock=clock or ManualClock(),
        metrics=metrics or Metrics(),
        budget=WaiterBudget(100),
        hurry=hurry,
        record=record,
    )


def tracks_of(*names: str, begins_anew: bool = False, header: bytes = HEADER) -> StreamTracks:
    """Tracks that are made into renditions of these names; those of sound begin with ``audio``."""
    names = names or ("main",)
    has_pictures = not all(name.startswith("audio") for name in names)
    variants = tuple(
        Variant(name, (AUDIO,), has_pictures, header)
        if name.startswith("audio")
        else Variant(name, (VIDEO,), False, header)
        for name in names
    )
    return StreamTracks(variants, Variant("direct", (VIDEO, AUDIO), cmaf_header=header), EPOCH, begins_anew)
