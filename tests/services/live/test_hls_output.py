from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from streamd.clock import ManualClock
from streamd.errors import LocalStateError, MediaLimitError
from streamd.media.packager.reload import PartNumber, Position
from streamd.media.packager.rendition import RenditionOptions
from streamd.media.packager.timing import PlaylistTiming
from streamd.services.live import hls_output
from streamd.services.live.hls_output import HlsOutput
from streamd.services.live.restart_record import PlaylistRecord
from streamd.services.live.waiters import Awaited
from streamd.services.metrics import Metrics
from tests.support.chunk_feeder import ChunkFeeder
from tests.support.output_context import EPOCH, NUMBERING, output_context, tracks_of

if TYPE_CHECKING:
    from streamd.media.packager.rendition import Rendition

pytestmark = pytest.mark.asyncio

TIMING = PlaylistTiming(2, 500)
RECORD = PlaylistRecord(TIMING, ("main", "video1"), ("audio0",), 5)


class House:
    """Playlists that are fed by hand."""

    def __init__(self, *names: str, rendition: RenditionOptions | None = None, record: PlaylistRecord | None = None):
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.hls = HlsOutput(output_context(clock=self.clock, metrics=self.metrics, rendition=rendition, record=record))
        self.feeders: dict[str, ChunkFeeder] = {}
        self.names = names or ("main",)
        if record is None:
            self.hls.start(tracks_of(*self.names))

    def add_segment(self, *names: str, seconds: float = 2, is_discontinuous: bool = False) -> None:
        """The parts of one segment, in each rendition of these names, or in all."""
        for name in names or self.names:
            feeder = self.feeders.setdefault(name, ChunkFeeder())
            for chunk in feeder.segment(round(seconds * feeder.timescale), is_discontinuous=is_discontinuous):
                self.hls.take_part(name, chunk, TIMING)

    def rendition(self, name: str = "main") -> Rendition:
        assert self.hls.presentation is not None
        return self.hls.presentation.renditions[name]

    def wait_for(self, awaited: Awaited) -> list[object]:
        """What is there when it has woken."""
        woken: list[object] = []
        self.hls.waiters.subscribe(awaited, lambda _: woken.append(awaited))
        return woken


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


