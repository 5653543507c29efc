"""Every limit of RTMP publishers is reached, acts, and is counted under its key in ``[limits]``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from streamd.doors.ingest.deadlines import VERDICT_EXTRA_S, IngestOptions
from streamd.doors.ingest.listener import RtmpListener
from streamd.doors.ingest.open_connections import ListenerLimits
from streamd.doors.ingest.read_turns import OPENING_S, LoopShares
from streamd.formats.amf import amf0
from streamd.formats.amf.values import Limits
from streamd.formats.rtmp.chunk import ChunkLimits
from streamd.formats.rtmp.connection_options import ConnectionOptions
from streamd.media.intake.limits import IntakeLimits
from streamd.media.packager.rendition import RenditionOptions
from streamd.services.bounds.memory_accounts import Standing
from streamd.services.keys.records import PublishLimits
from streamd.services.live import hls_output
from streamd.services.live.gop_cache import GopLimits
from streamd.services.live.meter import READINGS_MAX
from streamd.services.live.publisher import EndReason
from streamd.services.live.stream_options import StreamLimits
from tests.support.flv_media import h264_aac
from tests.support.ingest import OTHER_KEY, IngestRoom, Peer, RecordingTransport, eventually, settle
from tests.support.rtmp_wire import chunk, command, control, message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamd.formats.flv.tag import FlvTag

pytestmark = pytest.mark.asyncio

OPTIONS = ConnectionOptions(
    command_bytes_max=1000,
    chunk_limits=ChunkLimits(
        message_bytes_max=5000, chunk_streams_max=4, held_bytes_max=8000, chunk_size_min=128, messages_per_read_max=256
    ),
    amf_limits=Limits(amf_depth_max=4, amf_values_max=100, amf_string_bytes_max=500),
)

PUBLISH = amf0.write_values("publish", 3)
CLOSED_BY = {
    "message_bytes_max": chunk(0, 4, length=5001),
    "held_bytes_max": chunk(0, 4, bytes(128), length=5000) + chunk(0, 5, bytes(128), length=5000),
    "chunk_streams_max": b"".join(chunk(0, number, b"a") for number in range(4, 9)),
    "chunk_size_min": control(1, (1).to_bytes(4, "big")),
    "messages_per_read_max": chunk(0, 4, b"") + b"\xc4" * 256,
}
# Of a connection whose publish is not accepted.
STRANGER_CLOSED_BY = {
    "message_bytes_max": chunk(0, 4, length=5001),
    "held_bytes_max": chunk(0, 4, bytes(128), length=5000) + chunk(0, 5, bytes(128), length=5000),
    "chunk_streams_max": b"".join(chunk(0, number, b"a") for number in range(4, 9)),
    "chunk_size_min": control(1, (1).to_bytes(4, "big")),
    "pending_messages_max": chunk(0, 4, b"") + b"\xc4" * 128,
    "pending_bytes_max": message(9, bytes(5000)) * 13,
}
DROPPED_BY = {
    "command_bytes_max": command("x", 0, "y" * 1000),
    "amf_depth_max": message(20, PUBLISH + b"\x0a\x00\x00\x00\x01" * 5),
    "amf_values_max": message(20, PUBLISH + b"\x0a\xff\xff\xff\xff"),
    "amf_string_bytes_max": message(20, PUBLISH + b"\x0c\x00\x00\x02\x00"),
}


@pytest.mark.parametrize(("limit", "sent"), STRANGER_CLOSED_BY.items(), ids=STRANGER_CLOSED_BY)
async def test_a_stranger_who_asks_for_more_is_closed(limit: str, sent: bytes) -> None:
    room = IngestRoom(connection_options=OPTIONS)
    peer = room.connect()
    peer.log_in()
    peer.send(sent)
    assert peer.transport.is_eof_written
    assert room.limit_hits() == {limit: 1}


@pytest.mark.parametrize(("limit", "sent"), CLOSED_BY.items(), ids=CLOSED_BY)
async def test_a_publisher_who_asks_for_more_is_closed(limit: str, sent: bytes) -> None:
    room = IngestRoom(connection_options=OPTIONS)
    peer = await live(room)
    await peer.send_all(sent)
    assert peer.transport.is_eof_written
    assert room.limit_hits() == {limit: 1}


@pytest.mark.parametrize(("limit", "sent"), DROPPED_BY.items(), ids=DROPPED_BY)
async def test_a_message_that_asks_for_more_is_dropped(limit: str, sent: bytes) -> None:
    room = IngestRoom(connection_options=OPTIONS)
    peer = room.connect()
    peer.log_in()
    peer.send(sent)
    assert not peer.transport.is_eof_written
    assert room.limit_hits() == {limit: 1}


def is_ended(peer: Peer) -> bool:
    return peer.transport.is_eof_written or peer.transport.is_closing()


async def live(room: IngestRoom) -> Peer:
    peer = room.ask_to_publish()
    await settle(lambda: room.registry.summary("alice"))
    return peer


def media(tags: Sequence[FlvTag]) -> bytes:
    return b"".join(message(tag.tag_type, bytes(tag.payload), time_ms=tag.timestamp_ms) for tag in tags)


def new_listener(room: IngestRoom, limits: ListenerLimits) -> RtmpListener:
    return RtmpListener(
        keys=room.keys,  # type: ignore[arg-type]  # the two calls that a connection makes
        registry=room.registry,
        clock=room.clock,
        metrics=room.metrics,
        options=IngestOptions(),
        connection_options=ConnectionOptions(),
        limits=limits,
    )


class TestTime:
    async def test_a_handshake(self) -> None:
        room = IngestRoom()
        peer = room.connect()
        await self.pass_time(room, peer, IngestOptions().handshake_timeout_s)
        assert room.limit_hits() == {"handshake_timeout_s": 1}

    async def test_a_login(self) -> None:
        room = IngestRoom()
        peer = room.connect()
        peer.log_in()
        await self.pass_time(room, peer, IngestOptions().publish_timeout_s)
        assert room.limit_hits() == {"publish_timeout_s": 1}

    async def test_media(self) -> None:
        room = IngestRoom()
        peer = await live(room)
        await self.pass_time(room, peer, IngestOptions().media_timeout_s)
        assert room.limit_hits() == {"media_timeout_s": 1}

    async def test_the_store(self) -> None:
        room = IngestRoom(IngestOptions(verify_timeout_s=0.0))
        room.keys.hold = asyncio.get_running_loop().create_future()
        peer = room.ask_to_publish()
        await settle(lambda: is_ended(peer))
        assert room.limit_hits() == {"verify_timeout_s": 1}

    async def test_a_verdict_that_never_comes(self) -> None:
        room = IngestRoom()
        room.keys.hold = asyncio.get_running_loop().create_future()
        peer = room.ask_to_publish()
        await self.pass_time(room, peer, IngestOptions().verify_timeout_s + VERDICT_EXTRA_S)

    async def pass_time(self, room: IngestRoom, peer: Peer, limit_s: float) -> None:
        room.clock.advance(limit_s)
        peer.protocol.check_deadline(room.clock.monotonic())
        assert not is_ended(peer)
        room.clock.advance(1)
        peer.protocol.check_deadline(room.clock.monotonic())
        assert is_ended(peer)


class TestAmounts:
    async def test_messages_a_second(self) -> None:
        room = IngestRoom(IngestOptions(messages_per_second_max=1000))
        peer = await live(room)
        flood = message(3, bytes(4)) * 600
        for _ in range(2):
            room.clock.advance(1)
            peer.protocol.check_deadline(room.clock.monotonic())
            await peer.send_all(flood)
        assert not is_ended(peer)
        await peer.send_all(flood)
        room.clock.advance(1)
        peer.protocol.check_deadline(room.clock.monotonic())
        assert is_ended(peer)
        assert room.limit_hits() == {"messages_per_second_max": 1}

    async def test_messages_that_came_while_nobody_looked_had_the_time_for_it(self) -> None:
        room = IngestRoom(IngestOptions(messages_per_second_max=1000))
        peer = await live(room)
        for _ in range(4):
            await peer.send_all(message(3, bytes(4)) * 600)
        room.clock.advance(3)
        peer.protocol.check_deadline(room.clock.monotonic())
        assert not is_ended(peer)

    async def test_answers_that_are_not_read(self) -> None:
        room = IngestRoom(IngestOptions(unsent_answers_bytes_max=20_000))
        peer = room.connect()
        assert peer.transport.write_limit == 20_000
        peer.protocol.pause_writing()
        assert peer.transport.is_aborted
        assert room.limit_hits() == {"unsent_answers_bytes_max": 1}

    async def test_what_is_sent_before_the_key_is_decided(self) -> None:
        room = IngestRoom(connection_options=ConnectionOptions(pending_bytes_max=20_000))
        room.keys.hold = asyncio.get_running_loop().create_future()
        peer = room.ask_to_publish()
        peer.send(bytes(10_000))
        assert not is_ended(peer)
        peer.send(bytes(10_000))
        assert is_ended(peer)
        assert room.limit_hits() == {"pending_bytes_max": 1}

    async def test_streams(self) -> None:
        room = IngestRoom(streams_max=0)
        peer = room.ask_to_publish()
        await settle(lambda: is_ended(peer))
        assert peer.status_codes() == ["NetStream.Publish.Rejected"]
        assert room.limit_hits() == {"streams_max": 1}


class TestMedia:
    @pytest.mark.parametrize(
        ("server_max", "user_max"),
        [(160 * 96 - 1, None), (160 * 96, 160 * 96 - 1)],
        ids=["everybody's", "the user's own"],
    )
    async def test_the_size_of_a_picture(self, server_max: int, user_max: int | None) -> None:
        room = IngestRoom(stream_limits=StreamLimits(picture_pixels_max=server_max))
        room.keys.limits = PublishLimits(picture_pixels_max=user_max)
        peer = await live(room)
        await peer.send_all(media(h264_aac(1)))
        await eventually(lambda: is_ended(peer))  # the demuxer opens in a thread
        assert room.limit_hits() == {"picture_pixels_max": 1}
        assert peer.status_codes()[-1] == "NetStream.Publish.Rejected"
        assert room.registry.summary("alice") is None

    @pytest.mark.parametrize(
        ("server_max", "user_max"), [(160 * 96, None), (1, 160 * 96)], ids=["everybody's", "the user's own"]
    )
    async def test_a_picture_of_just_the_size(self, server_max: int, user_max: int | None) -> None:
        room = IngestRoom(stream_limits=StreamLimits(picture_pixels_max=server_max))
        room.keys.limits = PublishLimits(picture_pixels_max=user_max)
        peer = await live(room)
        await peer.send_all(media(h264_aac(5)))
        stream = room.registry.find("alice")
        assert stream is not None
        await eventually(lambda: stream.is_playable)
        assert room.limit_hits() == {}

    @pytest.mark.parametrize(
        ("server_max", "user_max"), [(50, None), (1000, 50)], ids=["everybody's", "the user's own"]
    )
    async def test_bits_a_second(self, server_max: int, user_max: int | None) -> None:
        room = IngestRoom(stream_limits=StreamLimits(bitrate_kbps_max=server_max))
        peer = await live(room)
        stream = room.registry.find("alice")
        assert stream is not None
        # Said while the stream runs.
        stream.broadcaster.admission.limits = PublishLimits(bitrate_kbps_max=user_max)
        frames = message(9, bytes(10_000), chunk_size=128)
        for _ in range(READINGS_MAX - 1):
            await room.registry.sweep()
            peer.send(frames)
            room.clock.advance(1)
        # A second alone proves nothing: encoders catch up.
        assert not is_ended(peer)
        await room.registry.sweep()
        assert is_ended(peer)
        assert room.limit_hits() == {"bitrate_kbps_max": 1}

    async def test_tracks(self) -> None:
        room = IngestRoom(stream_limits=StreamLimits(intake=IntakeLimits(tracks_max=1)))
        peer = await live(room)
        first, second = (bytes((0x96, 0x00)) + b"avc1" + bytes((number,)) for number in (0, 1))
        record = bytes(h264_aac(1)[0].payload)[5:]
        peer.send(message(9, first + record), message(9, second + record))
        assert room.limit_hits() == {"tracks_max": 1}

    async def test_sequence_headers_that_are_long_or_many(self) -> None:
        room = IngestRoom()
        peer = await live(room)
        header = bytes(h264_aac(1)[0].payload)
        peer.send(message(9, header + bytes(64 * 1024)))
        assert room.limit_hits() == {"sequence_header_bytes_max": 1}
        peer.send(*(message(9, header + bytes((number,))) for number in range(40)))
        assert room.limit_hits() == {"sequence_header_bytes_max": 1, "sequence_headers_max": 40 - 32 - 1}
        assert not is_ended(peer)

    async def test_media_whose_time_runs_on(self) -> None:
        room = IngestRoom()
        peer = await live(room)
        await peer.send_all(media(h264_aac(5)))
        stream = room.registry.find("alice")
        assert stream is not None
        await eventually(lambda: stream.is_playable and not stream.when_open(lambda: None))
        keyframe = b"\x17\x01\x00\x00\x00" + bytes(20)
        peer.send(*(message(9, keyframe, time_ms=6000 + 1100 * number) for number in range(2000)))
        # The sound has stopped by then, for which the tracks are opened anew.
        await eventually(lambda: is_ended(peer))
        assert room.limit_hits() == {"parts_per_second_max": 1}
        assert stream.end_reason is EndReason.OVER_LIMIT

    async def test_what_open_segments_of_all_renditions_have_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hls_output, "OPEN_SEGMENT_BYTES_MAX", -(10**9))
        room = IngestRoom()
        peer = await live(room)
        await peer.send_all(media(h264_aac(5)))
        stream = room.registry.find("alice")
        assert stream is not None
        await eventually(lambda: stream.is_playable)
        await room.registry.sweep()
        assert room.limit_hits() == {"window_bytes_max": 1}
        assert stream.end_reason is EndReason.OVER_LIMIT

    async def test_what_waits_is_counted_as_what_is_kept(self) -> None:
        room = IngestRoom()
        peer = await live(room)
        header, _, *_ = h264_aac(1)
        # A keyframe that waits for the sound, which its metadata has promised.
        peer.send(message(9, bytes(header.payload)), message(9, b"\x17\x01\x00\x00\x00" + bytes(100_000)))
        assert 100_000 < room.registry.held_bytes < 102_000

    async def test_what_is_kept_for_viewers_who_join(self) -> None:
        room = IngestRoom(stream_limits=StreamLimits(gop=GopLimits(gop_bytes_max=1000)))
        peer = await live(room)
        await peer.send_all(media(h264_aac(5)))
        stream = room.registry.find("alice")
        assert stream is not None
        await eventually(lambda: stream.is_playable)
        assert room.limit_hits().keys() == {"gop_bytes_max"}

    async def test_what_is_kept_for_playlists(self) -> None:
        room = IngestRoom(rendition=RenditionOptions(window_bytes_max=5000))
        peer = await live(room)
        await peer.send_all(media(h264_aac(20)))
        stream = room.registry.find("alice")
        assert stream is not None
        await eventually(lambda: stream.is_playable)
        await room.registry.sweep()
        assert room.limit_hits().keys() == {"window_bytes_max"}


class TestConnections:
    async def test_one_more_from_an_address_is_closed_at_once(self) -> None:
        room = IngestRoom()
        connect = self.connecting(room, ListenerLimits(connections_per_address_max=2))
        first = connect("2001:db8::1")
        connect("2001:db8::2")
        assert connect("2001:db8::3").transport.is_aborted
        assert room.limit_hits() == {"connections_per_address_max": 1}
        first.protocol.connection_lost(None)
        assert not connect("2001:db8::4").transport.is_aborted

    async def test_idle_sockets_keep_nobody_out(self) -> None:
        room = IngestRoom()
        connect = self.connecting(room, ListenerLimits(handshakes_max=3))
        idle = [connect(f"192.0.2.{number}") for number in range(3)]
        room.clock.advance(1)
        late = connect("198.51.100.1")
        late.log_in()
        assert [peer.transport.is_aborted for peer in (*idle, late)] == [True, False, False, False]
        assert room.limit_hits() == {"handshakes_max": 1}

    async def test_a_stranger_goes_before_one_more_is_refused_and_publishers_stay(self) -> None:
        room = IngestRoom()
        connect = self.connecting(room, ListenerLimits(connections_max=2))
        publisher, stranger = connect("192.0.2.1"), connect("192.0.2.2")
        publisher.log_in()
        publisher.ask_to_publish()
        await settle(lambda: room.registry.summary("alice"))
        stranger.log_in()
        second = connect("192.0.2.3")
        assert stranger.transport.is_aborted
        assert not second.transport.is_aborted
        second.log_in()
        second.ask_to_publish(OTHER_KEY)
        await settle(lambda: second.status_codes() == ["NetStream.Publish.BadName"] or is_ended(second))
        assert not publisher.transport.is_aborted

    async def test_where_all_publish_one_more_is_closed_at_once(self) -> None:
        room = IngestRoom()
        connect = self.connecting(room, ListenerLimits(connections_max=1))
        publisher = connect("192.0.2.1")
        publisher.log_in()
        publisher.ask_to_publish()
        await settle(lambda: room.registry.summary("alice"))
        assert connect("192.0.2.2").transport.is_aborted
        assert room.limit_hits() == {"connections_max": 1}

    def connecting(self, room: IngestRoom, limits: ListenerLimits) -> Callable[[str], Peer]:
        listener = new_listener(room, limits)
        return lambda address: Peer(listener.new_protocol(), RecordingTransport(address))


class TestOpenings:
    """A connection costs though nothing is said on it: its address is charged."""

    @pytest.mark.parametrize(
        ("flooding", "other"),
        [
            (["192.0.2.7"], "192.0.2.8"),
            (["2001:db8::1", "2001:db8::2:1"], "2001:db8:0:1::1"),
        ],
        ids=["ipv4", "ipv6 of one site"],
    )
    async def test_an_address_that_opens_a_thousand_a_second_is_refused_what_is_past_its_share(
        self, flooding: list[str], other: str
    ) -> None:
        room = IngestRoom()
        listener = new_listener(room, ListenerLimits())
        refused = 0
        for number in range(5000):
            room.clock.advance(0.001)
            peer = Peer(listener.new_protocol(), RecordingTransport(flooding[number % len(flooding)]))
            refused += peer.transport.is_aborted
            peer.protocol.connection_lost(None)
        shares = LoopShares()
        opened_max = (shares.address.burst_s + 5 * shares.address.seconds_per_second) / OPENING_S
        assert 0 <= opened_max - (5000 - refused) < 100
        assert room.limit_hits() == {"loop_ms_per_address_max": refused}
        assert len(list(listener.holders())) == 0
        assert not Peer(listener.new_protocol(), RecordingTransport(other)).transport.is_aborted

    async def test_a_studio_that_comes_back_at_once_is_let_in(self) -> None:
        room = IngestRoom()
        limits = ListenerLimits()
        listener = new_listener(room, limits)
        peers = [
            Peer(listener.new_protocol(), RecordingTransport("192.0.2.7"))
            for _ in range(limits.connections_per_address_max)
        ]
        assert not any(peer.transport.is_aborted for peer in peers)


class TestLoopTime:
    async def test_a_stranger_that_takes_more_than_its_share_is_not_read_and_then_closed(self) -> None:
        room = IngestRoom()
        peer = room.connect()
        peer.log_in()
        await self.work(room, peer, seconds=0.2)
        assert peer.transport.reading[-1] is False
        assert not is_ended(peer)
        for _ in range(8):
            room.clock.advance(1)
            peer.protocol.check_deadline(room.clock.monotonic())
            if is_ended(peer):
                break
            await self.work(room, peer, seconds=0.02)
        assert is_ended(peer)
        assert room.limit_hits() == {"loop_ms_per_stranger_max": 1}

    async def work(self, room: IngestRoom, peer: Peer, seconds: float) -> None:
        """Have the peer send something that costs so much."""
        buffer = peer.protocol.get_buffer(-1)
        data = message(3, bytes(4))
        buffer[: len(data)] = data
        room.clock.work(seconds)
        peer.protocol.buffer_updated(len(data))

    async def test_a_publisher_that_takes_too_much_for_long_is_told_so(self) -> None:
        room = IngestRoom()
        peer = await live(room)
        now = room.clock.monotonic
        for _ in range(15):
            await self.work(room, peer, seconds=1.5)
            room.clock.advance(1)
            peer.protocol.check_deadline(now())
            if is_ended(peer):
                break
        assert is_ended(peer)
        assert room.limit_hits() == {"loop_ms_per_publisher_max": 1}
        assert peer.status_codes()[-1] == "NetStream.Publish.Rejected"
        assert room.registry.summary("alice") is None

    async def test_media_that_we_do_not_read_is_not_missed(self) -> None:
        room = IngestRoom(IngestOptions(media_timeout_s=1.0))
        peer = await live(room)
        await self.work(room, peer, seconds=2.5)
        room.clock.advance(2)
        peer.protocol.check_deadline(room.clock.monotonic())
        assert not is_ended(peer)


class TestMemory:
    async def test_a_connection_says_what_it_makes_us_hold(self) -> None:
        room = IngestRoom()
        peer = room.connect()
        peer.log_in()
        assert peer.protocol.standing is Standing.STRANGER
        before = peer.protocol.held_bytes
        peer.send(chunk(0, 6, bytes(128), length=5000))
        assert peer.protocol.held_bytes >= before + 128

    async def test_a_publisher_holds_what_its_stream_does(self) -> None:
        room = IngestRoom()
        peer = await live(room)
        await peer.send_all(media(h264_aac(5)))
        stream = room.registry.find("alice")
        assert stream is not None
        await eventually(lambda: stream.held_bytes)
        assert peer.protocol.standing is Standing.PUBLISHER
        assert peer.protocol.held_bytes >= stream.held_bytes > 0
        peer.protocol.shed()
        assert peer.transport.is_aborted
        assert room.registry.summary("alice") is None
