"""A live stream's whole life in numbers, for the closing line of its log."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamd.media.packager.segmenter import Irregularity

if TYPE_CHECKING:
    from streamd.services.live.health import HealthCode
    from streamd.services.live.media_line import MediaLine

# Breaks in the media that no viewer can be spared.
_GAPS = (Irregularity.BRIDGED_GAP, Irregularity.TIMELINE_GAP)


@dataclass(slots=True)
class StreamTally:
    """The sums over the whole life of one stream, of all its publishers and media lines."""

    parts: int = 0
    segments: int = 0
    reconnects: int = 0
    """How often its publisher was gone and came back."""
    viewers_max: int = 0
    """Most viewers at a time, over all protocols, as counted once a second."""
    tags_dropped: int = 0
    repairs: Counter[str] = field(default_factory=Counter)
    irregularities: Counter[str] = field(default_factory=Counter)
    findings: set[HealthCode] = field(default_factory=set)
    """Codes of every fault that it had."""

    def add_line(self, line: MediaLine) -> None:
        """Add a media line that is finished."""
        self.tags_dropped += line.tags_dropped
        self.repairs += line.repairs
        self.irregularities += line.irregularities

    @property
    def fields(self) -> dict[str, object]:
        """As fields of a log record."""
        return {
            "parts": self.parts,
            "segments": self.segments,
            "gaps": sum(self.irregularities[gap.value] for gap in _GAPS),
            "reconnects": self.reconnects,
            "viewers_max": self.viewers_max,
            "tags_dropped": self.tags_dropped,
            "timestamps_repaired": dict(self.repairs),
            "irregularities": dict(self.irregularities),
            "findings": ",".join(sorted(code.value for code in self.findings)),
        }
