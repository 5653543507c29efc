"""The media line with its real demuxer, and an output that remembers what came out."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from streamd.errors import DemuxError
from streamd.media.demux import DemuxerKind
from streamd.media.demux_native import NativeDemuxer
from streamd.media.demux_pyav import PyavDemuxer
from streamd.media.probe import Probe
from streamd.services.live import opening
from streamd.services.live.media_line import DEMUXER_FAILURES_MAX
from streamd.services.live.opening import HELD_BYTES_MAX, QUEUED_TAGS_AT_ONCE
from tests.support.flv_media import h264_aac, h264_only
from tests.support.ingest import eventually
from tests.support.line_room import (
    AVC_HEADER,
    LineRoom,
    another_header,
    discontinuities,
    later,
    let_fail,
    picture,
    video_only,
)

if TYPE_CHECKING:
    from streamd.media.intake.actions import Open

    pass

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kind")]


class TestDemuxer:
    async def test_the_one_that_is_opened_is_counted(self, kind: DemuxerKind) -> None:
        room = LineRoom()
        await room.receive(h264_aac())
        assert {each: room.counted("streamd_demuxers_opened_total", each) for each in DemuxerKind} == {
            each: each is kind for each in DemuxerKind
        }
        assert isinstance(room.line._demuxer, PyavDemuxer if kind is DemuxerKind.PYAV else NativeDemuxer)
        room.line.finish()

    async def test_all_packets_are_packaged_whatever_the_batches(self) -> None:
        media = h264_aac(seconds=4)
        rooms = [LineRoom(), LineRoom()]
        for room, size in zip(rooms, (1, 500), strict=True):
            await room.receive(media[:40])
            for start in range(40, len(media), size):
                room.line.receive(media[start : start + size])
            room.line.finish()
        first, second = (room.chunks["main"] for room in rooms)
        assert b"".join(chunk.content.join() for chunk in first) == b"".join(chunk.content.join() for chunk in second)

    async def test_one_that_fails_is_opened_anew_at_the_next_keyframe(
        self, monkeypatch: pytest.MonkeyPatch, kind: DemuxerKind
    ) -> None:
        made = let_fail(monkeypatch, 3, None)
        room = LineRoom()
        media = h264_aac(seconds=8, gop=30)
        await room.receive(media[:200])
        for start in range(200, len(media), 10):
            room.line.receive(media[start : start + 10])
            await eventually(lambda: room.is_open)
        room.line.finish()
        chunks = room.chunks["main"]
        (first,) = discontinuities(chunks)
        assert first.is_independent
        # What was lost is the rest of a group of pictures.
        duration_s = sum(chunk.duration_ticks / chunk.timescale for chunk in chunks)
        assert 8 - 1.5 < duration_s < 8
        assert [demuxer.is_closed for demuxer in made] == [True, True]
        assert room.counted("streamd_demuxer_failures_total", kind) == 1
        assert room.warnings == ["demuxer_failed"]
        assert room.error is None

    async def test_one_that_fails_with_its_first_frames_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = let_fail(monkeypatch, 1, None)
        room = LineRoom()
        room.line.receive(h264_aac(seconds=4))
        await eventually(lambda: len(made) == 2 and room.is_open)
        room.line.finish()
        assert room.chunks["main"]
        assert room.warnings == ["demuxer_failed"]
        assert room.error is None

    async def test_stream_ends_where_it_fails_and_fails(
        self, monkeypatch: pytest.MonkeyPatch, kind: DemuxerKind
    ) -> None:
        made = let_fail(monkeypatch, 2)
        room = LineRoom()
        media = h264_aac(seconds=8, gop=10)

        async def broadcast() -> None:
            for start in range(0, len(media), 5):
                room.line.receive(media[start : start + 5])
                await eventually(lambda: room.is_open)
                if room.error is not None:
                    raise room.error

        with pytest.raises(DemuxError, match=rf"has failed {DEMUXER_FAILURES_MAX + 1} times, at last: lost step"):
            await broadcast()
        assert len(made) == DEMUXER_FAILURES_MAX + 1
        assert all(demuxer.is_closed for demuxer in made)
        assert room.counted("streamd_demuxer_failures_total", kind) == DEMUXER_FAILURES_MAX + 1
        room.line.finish()

    async def test_one_that_fails_before_other_tracks_is_not_missed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = let_fail(monkeypatch, None)
        room = LineRoom()
        await room.receive(h264_aac(seconds=2))
        await eventually(lambda: room.is_open)
        made[0].fails_at = made[0].batches + 1
        wider = later(h264_only(seconds=2, width=320), 2000)
        # The sound of the first read is the last batch of the old demuxer.
        room.line.receive([*later(h264_aac(seconds=1)[2:8], 2000), *wider])
        await eventually(lambda: room.is_open and len(made) == 2)
        room.line.receive(later(wider[1:], 2000))
        room.line.finish()
        assert made[0].batches == made[0].fails_at
        assert made[1].batches
        assert room.warnings == ["demuxer_failed"]
        assert room.error is None

    async def test_it_is_closed_with_the_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = let_fail(monkeypatch, None)
        room = LineRoom()
        await room.receive(h264_aac())
        room.line.finish()
        assert [demuxer.is_closed for demuxer in made] == [True]

    async def test_it_is_closed_where_other_tracks_come(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = let_fail(monkeypatch, None)
        room = LineRoom()
        await room.receive(h264_aac(seconds=2))
        room.line.receive(later(h264_only(seconds=2, width=320), 2000))
        await eventually(lambda: len(made) == 2 and room.is_open)
        assert [demuxer.is_closed for demuxer in made] == [True, False]
        room.line.finish()


class TestQueue:
    """What comes while libavformat is asked about new tracks."""

    async def test_the_order_is_kept_whatever_opens_in_the_middle(self) -> None:
        room = LineRoom()
        video_only(room)
        changes = {251: another_header(1), 401: another_header(2), 701: another_header(3)}
        media = [AVC_HEADER, *(picture(20 * n, is_key=n % 50 == 0) for n in range(1000))]
        sent = [tag for n, tag in enumerate(media) for tag in ((changes[n], tag) if n in changes else (tag,))]
        room.line.receive(sent[:600])
        room.line.receive(sent[600:800])
        room.line.receive(sent[800:])
        await eventually(lambda: len(room.epochs) == 4 and room.tags[-1] == sent[-1])
        assert [tag.timestamp_ms for tag in room.tags] == [20 * n for n in range(1000)]

    async def test_it_is_taken_so_that_the_others_have_their_turn(self) -> None:
        room = LineRoom(probing=asyncio.Semaphore())
        assert room.probing is not None
        await room.probing.acquire()
        video_only(room)
        room.line.receive([AVC_HEADER, picture(0, is_key=True)])
        room.line.receive([picture(n + 1) for n in range(4000)])
        taken: list[int] = []

        async def look_on() -> None:
            while len(room.tags) < 4001:
                taken.append(len(room.tags))
                await asyncio.sleep(0)

        room.probing.release()
        await look_on()
        steps = [b - a for a, b in pairwise([*taken, 4001])]
        assert max(steps) <= QUEUED_TAGS_AT_ONCE + 1
        room.line.receive([picture(5000)])
        assert room.tags[-1] == picture(5000), "nothing queues any more"

    async def test_what_an_opening_and_its_queue_cost_is_charged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class DearProbe(Probe):
            def __init__(self, opening: Open) -> None:
                room.clock.work(0.5)
                super().__init__(opening)

        monkeypatch.setattr(opening, "Probe", DearProbe)
        room = LineRoom(tag_s=0.001)
        video_only(room)
        room.line.receive([AVC_HEADER, picture(0, is_key=True)])
        room.line.receive([picture(n + 1) for n in range(999)])
        await room.settled()
        assert len(room.tags) == 1000
        assert sum(room.charged) == pytest.approx(0.5 + 1.0)
        assert max(room.charged[1:]) <= QUEUED_TAGS_AT_ONCE * 0.001 + 1e-6
        # What a read brings later is its owner's to count.
        room.line.receive([picture(5000)])
        assert sum(room.charged) == pytest.approx(0.5 + 1.0)

    async def test_an_opening_that_fails_is_charged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class BrokenProbe:
            def __init__(self, opening: Open) -> None:
                room.clock.work(0.5)
                raise DemuxError("it is not media")

        monkeypatch.setattr(opening, "Probe", BrokenProbe)
        room = LineRoom()
        video_only(room)
        room.line.receive([AVC_HEADER, picture(0, is_key=True)])
        await eventually(lambda: room.error)
        assert sum(room.charged) == pytest.approx(0.5)

    async def test_tags_without_number_are_too_many(self) -> None:
        room = LineRoom()
        video_only(room)
        room.line.receive([AVC_HEADER, picture(0, is_key=True)])
        for _ in range(39):
            room.line.receive([picture(1, size=1)] * 1000)
        with pytest.raises(DemuxError, match="while the tracks were probed"):
            room.line.receive([picture(1, size=1)] * 2000)
        assert room.line.held_bytes < 1.1 * HELD_BYTES_MAX
