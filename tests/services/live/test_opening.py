from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from streamd.errors import MediaLimitError, TrackRefusedError
from streamd.media.probe import Probe
from streamd.services.live import opening
from streamd.services.live.opening import OPENINGS_AT_ONCE_MAX
from tests.support.flv_media import h264_aac
from tests.support.ingest import eventually
from tests.support.line_room import (
    LineRoom,
    another_header,
    limit_of,
    picture,
    video_only,
)

if TYPE_CHECKING:
    from streamd.media.intake.intake import Open

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
