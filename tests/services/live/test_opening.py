from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from streamd.errors import DemuxError, MediaLimitError, TrackRefusedError
from streamd.media.probe import Probe
from streamd.services.live import opening
from streamd.services.live.opening import HELD_BYTES_MAX, OPENINGS_AT_ONCE_MAX, QUEUED_TAGS_AT_ONCE, TagQueue
from tests.support.flv_media import h264_aac
from tests.support.ingest import eventually
from tests.support.line_room import (
    LineRoom,
    another_header,
    let_fail,
    limit_of,
    picture,
    video_only,
)

if TYPE_CHECKING:
    from streamd.media.intake.actions import Open

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kind")]


async def test_lines_probe_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Open] = []

    class NotedProbe(Probe):
        def __init__(self, opening: Open) -> None:
            begun.append(opening)
            super().__init__(opening)

    monkeypatch.setattr(opening, "Probe", NotedProbe)
    probing = asyncio.Semaphore()
    rooms = [LineRoom(probing=probing) for _ in range(2)]
    await probing.acquire()
    for room in rooms:
        room.line.receive(h264_aac(seconds=1))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not begun
    probing.release()
    await eventually(lambda: all(room.epochs for room in rooms))
    assert len(begun) == 2
    assert not probing.locked()


class TestOpenings:
    async def test_tracks_that_change_all_the_time_are_left_out_after_a_while(self) -> None:
        room = LineRoom()
        video_only(room)
        for number in range(60):
            media = [another_header(number), *(picture(2000 * number + 20 * n, is_key=n == 0) for n in range(100))]
            for start in range(0, len(media), 20):
                room.line.receive(media[start : start + 20])
                await room.settled()
        assert len(room.epochs) == OPENINGS_AT_ONCE_MAX
        assert room.error is None
        room.clock.advance(5)
        room.line.receive([another_header(99), *(picture(200_000 + n, is_key=n % 50 == 40) for n in range(60))])
        await eventually(lambda: len(room.epochs) == OPENINGS_AT_ONCE_MAX + 1)

    async def test_a_stream_of_which_no_track_is_fit_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class PickyProbe(Probe):
            def __init__(self, opening: Open) -> None:
                raise TrackRefusedError(0, "unfit")

        monkeypatch.setattr(opening, "Probe", PickyProbe)
        room = LineRoom()
        video_only(room)
        for number in range(OPENINGS_AT_ONCE_MAX):
            room.line.receive([another_header(number), *(picture(n, is_key=n == 0) for n in range(40))])
            await room.settled()
        with pytest.raises(MediaLimitError) as caught:
            room.line.receive([another_header(99), *(picture(n, is_key=n == 0) for n in range(40))])
        assert limit_of(caught.value) == "openings_max"


class TestPictures:
    async def test_one_that_is_larger_than_may_be_ends_the_stream_and_its_demuxer_is_closed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = let_fail(monkeypatch, None)
        room = LineRoom(pixels_max=160 * 96 - 1)
        room.line.receive(h264_aac(2))
        await eventually(lambda: room.error)
        assert limit_of(room.error) == "picture_pixels_max"
        assert [demuxer.is_closed for demuxer in made] == [True]
        assert room.output.calls == []

    async def test_one_of_just_the_size_goes_on(self) -> None:
        room = LineRoom(pixels_max=160 * 96)
        await room.receive(h264_aac(2))
        assert room.error is None


class TestTagQueue:
    async def test_what_is_queued_in_front_comes_first(self) -> None:
        queue = TagQueue()
        queue.add([picture(3), picture(4)])
        queue.add_in_front([picture(1), picture(2)])
        assert queue.take() == [picture(1), picture(2), picture(3), picture(4)]
        assert (len(queue), queue.held_bytes) == (0, 0)

    async def test_it_is_taken_in_stretches(self) -> None:
        queue = TagQueue()
        queue.add([picture(number) for number in range(QUEUED_TAGS_AT_ONCE + 1)])
        assert len(queue.take()) == QUEUED_TAGS_AT_ONCE
        assert queue.take() == [picture(QUEUED_TAGS_AT_ONCE)]
        assert queue.take() == []

    @pytest.mark.parametrize("method", ["add", "add_in_front"])
    async def test_it_is_bounded_in_bytes(self, method: str) -> None:
        queue = TagQueue()
        add, tag = getattr(queue, method), picture(0, size=1024 * 1024)
        for _ in range(HELD_BYTES_MAX // (1024 * 1024) - 1):
            add([tag])
        with pytest.raises(DemuxError, match="while the tracks were probed"):
            add([tag, tag])
