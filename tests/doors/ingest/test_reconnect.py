"""A publisher that drops and comes back within the reconnect window."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from streamd.media.packager.reload import PartNumber
from streamd.services.live.publisher import EndReason
from streamd.services.live.waiters import Awaited
from tests.support import rtmp_wire
from tests.support.flv_media import h264_aac
from tests.support.ingest import (
    GOOD_KEY,
    OTHER_KEY,
    IngestRoom,
    Peer,
    eventually,
    hls_of,
    presentation_of,
    publish,
)
from tests.support.llhls_checker import PlaylistFollower

if TYPE_CHECKING:
    from streamd.services.live.live_stream import LiveStream

pytestmark = pytest.mark.asyncio

WINDOW_S = 30.0


def send_media(peer: Peer, seconds: int = 3, start_ms: int = 0) -> None:
    tags = h264_aac(seconds=seconds)
    peer.send(
        *(rtmp_wire.message(tag.tag_type, bytes(tag.payload), time_ms=start_ms + tag.timestamp_ms) for tag in tags)
    )


async def live(room: IngestRoom) -> tuple[Peer, LiveStream]:
    """A stream with a playlist, and its publisher."""
    peer = await publish(room)
    send_media(peer)
    stream = room.registry.find("alice")
    assert stream is not None
    await eventually(lambda: stream.is_playable)
    return peer, stream


def playlist(stream: LiveStream) -> bytes:
    return presentation_of(stream).renditions["main"].playlist().full.buffers[0]


class TestComingBack:
    async def test_the_playlist_goes_on_behind_a_discontinuity(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        peer, stream = await live(room)
        follower = PlaylistFollower()
        assert follower.reload(playlist(stream)) == []
        peer.protocol.connection_lost(ConnectionResetError())
        assert follower.reload(playlist(stream)) == []
        assert b"#EXT-X-ENDLIST" not in playlist(stream)

        room.clock.advance(2)
        again = await publish(room)
        assert again.status_codes() == ["NetStream.Publish.Start"]
        assert room.registry.find("alice") is stream
        send_media(again)
        await eventually(lambda: b"#EXT-X-DISCONTINUITY\n" in playlist(stream))
        assert follower.reload(playlist(stream)) == []

    async def test_viewers_who_wait_go_on_waiting(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        peer, stream = await live(room)
        peer.protocol.connection_lost(None)
        rendition = presentation_of(stream).renditions["main"]
        woken: list[object] = []
        hls_of(stream).waiters.subscribe(Awaited("main", PartNumber(rendition.next_part_number)), woken.append)
        room.clock.advance(2)
        await room.registry.sweep()
        assert woken == []
        again = await publish(room)
        send_media(again)
        await eventually(lambda: woken)

    async def test_it_may_drop_again_and_again(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        peer, stream = await live(room)
        for count in range(1, 4):
            peer.protocol.connection_lost(None)
            room.clock.advance(WINDOW_S - 1)
            await room.registry.sweep()
            peer = await publish(room)
            send_media(peer)
            await eventually(lambda count=count: playlist(stream).count(b"#EXT-X-DISCONTINUITY\n") == count)  # type: ignore[misc]

    async def test_the_old_connection_has_no_say_any_more(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        peer, stream = await live(room)
        room.registry.leave(stream, peer.protocol, EndReason.CONNECTION_LOST)
        await publish(room)
        peer.protocol.connection_lost(None)
        assert stream.lost_at is None
        assert stream.is_live


class TestLeap:
    """The publisher stays, and its timestamps leap."""

    @pytest.mark.parametrize("leap_ms", [3_600_000, -3_600_000])
    async def test_the_playlist_goes_on_behind_a_discontinuity(self, leap_ms: int) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        peer = await publish(room)
        send_media(peer, start_ms=7_200_000)
        stream = room.registry.find("alice")
        assert stream is not None
        await eventually(lambda: stream.is_playable)
        follower = PlaylistFollower()
        assert follower.reload(playlist(stream)) == []
        send_media(peer, start_ms=7_203_000 + leap_ms)
        assert playlist(stream).count(b"#EXT-X-DISCONTINUITY\n") == 1
        assert follower.reload(playlist(stream)) == []
        # Another one at the same distance is only the next second of the same clock.
        send_media(peer, start_ms=7_206_000 + leap_ms)
        assert playlist(stream).count(b"#EXT-X-DISCONTINUITY\n") == 1
        assert follower.reload(playlist(stream)) == []


class TestNotComingBack:
    async def test_after_the_window_the_playlist_ends(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        peer, stream = await live(room)
        peer.protocol.connection_lost(None)
        room.clock.advance(WINDOW_S - 1)
        await room.registry.sweep()
        assert b"#EXT-X-ENDLIST" not in playlist(stream)
        room.clock.advance(1)
        await room.registry.sweep()
        assert b"#EXT-X-ENDLIST" in playlist(stream)
        assert room.registry.summary("alice") is None

    async def test_a_goodbye_ends_at_once(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        peer, stream = await live(room)
        peer.send(rtmp_wire.command("FCUnpublish", 6, None, GOOD_KEY))
        assert not stream.is_live

    async def test_what_came_before_the_goodbye_is_not_lost_while_a_demuxer_opens(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        peer = await publish(room)
        send_media(peer, seconds=6)
        peer.send(rtmp_wire.command("FCUnpublish", 6, None, GOOD_KEY))
        peer.protocol.connection_lost(None)
        stream = room.registry.find("alice")
        assert stream is not None
        await eventually(lambda: not stream.is_live)
        assert b"#EXT-X-ENDLIST" in playlist(stream)
        assert playlist(stream).count(b"#EXTINF") == 4

    async def test_a_window_of_nothing_ends_at_once(self) -> None:
        room = IngestRoom(reconnect_window_s=0)
        peer, stream = await live(room)
        peer.protocol.connection_lost(None)
        assert not stream.is_live

    async def test_no_media_for_too_long_is_a_loss_too(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        peer, stream = await live(room)
        room.clock.advance(60)
        peer.protocol.check_deadline(room.clock.monotonic())
        assert stream.is_live
        assert stream.lost_at is not None

    async def test_another_key_takes_nobodys_place(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        peer, stream = await live(room)
        peer.protocol.connection_lost(None)
        other = await publish(room, OTHER_KEY)
        assert other.status_codes() == ["NetStream.Publish.BadName"]
        assert stream.lost_at is not None

    async def test_a_revoked_key_ends_the_stream_that_waits_for_it(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        peer, stream = await live(room)
        peer.protocol.connection_lost(None)
        assert await room.registry.close_streams({"good"}, "revoked") == ["alice"]
        assert not stream.is_live
        assert b"#EXT-X-ENDLIST" in playlist(stream)

    async def test_a_kick_ends_a_stream_that_waits(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        peer, stream = await live(room)
        peer.protocol.connection_lost(None)
        async with asyncio.timeout(5):
            assert await room.registry.kick("alice")
        assert not stream.is_live


class TestForgetting:
    @pytest.mark.parametrize("how", ["by time", "by a new stream"])
    async def test_a_stream_that_nobody_finds_any_more_is_gone_before_garbage_is_collected(self, how: str) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        peer, stream = await live(room)
        remains = weakref.ref(stream)
        renditions = [weakref.ref(rendition) for rendition in presentation_of(stream).renditions.values()]
        gc.collect()
        gc.disable()
        try:
            peer.send(rtmp_wire.command("deleteStream", 4, None, 1.0))
            if how == "by time":
                room.clock.advance(60)
                await room.registry.sweep()
                assert room.registry.find("alice") is None
            else:
                await publish(room)
                assert room.registry.find("alice") is not stream
            del stream
            assert remains() is None
            assert [rendition() for rendition in renditions] == [None]
        finally:
            gc.enable()
