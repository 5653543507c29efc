from __future__ import annotations

from streamd.media.intake.actions import Drop, TagDropReason
from streamd.services.live.drop_notes import REFUSALS_MAX, DropNotes
from streamd.services.metrics import Metrics
from tests.support.chunk_feeder import AUDIO, VIDEO
from tests.support.output_context import tracks_of


class Notes:
    """Notes, and what the broadcaster is told."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.told: list[tuple[str, str]] = []
        self.notes = DropNotes(self.metrics, lambda reason, detail: self.told.append((reason, detail)))

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def refused(number: int = 0) -> Drop:
    return Drop(TagDropReason.UNSUPPORTED_CODEC, f"codec {number}", "")


def test_each_is_counted_and_told_once() -> None:
    room = Notes()
    for _ in range(3):
        room.notes.note([refused(), refused()])
    assert room.told == [("unsupported_codec", "codec 0")]
    assert room.counted("streamd_tags_dropped_total", reason="unsupported_codec") == 6


def test_what_viewers_do_not_miss_is_counted_alone() -> None:
    room = Notes()
    room.notes.note([Drop(TagDropReason.MALFORMED, "short", "")])
    assert room.told == []
    assert room.counted("streamd_tags_dropped_total", reason="malformed") == 1


def test_a_limit_is_counted_as_one() -> None:
    room = Notes()
    room.notes.note([Drop(TagDropReason.EXTRA_TRACK, "a ninth", "tracks_max")])
    assert room.counted("streamd_limit_hits_total", limit="tracks_max") == 1


def test_who_sends_ever_new_faults_is_told_of_some() -> None:
    room = Notes()
    room.notes.note([refused(number) for number in range(3 * REFUSALS_MAX)])
    assert len(room.told) == REFUSALS_MAX
    assert len(room.notes.refusals(refused(number) for number in range(3 * REFUSALS_MAX))) == REFUSALS_MAX


def test_a_track_without_a_rendition_is_refused_until_there_is_one() -> None:
    room = Notes()
    room.notes.note_tracks([VIDEO, AUDIO], tracks_of("main").variants)
    assert room.told == [("extra_track", "mp4a.40.2 came too late for a rendition of its own")]
    assert room.notes.refusals([refused()]) == [
        "unsupported codec (codec 0)",
        "extra track (mp4a.40.2 came too late for a rendition of its own)",
    ]
    room.notes.note_tracks([VIDEO, AUDIO], tracks_of("main", "audio0").variants)
    assert room.notes.refusals([]) == []