class TestPlaylists:
    async def test_there_are_none_before_the_first_part(self) -> None:
        house = House("main", "audio0")
        assert (house.hls.presentation, house.hls.record, house.hls.has_used_numbers) == (None, None, False)
        house.add_segment()
        presentation = house.hls.presentation
        assert presentation is not None
        assert presentation.names() == (("main",), ("audio0",))
        assert house.hls.has_used_numbers

    async def test_the_same_renditions_go_on_with_other_headers(self) -> None:
        house = House()
        house.add_segment()
        rendition = house.rendition()
        house.hls.start(tracks_of("main", header=b"another"))
        house.add_segment()
        assert house.rendition() is rendition
        assert b"#EXT-X-DISCONTINUITY\n" in rendition.playlist().full.buffers[0]

    async def test_a_rendition_that_comes_back_uses_no_number_twice(self) -> None:
        house = House("main", "video1")
        house.add_segment()
        house.add_segment()
        first = house.rendition("video1").next_numbering()
        house.hls.start(tracks_of("main"))
        house.add_segment("main")
        house.hls.start(tracks_of("main", "video1"))
        house.add_segment("main", "video1")
        again = house.rendition("video1")
        assert again.first_msn >= first.msn
        assert house.hls.next_numbering.msn > first.msn
        assert house.hls.used_until_s == house.hls.next_numbering.seconds

    async def test_a_rendition_whose_tracks_are_gone_rests_while_no_other_has_what_it_had(self) -> None:
        house = House()
        house.add_segment()
        house.add_segment()
        # Its pictures are gone.
        woken = house.wait_for(Awaited("main", PartNumber(house.rendition().next_part_number)))
        house.hls.start(tracks_of("audio0"))
        house.add_segment("audio0")
        await turn()
        presentation = house.hls.presentation
        assert presentation is not None
        assert not woken
        assert presentation.names() == (("audio0",), ())
        assert list(presentation.renditions) == ["audio0", "main"]
        resting = house.rendition()
        text = resting.playlist().full.buffers[0]
        assert b"ENDLIST" not in text
        assert b'URI="audio0.m3u8"' in text
        # All of what it had can be fetched, also by players of whole segments.
        assert resting.edge().open_parts == 0
        used = resting.next_numbering()

        house.hls.start(tracks_of("main"))
        house.add_segment("main")
        await turn()
        assert woken
        again = house.rendition()
        assert again is not resting
        assert again.first_msn >= used.msn
        assert again.next_part_number > used.part_number

    async def test_a_rendition_that_rests_does_not_come_back_with_fewer_discontinuities_than_the_others(self) -> None:
        house = House("main", "audio0")
        house.add_segment()
        house.hls.start(tracks_of("audio0"))
        for _ in range(3):
            house.add_segment("audio0", is_discontinuous=True)
        house.hls.start(tracks_of("main", "audio0"))
        for name in house.names:
            house.add_segment(name, is_discontinuous=name == "audio0")
            house.hls.end_segment(name)
        counts = {house.rendition(name).next_numbering().discontinuity_sequence for name in house.names}
        assert len(counts) == 1

    async def test_another_servers_rendition_rests_where_none_of_its_names_go_on(self) -> None:
        house = House(record=PlaylistRecord(TIMING, ("main",), (), 5))
        house.hls.start(tracks_of("audio0", begins_anew=True))
        house.add_segment("audio0")
        assert house.hls.presentation is not None
        assert list(house.hls.presentation.renditions) == ["audio0", "main"]

        house = House(record=RECORD)
        house.hls.start(tracks_of("main", "audio0", begins_anew=True))
        house.add_segment("main", "audio0")
        assert house.hls.presentation is not None
        assert list(house.hls.presentation.renditions) == ["main", "audio0"]

    async def test_all_of_them_hold_no_more_than_one_may(self) -> None:
        house = House("main", "video1", rendition=RenditionOptions(window_bytes_max=10_000))
        house.add_segment()
        assert house.rendition().options.window_bytes_max == 5_000

    async def test_what_they_lose_before_its_time_is_counted(self) -> None:
        house = House(rendition=RenditionOptions(window_bytes_max=500))
        for _ in range(20):
            house.add_segment()
        house.hls.look(house.clock.monotonic())
        lost = house.rendition().segments_lost
        assert lost > 0
        hits = house.metrics.registry.get_sample_value("streamd_limit_hits_total", {"limit": "window_bytes_max"})
        assert hits == lost

    async def test_open_segments_together_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        house = House()
        house.add_segment()
        house.hls.look(0)
        monkeypatch.setattr(hls_output, "OPEN_SEGMENT_BYTES_MAX", -(10**9))
        with pytest.raises(MediaLimitError) as caught:
            house.hls.look(1)
        assert caught.value.limit == "window_bytes_max"

    async def test_released_it_holds_nothing(self) -> None:
        house = House("main", "audio0")
        house.add_segment()
        assert house.hls.held_bytes > 0
        house.hls.end()
        house.hls.release()
        assert (house.hls.presentation, house.hls.held_bytes) == (None, 0)


