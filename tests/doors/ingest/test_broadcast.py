from __future__ import annotations

import pytest

from streamd.doors.ingest.broadcast import Broadcast
from streamd.formats.rtmp.events import PublishRequested
from streamd.services.live.publisher import EndReason
from tests.support.flv_media import h264_aac
from tests.support.ingest import GOOD_KEY, IngestRoom
from tests.support.stand_in_publisher import StandInPublisher

pytestmark = pytest.mark.asyncio


class Applicant(StandInPublisher):
    is_waiting = True


async def begin(room: IngestRoom) -> Broadcast:
    request = PublishRequested(GOOD_KEY, "live", "", "live")
    broadcast = await room.judge.decide(request, Applicant(), verify_timeout_s=10)
    assert isinstance(broadcast, Broadcast)
    return broadcast


async def test_its_end_ends_the_stream_and_is_told_to_the_holder() -> None:
    room = IngestRoom()
    broadcast = await begin(room)
    broadcast.end(EndReason.GOODBYE, "encoder said goodbye", room.clock.now())
    assert not broadcast.stream.is_live
    assert (broadcast.attempt.result, broadcast.attempt.detail) == ("goodbye", "encoder said goodbye")
    assert broadcast.attempt.ended_at == room.clock.now()


async def test_where_the_stream_was_ended_first_the_holder_is_told_that_reason() -> None:
    room = IngestRoom()
    broadcast = await begin(room)
    room.registry.end(broadcast.stream, EndReason.KICKED)
    broadcast.end(EndReason.CONNECTION_LOST, "", room.clock.now())
    assert broadcast.attempt.result == "kicked"


async def test_it_was_heard_when_it_began_and_with_each_frame() -> None:
    room = IngestRoom()
    broadcast = await begin(room)
    began_at = room.clock.monotonic()
    assert broadcast.heard_at == began_at
    room.clock.advance(3)
    broadcast.stream.receive_tags(h264_aac(seconds=1)[:3])
    assert broadcast.heard_at == began_at + 3
