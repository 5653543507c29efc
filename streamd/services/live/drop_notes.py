"""A publisher's dropped media: counted each time, and told the broadcaster once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from streamd.media.intake.actions import Drop, TagDropReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from streamd.media.packager.ladder import Variant
    from streamd.media.packet import Track
    from streamd.services.metrics import Metrics

# Refusals name so many tracks; an encoder has as many of a kind.
REFUSALS_MAX = 8

# Drops by which viewers miss a picture or sound of the broadcaster's.
_TELLING_DROPS = frozenset(
    {
        TagDropReason.UNSUPPORTED_CODEC,
        TagDropReason.BAD_CODEC_CONFIG,
        TagDropReason.EXTRA_TRACK,
        TagDropReason.HEADER_FLOOD,
    }
)


class DropNotes:
    """The drops of one media line.

    Args:
        metrics: Counted into.
        warn: Called once for each kind that concerns the broadcaster: the reason in a word, and the detail.
    """

    def __init__(self, metrics: Metrics, warn: Callable[[str, str], None]) -> None:
        self._metrics = metrics
        self._warn = warn
        # Tracks of the demuxer that no rendition has room for, and the drops that were told.
        self._left_out: list[Drop] = []
        self._told: set[Drop] = set()

    def note(self, drops: Sequence[Drop]) -> None:
        """Count drops, and tell of those that have not been told."""
        if not drops:
            return
        for reason, count in Counter(drop.reason for drop in drops).items():
            self._metrics.streams.tags_dropped_total.labels(reason.value).inc(count)
        for limit, count in Counter(drop.limit for drop in drops if drop.limit).items():
            self._metrics.limit_hits_total.labels(limit).inc(count)
        if len(self._told) == REFUSALS_MAX:
            return
        # Once for each: a broadcaster's wrong setting repeats itself with every frame.
        for drop in drops:
            if drop.reason in _TELLING_DROPS and drop not in self._told and len(self._told) < REFUSALS_MAX:
                self._told.add(drop)
                self._warn(drop.reason.value, drop.detail)

    def note_tracks(self, tracks: Iterable[Track], variants: Iterable[Variant]) -> None:
        """Note the tracks of an opening that are in no rendition."""
        carried = {track.track_id for variant in variants for track in variant.sources}
        self._left_out = [
            Drop(TagDropReason.EXTRA_TRACK, f"{track.codec} came too late for a rendition of its own", "tracks_max")
            for track in tracks
            if track.track_id not in carried
        ]
        self.note(self._left_out)

    def refusals(self, of_intake: Iterable[Drop]) -> list[str]:
        """The publisher's media that viewers do not get now, in words; at most ``REFUSALS_MAX``, each once.

        Args:
            of_intake: The intake's refusals now.
        """
        drops = (*of_intake, *self._left_out)
        if not drops:
            return []
        words = dict.fromkeys(f"{drop.reason.value.replace('_', ' ')} ({drop.detail})" for drop in drops)
        return list(words)[:REFUSALS_MAX]