class TestWaiters:
    async def test_who_waits_for_a_part_wakes_with_it(self) -> None:
        house = House()
        house.add_segment()
        woken = house.wait_for(Awaited("main", PartNumber(house.rendition().next_part_number)))
        house.hls.note_leap(EPOCH)
        await turn()
        assert not woken
        house.add_segment()
        await turn()
        assert woken

    async def test_who_waits_for_a_segment_wakes_as_soon_as_it_is_known_to_be_complete(self) -> None:
        house = House()
        house.add_segment()
        woken = house.wait_for(Awaited("main", Position(house.rendition().edge().last_msn + 1)))
        await turn()
        assert not woken
        house.hls.end_segment("main")
        await turn()
        assert woken

    @pytest.mark.parametrize("until", [PartNumber(10**6), Position(10**6), Position(10**6, 3)], ids=str)
    async def test_who_waits_for_a_rendition_that_is_gone_wakes_at_once_and_the_others_wait_on(
        self, until: PartNumber | Position
    ) -> None:
        house = House("main", "video1", "audio0")
        house.add_segment()
        gone, stays = house.wait_for(Awaited("video1", until)), house.wait_for(Awaited("main", until))
        house.hls.start(tracks_of("main", "audio0"))
        await turn()
        assert gone
        assert not stays

    async def test_at_the_end_all_wake_and_nobody_waits_again(self) -> None:
        house = House()
        house.add_segment()
        woken = house.wait_for(Awaited("main", PartNumber(10**6)))
        assert house.hls.end() == pytest.approx(2.0)
        await turn()
        assert woken
        assert house.rendition().is_ended
        with pytest.raises(LocalStateError):
            house.wait_for(Awaited("main", PartNumber(10**6)))

    async def test_a_playlist_that_cannot_be_ended_is_there_no_more_and_its_numbers_are_used(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail() -> None:
            raise ValueError("a bug")

        house = House()
        house.add_segment()
        used = house.hls.next_numbering
        woken = house.wait_for(Awaited("main", PartNumber(10**6)))
        assert house.hls.presentation is not None
        renditions = {"main": _Broken(house.rendition(), fail)}
        monkeypatch.setattr(house.hls.presentation, "renditions", renditions)
        with pytest.raises(ValueError, match="a bug"):
            house.hls.end()
        await turn()
        assert woken
        assert house.hls.next_numbering == used
        assert house.hls.held_bytes == 0


class _Broken:
    """A rendition that cannot be ended."""

    def __init__(self, rendition: Rendition, end: object) -> None:
        self._rendition = rendition
        self.end = end

    def __getattr__(self, name: str) -> object:
        return getattr(self._rendition, name)


class TestRestart:
    async def test_the_record_is_the_same_until_there_is_a_discontinuity(self) -> None:
        house = House("main", "audio0")
        house.add_segment()
        record = house.hls.record
        assert record is not None
        assert (record.timing, record.variants, record.audio) == (TIMING, ("main",), ("audio0",))
        house.add_segment()
        assert house.hls.record is record
        house.add_segment(is_discontinuous=True)
        after = house.hls.record
        assert after is not None
        assert after.discontinuity_sequence > record.discontinuity_sequence

    async def test_what_another_server_left_is_there_without_media(self) -> None:
        house = House(record=RECORD)
        presentation = house.hls.presentation
        assert presentation is not None
        assert presentation.names() == (RECORD.variants, RECORD.audio)
        assert house.hls.held_bytes == 0
        assert not house.hls.has_used_numbers
        assert house.hls.next_numbering.discontinuity_sequence > RECORD.discontinuity_sequence
        assert house.hls.next_numbering.msn >= NUMBERING.msn

    async def test_its_media_goes_on_behind_a_discontinuity(self) -> None:
        house = House(record=PlaylistRecord(TIMING, ("main",), (), 5))
        woken = house.wait_for(Awaited("main", PartNumber(house.rendition().next_part_number)))
        house.hls.start(tracks_of("main", begins_anew=True))
        house.add_segment("main")
        await turn()
        assert woken
        assert b"#EXT-X-DISCONTINUITY\n" in house.rendition().playlist().full.buffers[0]


class TestViewers:
    async def test_they_are_counted_for_as_long_as_they_ask(self) -> None:
        house = House()
        house.add_segment()
        for number in range(3):
            house.hls.note_viewer(f"192.0.2.{number}", "player")
            assert house.hls.viewers == 1, "the first counts at once"
        house.hls.look(house.clock.monotonic())
        assert house.hls.viewers == 3
        house.clock.advance(10)
        house.hls.look(house.clock.monotonic())
        assert house.hls.viewers == 0

    async def test_at_the_end_there_are_none(self) -> None:
        house = House()
        house.add_segment()
        house.hls.note_viewer("192.0.2.7", "player")
        house.hls.look(house.clock.monotonic())
        house.hls.end()
        # Players fetch the end, and are no viewers any more.
        house.hls.note_viewer("192.0.2.7", "player")
        assert house.hls.viewers == 0
        assert house.metrics.registry.get_sample_value("streamd_viewers", {"protocol": "hls"}) == 0
