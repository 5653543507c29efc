"""Which media is kept: of what is in memory, and of what recordings have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from streamd.media.packager.cmaf_chunk import ChunkBytes, CmafChunk
from streamd.services.moderation.evidence.media import (
    AFTER_MS,
    INSTANT_FROM_S,
    PAST,
    RECORDING,
    WINDOW,
    OnDisk,
    Piece,
    RecordedMedia,
    Span,
    WindowMedia,
    choose,
    hold,
    keyframe_of,
    runs_of,
)
from tests.support.recordings import MAIN, append, folder_in, new_writer

if TYPE_CHECKING:
    from pathlib import Path

    from streamd.services.recording.folder import RecordingFolder

# When the recording of the tests began, milliseconds since 1970.
BEGAN_MS = 1_772_366_400_000
HEADER = b"ftyp+moov"


def chunk(content: bytes, *, ticks: int = 500, is_independent: bool = False) -> CmafChunk:
    return CmafChunk(ChunkBytes(content), 0, ticks, 1000, is_independent, starts_segment=False, is_discontinuous=False)


def piece(second: int, *, size: int = 100, source: str = WINDOW, header: bytes = HEADER) -> Piece:
    return Piece(source, second * 1000, 2000, header, WindowMedia((chunk(bytes(size), is_independent=True),)))


def seconds(pieces: tuple[Piece, ...]) -> list[tuple[str, int]]:
    return [(each.source, each.began_ms // 1000) for each in pieces]


class TestChoosing:
    window = tuple(piece(second) for second in range(20, 40, 2))
    recorded = tuple(piece(second, source=RECORDING) for second in range(0, 36, 2))

    def test_the_time_that_was_asked_for(self) -> None:
        chosen, is_cut = choose(self.window, (), Span(25_000, 31_000, 30_000), 10**6)
        assert seconds(chosen) == [(WINDOW, second) for second in (24, 26, 28, 30)]
        assert not is_cut

    def test_what_is_older_than_the_window_comes_from_the_recording(self) -> None:
        chosen, _ = choose(self.window, self.recorded, Span(15_000, 25_000, 24_000), 10**6)
        assert seconds(chosen) == [
            *((RECORDING, second) for second in range(0, 20, 2)), (WINDOW, 20), (WINDOW, 22), (WINDOW, 24),
        ]  # fmt: skip

    def test_a_time_that_nobody_has_any_more_is_what_there_is(self) -> None:
        chosen, _ = choose(self.window, (), Span(0, 5_000, 4_000), 10**6)
        assert chosen == self.window

    def test_the_oldest_is_left_out_beyond_the_bound(self) -> None:
        chosen, is_cut = choose(self.window, (), Span(20_000, 40_000, 39_000), 3 * (100 + len(HEADER)))
        assert seconds(chosen) == [(WINDOW, 34), (WINDOW, 36), (WINDOW, 38)]
        assert is_cut

    def test_nothing_fits(self) -> None:
        assert choose(self.window, (), Span(20_000, 40_000, 39_000), 50) == ((), True)

    def test_around_a_moment(self) -> None:
        assert Span.around(100_000, 30) == Span(70_000, 100_000 + AFTER_MS, 100_000)


def test_a_file_for_each_run_under_one_header() -> None:
    pieces = [piece(0), piece(2), piece(4, header=b"other"), piece(6)]
    runs = runs_of([("main", pieces), ("audio", pieces[:1])])
    assert [(run.name, len(run.pieces)) for run in runs] == [
        ("main-0.mp4", 2), ("main-1.mp4", 1), ("main-2.mp4", 1), ("audio-0.mp4", 1),
    ]  # fmt: skip
    written: list[bytes] = []
    runs[0].copy(lambda data: written.append(bytes(data)))
    assert b"".join(written) == HEADER + bytes(200)
    assert runs[0].size_bytes == len(HEADER) + 200


class TestThePicture:
    segment = WindowMedia(
        (chunk(b"a", is_independent=True), chunk(b"b"), chunk(b"c", is_independent=True), chunk(b"d"))
    )  # fmt: skip

    @pytest.mark.parametrize(("after_ms", "picture"), [(-5, b"a"), (0, b"a"), (999, b"a"), (1000, b"c"), (9999, b"c")])
    def test_is_the_keyframe_before_the_moment(self, after_ms: int, picture: bytes) -> None:
        assert self.segment.keyframe(after_ms) == picture

    def test_is_of_the_segment_with_the_moment_or_one_beside_it(self) -> None:
        none = Piece(WINDOW, 4000, 2000, HEADER, WindowMedia((chunk(b"x"),)))
        first = Piece(WINDOW, 0, 2000, b"h1", WindowMedia((chunk(b"one", is_independent=True),)))
        second = Piece(WINDOW, 2000, 2000, b"h2", WindowMedia((chunk(b"two", is_independent=True),)))
        assert keyframe_of([first, second, none], 2500) == (b"h2", b"two")
        assert keyframe_of([first, second, none], 5000) == (b"h2", b"two")
        assert keyframe_of([none, second], 0) == (b"h2", b"two")
        assert keyframe_of([none], 5000) is None
        assert keyframe_of([], 0) is None


def test_nothing_is_held_of_a_channel_without_media() -> None:
    assert hold(None).newest_ms is None
    assert hold(None).size_bytes == 0


@dataclass
class Recorded:
    """A recording of 20 s in segments of 2 s."""

    folder: RecordingFolder
    media: RecordedMedia


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    folder = folder_in(tmp_path)
    writer = new_writer(folder)
    writer.set_header(MAIN, HEADER, 2)
    fragment = (16).to_bytes(4, "big") + b"moof" + bytes(8) + (12).to_bytes(4, "big") + b"mdat" + b"keyf"
    for number in range(10):
        append(writer, fragment + b"rest" + bytes([number]), at_ms=2000 * number)
    writer.close()
    return Recorded(folder, RecordedMedia())


class TestRecordings:
    @pytest.mark.parametrize(
        ("at_s", "seen_s"),
        [
            (0.0, 0), (7.5, 7.5), (19.9, 19.9), (1e6, 19.999), (-3.0, 0),
            (BEGAN_MS / 1000 + 7.5, 7.5), (BEGAN_MS / 1000 + 3600, 0), (INSTANT_FROM_S, 0), (None, 0),
        ],
    )  # fmt: skip
    def test_a_place_or_an_instant(self, recorded: Recorded, at_s: float | None, seen_s: float) -> None:
        span = recorded.media.span_of(recorded.folder, at_s, 30)
        assert span is not None
        assert span.at_ms == BEGAN_MS + round(seen_s * 1000)

    def test_its_segments_are_read_where_they_lie(self, recorded: Recorded) -> None:
        span = Span(BEGAN_MS + 3000, BEGAN_MS + 7000, BEGAN_MS + 6000)
        (pieces,) = recorded.media.pieces(recorded.folder, span, PAST).values()
        assert [each.began_ms - BEGAN_MS for each in pieces] == [2000, 4000, 6000]
        assert {each.cmaf_header for each in pieces} == {HEADER}
        assert pieces[0].stored == "media/hls/main/000000.m4s"
        written: list[bytes] = []
        pieces[1].content.copy(lambda data: written.append(bytes(data)))
        assert b"".join(written).endswith(b"keyfrest\x02")
        found = keyframe_of(pieces, span.at_ms)
        assert found is not None
        assert found[1].endswith(b"mdatkeyf")
        assert recorded.media.newest_ms(recorded.folder) == BEGAN_MS + 20_000
        assert recorded.media.held_bytes

    def test_a_file_that_is_shorter_than_its_playlist_says(self, recorded: Recorded) -> None:
        file = recorded.folder.variant("main") / "000000.m4s"
        file.write_bytes(file.read_bytes()[:50])
        content = OnDisk(file, 40, 100)
        with pytest.raises(OSError, match="ends before"):
            content.copy(lambda _: None)
        assert content.keyframe(0) is None

    def test_one_without_media_has_none(self, tmp_path: Path) -> None:
        folder = folder_in(tmp_path)
        assert RecordedMedia().span_of(folder, None, 30) is None
        assert RecordedMedia().newest_ms(folder) is None
