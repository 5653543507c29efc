"""The same key comes back while its first connection is still there, and silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streamd.services.live.publisher import EndReason
from tests.doors.ingest.test_reconnect import live, playlist, send_media
from tests.support import rtmp_wire
from tests.support.ingest import OTHER_KEY, IngestRoom, eventually, publish, settle

if TYPE_CHECKING:
    from tests.support.ingest import Peer

pytestmark = pytest.mark.asyncio


def codes(peer: Peer) -> list[str]:
    return peer.status_codes()


async def test_the_stream_goes_on_behind_a_discontinuity() -> None:
    room = IngestRoom()
    first, stream = await live(room)
    room.clock.advance(2)
    second = await publish(room)
    assert codes(second) == ["NetStream.Publish.Start"]
    assert stream.is_live
    assert stream.broadcaster.publisher is second.protocol
    send_media(second)
    await eventually(lambda: b"#EXT-X-DISCONTINUITY\n" in playlist(stream))
    assert [event.type.value for event in room.events][-2:] == ["stream.reconnecting", "stream.resumed"]
    # The first is told, and what it still sends is thrown away.
    assert codes(first)[-1] == "NetStream.Publish.Rejected"
    assert first.transport.is_eof_written
    heard_at = stream.last_media_at
    room.clock.advance(1)
    send_media(first)
    assert stream.last_media_at == heard_at


async def test_the_holder_is_told_what_became_of_the_first() -> None:
    room = IngestRoom()
    first, _ = await live(room)
    room.clock.advance(2)
    await publish(room)
    first.protocol.connection_lost(None)
    was, now = room.keys.attempts.of("good")
    assert (was.result, now.result) == ("connection_lost", "live")
    assert was.detail == "This connection was silent, and the same stream key has come back on another one."


async def test_one_that_has_shown_nothing_yet_begins_anew() -> None:
    room = IngestRoom()
    await publish(room)
    before = room.registry.find("alice")
    assert before is not None
    room.clock.advance(2)
    second = await publish(room)
    assert codes(second) == ["NetStream.Publish.Start"]
    assert before.end_reason is EndReason.CONNECTION_LOST
    stream = room.registry.find("alice")
    assert stream is not None
    assert stream is not before
    assert stream.is_live


async def test_one_that_sends_keeps_its_place() -> None:
    room = IngestRoom()
    first, _ = await live(room)
    for _ in range(3):
        room.clock.advance(1.9)
        first.send(rtmp_wire.message(8, b"\xaf\x01a"))
        second = room.ask_to_publish(address="198.51.100.9")
        await settle(lambda: second.transport.is_eof_written)  # noqa: B023  # awaited within the turn
        assert codes(second) == ["NetStream.Publish.BadName"]
    assert not first.transport.is_eof_written


async def test_another_key_of_the_user_does_not_take_over() -> None:
    room = IngestRoom()
    await live(room)
    room.clock.advance(10)
    second = await publish(room, OTHER_KEY)
    assert codes(second) == ["NetStream.Publish.BadName"]


async def test_one_that_is_not_read_because_it_had_its_share_is_not_silent() -> None:
    room = IngestRoom()
    first, stream = await live(room)
    stream.broadcaster.charge(30.0)
    assert not first.is_read
    room.clock.advance(2)
    second = await publish(room)
    assert codes(second) == ["NetStream.Publish.BadName"]
