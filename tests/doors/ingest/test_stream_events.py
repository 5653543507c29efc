"""What is told of a stream while its publisher comes, falls ill, drops and goes."""

from __future__ import annotations

import pytest

from streamd.services.events.event import EventType
from streamd.services.live.publisher import EndReason
from tests.doors.ingest.test_reconnect import live
from tests.support.ingest import OTHER_KEY, IngestRoom, publish

pytestmark = pytest.mark.asyncio

ABOUT = {"stream": "alice", "user": "alice", "key_id": "good", "live_since": "2026-01-01T00:00:00.000000Z"}


def types(room: IngestRoom) -> list[EventType]:
    return [event.type for event in room.events]


class TestLife:
    async def test_a_stream_starts_when_it_can_be_played_and_ends_once(self) -> None:
        room = IngestRoom()
        await publish(room)
        assert room.events == []
        _, stream = await live(room2 := IngestRoom())
        (started,) = room2.events
        assert started.type is EventType.STREAM_STARTED
        assert started.data == {**ABOUT, "address": "192.0.2.7", "codecs": [track.codec for track in stream.tracks]}
        room2.clock.advance(7)
        room2.registry.end(stream, EndReason.GOODBYE)
        room2.registry.end(stream, EndReason.KICKED)
        (ended,) = room2.events[1:]
        assert (ended.type, ended.at) == (EventType.STREAM_ENDED, room2.clock.now())
        assert ended.data == {**ABOUT, "reason": "goodbye", "duration_s": 7.0, "viewers": 0}

    async def test_one_that_never_could_be_played_neither_starts_nor_ends(self) -> None:
        room = IngestRoom()
        await publish(room)
        stream = room.registry.find("alice")
        assert stream is not None
        room.registry.end(stream, EndReason.GOODBYE)
        assert room.events == []

    async def test_a_publisher_that_drops_and_comes_back(self) -> None:
        room = IngestRoom(reconnect_window_s=30)
        peer, _ = await live(room)
        peer.protocol.connection_lost(None)
        assert room.events[-1].data == {**ABOUT, "window_s": 30}
        await publish(room)
        assert types(room)[1:] == [EventType.STREAM_RECONNECTING, EventType.STREAM_RESUMED]

    async def test_one_that_does_not_come_back_ends(self) -> None:
        room = IngestRoom(reconnect_window_s=30)
        peer, _ = await live(room)
        peer.protocol.connection_lost(None)
        room.clock.advance(31)
        await room.registry.sweep()
        assert types(room)[1:] == [EventType.STREAM_RECONNECTING, EventType.STREAM_ENDED]
        assert room.events[-1].data["reason"] == "connection_lost"

    async def test_a_stream_whose_key_dies_ends(self) -> None:
        room = IngestRoom()
        peer, _ = await live(room)
        peer.protocol.connection_lost(None)
        await room.registry.close_streams({"good"}, "revoked")
        assert room.events[-1].data["reason"] == "key_died"


async def test_a_refused_publish_is_no_event() -> None:
    room = IngestRoom()
    await live(room)
    await publish(room, OTHER_KEY)
    assert len(room.events) == 1
