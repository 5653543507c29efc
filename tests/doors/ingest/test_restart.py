"""A server that ended without ending its streams, and the next one: publishers and players go on."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from streamd.clock import EPOCH_2020, ManualClock
from streamd.doors.delivery.answer import Answer, MediaRequest
from streamd.doors.delivery.channels import PublicChannels
from streamd.doors.delivery.lookup import Blocked, MediaLookup
from streamd.doors.delivery.media_path import parse_media_path
from streamd.errors import ServerRestartsError
from streamd.services.events.event import EventType
from streamd.services.live.channel_numbers import RESERVE_S
from streamd.services.live.publisher import EndReason
from tests.doors.ingest.test_reconnect import live, playlist, send_media
from tests.support.ingest import OTHER_KEY, IngestRoom, eventually, hls_of, presentation_of, publish
from tests.support.llhls_checker import PlaylistFollower, parse_playlist

if TYPE_CHECKING:
    from streamd.services.live.live_stream import LiveStream

pytestmark = pytest.mark.asyncio

WINDOW_S = 30.0


def next_server(room: IngestRoom, away_s: float = 5.0) -> IngestRoom:
    """What the server after this one finds, some seconds later."""
    following = IngestRoom(reconnect_window_s=WINDOW_S)
    following.clock.advance(room.clock.monotonic() - following.clock.monotonic() + away_s)
    following.registry.restore(room.registry.record())
    return following


def alice(room: IngestRoom) -> LiveStream:
    stream = room.registry.find("alice")
    assert stream is not None
    return stream


def ask(room: IngestRoom, resource: str) -> Answer | Blocked:
    path, _, query = resource.partition("?")
    parsed = parse_media_path(f"/live/alice/{path}")
    assert parsed is not None
    return MediaLookup(PublicChannels(room.registry, lambda _: False)).ask(MediaRequest("GET", parsed, query))


class TestPlayers:
    async def test_the_playlist_goes_on_behind_a_discontinuity(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        _, stream = await live(room)
        follower = PlaylistFollower()
        before = playlist(stream)
        assert follower.reload(before) == []

        room = next_server(room)
        send_media(await publish(room))
        await eventually(lambda: hls_of(alice(room)).presentation and b"#EXTINF" in playlist(alice(room)))
        after = playlist(alice(room))
        old, new = parse_playlist(before), parse_playlist(after)
        assert new.media_sequence > old.last_msn + 1
        assert new.listed[0].is_discontinuous
        assert new.discontinuity_sequence > old.discontinuity_sequence
        assert (new.target_duration, new.part_target) == (old.target_duration, old.part_target)
        # What was listed has gone with the server; all else is as of any playlist that goes on.
        assert follower.reload(after) == ["6.2.2: a live playlist of 3.00000 s, target 2 s"]

    async def test_again_and_again_the_discontinuities_are_counted_on(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        await live(room)
        counted = [-1]
        for _ in range(4):
            room = next_server(room)
            send_media(await publish(room))
            await eventually(lambda: b"#EXTINF" in playlist(alice(room)))  # noqa: B023  # awaited before the next turn
            counted.append(parse_playlist(playlist(alice(room))).discontinuity_sequence)
        assert counted == sorted(set(counted))
        assert counted[-1] < 20

    @pytest.mark.parametrize("resource", ["index.m3u8", "main.m3u8", "main.m3u8?_HLS_msn=5&_HLS_part=0"])
    async def test_who_asks_before_the_publisher_is_back_waits(self, resource: str) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        await live(room)
        room = next_server(room)
        answer = ask(room, resource)
        assert isinstance(answer, Blocked)
        woken: list[object] = []
        answer.waiters.subscribe(answer.awaited, woken.append)
        send_media(await publish(room))
        await eventually(lambda: woken)
        found = ask(room, resource)
        assert isinstance(found, Answer)
        assert found.status == 200

    async def test_since_when_it_is_live_is_remembered(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        _, stream = await live(room)
        assert alice(next_server(room)).live_since == stream.live_since


class TestStop:
    """A server that stops leaves its playlists open for the next one."""

    async def test_a_publisher_that_is_told_to_come_back_leaves_its_playlist_open(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        publisher, stream = await live(room)
        publisher.protocol.kick(ServerRestartsError())
        publisher.protocol.connection_lost(None)
        assert publisher.status_codes()[-1] == "NetConnection.Connect.Closed"
        assert stream.is_live
        assert b"#EXT-X-ENDLIST" not in playlist(stream)
        assert [left.name for left in room.registry.record().streams] == ["alice"]

    async def test_who_waits_is_shown_the_playlist_as_it_is(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        _, stream = await live(room)
        next_msn = parse_playlist(playlist(stream)).last_msn + 2
        blocking = f"main.m3u8?_HLS_msn={next_msn}"
        answer = ask(room, blocking)
        assert isinstance(answer, Blocked)
        woken: list[object] = []
        answer.waiters.subscribe(answer.awaited, woken.append)
        room.registry.dismiss_viewers()
        await eventually(lambda: woken)
        for resource in (blocking, "main.m3u8?_HLS_skip=YES", "main.m3u8", "index.m3u8"):
            found = ask(room, resource)
            assert isinstance(found, Answer)
            assert found.status == 200
        found = ask(room, blocking)
        assert isinstance(found, Answer)
        assert b"".join(found.body) == playlist(stream)

    async def test_a_part_that_the_next_server_will_not_have_is_refused_and_not_missing(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        _, stream = await live(room)
        hinted = f"main/part{presentation_of(stream).renditions['main'].next_part_number}.m4s"
        assert isinstance(ask(room, hinted), Blocked)
        room.registry.dismiss_viewers()
        found = ask(room, hinted)
        assert isinstance(found, Answer)
        assert found.status == 503

    @pytest.mark.parametrize(("away_s", "is_live"), [(0.0, True), (WINDOW_S, True), (WINDOW_S + 1, False)])
    async def test_after_longer_than_the_window_the_next_server_ends_it(self, away_s: float, is_live: bool) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        await live(room)
        following = IngestRoom(reconnect_window_s=WINDOW_S)
        record = replace(room.registry.record(), stopped_at=following.clock.now() - timedelta(seconds=away_s))
        following.registry.restore(record)
        assert [stream.name for stream in following.registry.live()] == ["alice"] * is_live
        ended = [event.type for event in following.events if event.type is EventType.STREAM_ENDED]
        assert len(ended) == (not is_live)


class TestPlace:
    async def test_another_key_takes_nobodys_place(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        await live(room)
        room = next_server(room)
        assert (await publish(room, OTHER_KEY)).status_codes() == ["NetStream.Publish.BadName"]
        assert (await publish(room)).status_codes() == ["NetStream.Publish.Start"]

    async def test_after_the_window_it_is_over(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        await live(room)
        room = next_server(room)
        room.clock.advance(WINDOW_S)
        await room.registry.sweep()
        answer = ask(room, "main.m3u8")
        assert isinstance(answer, Answer)
        assert answer.status == 404
        assert room.registry.find("alice") is None
        assert (await publish(room, OTHER_KEY)).status_codes() == ["NetStream.Publish.Start"]

    async def test_a_key_that_is_revoked_meanwhile_ends_it(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        await live(room)
        room = next_server(room)
        assert await room.registry.close_streams({"good"}, "revoked") == ["alice"]
        assert room.registry.record().streams == ()


class TestRecord:
    async def test_it_changes_with_discontinuities_and_not_with_media(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        peer, stream = await live(room)
        record = room.registry.record()
        room.clock.advance(20)
        send_media(peer, seconds=2, start_ms=3000)
        assert room.registry.record() == record
        peer.protocol.connection_lost(None)
        send_media(await publish(room))
        await eventually(lambda: b"#EXT-X-DISCONTINUITY\n" in playlist(stream))
        assert room.registry.record() != record

    async def test_what_has_ended_or_has_no_playlist_is_not_in_it(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        await publish(room)
        assert room.registry.record().streams == ()
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        _, stream = await live(room)
        room.registry.end(stream, EndReason.KICKED)
        assert room.registry.record().streams == ()

    async def test_numbers_that_ran_ahead_of_the_clock_are_not_used_again(self) -> None:
        """Ten minutes of media sent in no time at all."""
        room = IngestRoom(reconnect_window_s=WINDOW_S)
        peer, stream = await live(room)
        clock_s = (room.clock.now() - EPOCH_2020) // timedelta(seconds=1)
        for turn in range(1, 60):
            send_media(peer, seconds=10, start_ms=turn * 10_000)
        used = stream.next_numbering
        assert used.seconds > clock_s
        record = room.registry.record()
        assert used.seconds <= record.numbers_used_until_s <= clock_s + RESERVE_S
        # Neither by a stream of the same name after this one is forgotten, nor after a restart.
        room.registry.end(stream, EndReason.KICKED)
        room.clock.advance(30)
        await room.registry.sweep()
        for following in (room, next_server(room, away_s=1)):
            _, again = await live(following)
            assert playlist(again)
            first = parse_playlist(playlist(again)).media_sequence
            assert first >= used.msn

    async def test_a_clock_that_is_behind_at_the_restart_does_not_bring_numbers_back(self) -> None:
        room = IngestRoom(reconnect_window_s=WINDOW_S, start=ManualClock().now() + timedelta(hours=1))
        _, stream = await live(room)
        used = stream.next_numbering
        following = next_server(room)
        assert following.clock.now() < room.clock.now()
        send_media(await publish(following))
        await eventually(lambda: b"#EXTINF" in playlist(alice(following)))
        assert parse_playlist(playlist(alice(following))).media_sequence >= used.msn
