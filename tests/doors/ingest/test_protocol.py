from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

import pytest

from streamd.doors.ingest.deadlines import IngestOptions
from streamd.doors.ingest.ending import LINGER_S
from streamd.errors import (
    DemuxError,
    KeyRejectedError,
    MediaLimitError,
    PublishError,
    PublishForbiddenError,
    PublishUndecidedError,
    StoreUnavailableError,
)
from streamd.formats.flv.tag import FlvTag
from streamd.formats.rtmp.chunk import MESSAGES_PER_STEP
from streamd.services.keys.admission import Admission
from streamd.services.live.live_stream import LiveStream
from tests.support import rtmp_wire
from tests.support.flv_media import h264_aac
from tests.support.ingest import GOOD_KEY, IngestRoom, Peer, RecordingTransport, eventually, settle

pytestmark = pytest.mark.asyncio


async def publishing(room: IngestRoom) -> Peer:
    peer = room.ask_to_publish()
    await settle(lambda: room.registry.summary("alice"))
    peer.receive()
    return peer


def media(seconds: int = 2) -> list[bytes]:
    return [
        rtmp_wire.message(tag.tag_type, bytes(tag.payload), time_ms=tag.timestamp_ms)
        for tag in h264_aac(seconds=seconds)
    ]


class TestAcceptedPublish:
    async def test_a_good_key_starts_the_stream_of_its_user(self) -> None:
        room = IngestRoom()
        peer = room.ask_to_publish()
        await settle(lambda: room.registry.summary("alice"))
        assert peer.status_codes() == ["NetStream.Publish.Start"]
        assert room.keys.asked == [(GOOD_KEY, "192.0.2.7")]
        assert not peer.transport.is_eof_written

    async def test_the_key_is_decided_before_publish_start(self) -> None:
        room = IngestRoom()
        room.keys.hold = asyncio.get_running_loop().create_future()
        peer = room.ask_to_publish()
        await settle(lambda: room.keys.asked)
        assert peer.status_codes() == []
        assert peer.transport.reading == [False]
        room.keys.hold.set_result(None)
        await settle(lambda: room.registry.summary("alice"))
        assert peer.transport.reading == [False, True]
        assert peer.status_codes() == ["NetStream.Publish.Start"]

    async def test_all_answers_to_one_read_go_out_in_one_write(self) -> None:
        room = IngestRoom()
        peer = room.connect()
        peer.shake_hands()
        writes = len(peer.transport.written)
        peer.send(rtmp_wire.command("connect", 1, {"app": "live", "tcUrl": "rtmp://host/live"}))
        assert len(peer.transport.written) == writes + 1

    async def test_media_makes_the_stream_playable(self) -> None:
        room = IngestRoom()
        peer = await publishing(room)
        await peer.send_all(*media(seconds=3))
        stream = room.registry.find("alice")
        assert stream is not None
        await eventually(lambda: stream.is_playable)  # the demuxer opens in a thread
        assert [track.codec[:4] for track in stream.tracks] == ["avc1", "mp4a"]


class TestRefusedPublish:
    @pytest.mark.parametrize(
        ("stream_key", "error", "code"),
        [
            ("sk_bad_key", None, "NetStream.Publish.Denied"),
            ("", None, "NetStream.Publish.Denied"),
            (GOOD_KEY, StoreUnavailableError("gone"), "NetStream.Publish.Rejected"),
        ],
    )
    async def test_the_answer_says_why_and_fin_follows(
        self, stream_key: str, error: Exception | None, code: str
    ) -> None:
        room = IngestRoom()
        room.keys.error = error
        peer = room.ask_to_publish(stream_key)
        await settle(lambda: peer.transport.is_eof_written)
        assert peer.status_codes() == [code]
        assert room.registry.summaries() == []
        # The answer must not be lost to a reset: what the encoder still sends is read and forgotten.
        assert not peer.transport.is_aborted
        peer.send(b"more")
        room.clock.advance(LINGER_S + 1)
        peer.protocol.check_deadline(room.clock.monotonic())
        assert peer.transport.is_aborted

    async def test_a_second_publisher_is_told_that_the_channel_is_live(self) -> None:
        room = IngestRoom()
        first = await publishing(room)
        second = room.ask_to_publish(address="198.51.100.9")
        await settle(lambda: second.transport.is_eof_written)
        assert second.status_codes() == ["NetStream.Publish.BadName"]
        assert not first.transport.is_eof_written
        assert room.registry.summary("alice") is not None

    async def test_a_key_that_dies_while_it_is_verified_starts_nothing(self) -> None:
        room = IngestRoom()
        room.keys.hold = asyncio.get_running_loop().create_future()
        peer = room.ask_to_publish()
        await settle(lambda: room.keys.asked)
        room.keys.dead.add("good")
        room.keys.hold.set_result(None)
        await settle(lambda: peer.transport.is_eof_written)
        assert peer.status_codes() == ["NetStream.Publish.Denied"]
        assert room.registry.summaries() == []

    async def test_a_store_that_does_not_answer_in_time_refuses(self) -> None:
        room = IngestRoom(IngestOptions(verify_timeout_s=0.001))
        room.keys.hold = asyncio.get_running_loop().create_future()
        peer = room.ask_to_publish()
        await eventually(lambda: peer.transport.is_eof_written)
        assert peer.status_codes() == ["NetStream.Publish.Rejected"]

    async def test_a_publisher_that_leaves_while_it_is_verified_starts_nothing(self) -> None:
        room = IngestRoom()
        room.keys.hold = asyncio.get_running_loop().create_future()
        peer = room.ask_to_publish()
        await settle(lambda: room.keys.asked)
        peer.protocol.connection_lost(None)
        await settle(room.keys.hold.cancelled)
        assert room.registry.summaries() == []

    async def test_no_key_is_ever_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        room = IngestRoom()
        for stream_key in ("sk_bad_key", GOOD_KEY):
            peer = room.ask_to_publish(stream_key)
            await settle(lambda peer=peer: len(peer.status_codes()) > 0)  # type: ignore[misc]
            peer.protocol.connection_lost(None)
        text = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
        assert "publish.refused" in text
        assert "publish.accepted" in text
        assert "sk_bad_key" not in text
        assert GOOD_KEY not in text


class TestTheEnd:
    async def test_a_goodbye_ends_the_stream_at_once(self) -> None:
        room = IngestRoom()
        peer = await publishing(room)
        peer.send(rtmp_wire.command("FCUnpublish", 6, None, GOOD_KEY))
        assert room.registry.summary("alice") is None

    async def test_after_a_goodbye_the_connection_may_publish_again(self) -> None:
        room = IngestRoom()
        peer = await publishing(room)
        peer.send(rtmp_wire.command("deleteStream", 7, None, 1))
        assert room.registry.summary("alice") is None
        peer.send(rtmp_wire.command("createStream", 8, None))
        peer.send(rtmp_wire.command("publish", 9, None, GOOD_KEY, "live", message_stream_id=2))
        await settle(lambda: room.registry.summary("alice"))

    async def test_a_lost_connection_ends_the_stream(self) -> None:
        room = IngestRoom()
        peer = await publishing(room)
        peer.protocol.connection_lost(ConnectionResetError())
        assert room.registry.summary("alice") is None
        assert room.listener.forgotten == [peer.protocol]

    async def test_a_kick_closes_the_socket_with_a_last_word(self) -> None:
        room = IngestRoom()
        peer = await publishing(room)
        kicking = asyncio.create_task(room.registry.kick("alice"))
        await settle(lambda: peer.transport.is_eof_written)
        assert peer.status_codes() == [PublishError.status_code]
        assert not kicking.done()
        peer.protocol.connection_lost(None)
        assert await kicking

    async def test_who_takes_down_waits_for_no_encoder_that_reads_nothing(self) -> None:
        room = IngestRoom()
        peer = await publishing(room)
        closing = asyncio.create_task(room.registry.close_barred(lambda _: True))
        await eventually(lambda: peer.transport.is_aborted)
        assert peer.status_codes() == [KeyRejectedError.status_code]
        peer.protocol.connection_lost(None)
        assert await closing == ["alice"]

    async def test_closing_the_streams_of_a_key_returns_when_the_socket_is_gone(self) -> None:
        room = IngestRoom()
        peer = await publishing(room)
        closing = asyncio.create_task(room.registry.close_streams({"good"}, "revoked"))
        await settle(lambda: peer.transport.is_eof_written)
        assert room.registry.summary("alice") is None
        assert not closing.done()
        peer.protocol.connection_lost(None)
        assert await closing == ["alice"]


class TestCharges:
    async def test_what_its_stream_costs_beside_its_reads_is_taken_from_its_share(self) -> None:
        room = IngestRoom()
        peer = await publishing(room)
        stream = room.registry.find("alice")
        assert stream is not None
        # A second at once (``LoopShares``), and what comes back is waited for.
        stream.broadcaster.charge(0.9)
        assert peer.is_read
        stream.broadcaster.charge(0.2)
        assert not peer.is_read

    async def test_a_stream_that_waits_for_its_publisher_charges_nobody(self) -> None:
        room = IngestRoom()
        peer = await publishing(room)
        await peer.send_all(*media(seconds=3))
        stream = room.registry.find("alice")
        assert stream is not None
        await eventually(lambda: stream.is_playable)
        peer.protocol.connection_lost(None)
        assert stream.broadcaster.publisher is None
        stream.broadcaster.charge(60.0)


class TestSteps:
    """A read of thousands of tags, as many as one may have, is handed on in slices, with the loop's turn between."""

    async def flooded(self, behind: bytes = b"") -> tuple[IngestRoom, Peer, list[list[FlvTag]]]:
        room = IngestRoom()
        peer = await publishing(room)
        stream = room.registry.find("alice")
        assert stream is not None
        slices: list[list[FlvTag]] = []
        stream.receive_tags = slices.append  # type: ignore[method-assign, assignment]
        peer.send(rtmp_wire.message(8, b"") + rtmp_wire.chunk(3, 4) * 3999 + behind)
        return room, peer, slices

    async def test_no_slice_has_more_than_a_step(self) -> None:
        _, peer, slices = await self.flooded()
        assert [len(tags) for tags in slices] == [MESSAGES_PER_STEP]
        assert not peer.is_read
        # The loop has its turn between two.
        await asyncio.sleep(0)
        assert len(slices) <= 2
        await settle(lambda: peer.is_read)
        assert max(map(len, slices)) == MESSAGES_PER_STEP
        assert sum(map(len, slices)) == 4000

    async def test_a_goodbye_is_heard_behind_them(self) -> None:
        room, peer, slices = await self.flooded(rtmp_wire.command("deleteStream", 7, None, 1))
        assert room.registry.summary("alice") is not None
        await settle(lambda: peer.is_read)
        assert room.registry.summary("alice") is None
        assert sum(map(len, slices)) == 4000

    async def test_a_publish_behind_a_goodbye_is_decided_behind_them(self) -> None:
        again = rtmp_wire.command("deleteStream", 7, None, 1)
        again += rtmp_wire.command("publish", 9, None, GOOD_KEY, "live", message_stream_id=1)
        room, peer, slices = await self.flooded(again)
        assert len(room.keys.asked) == 1
        await settle(lambda: len(room.keys.asked) == 2)
        assert sum(map(len, slices)) == 4000
        await settle(lambda: room.registry.summary("alice"))
        assert peer.is_read

    async def test_a_connection_that_is_lost_meanwhile_ends_behind_them(self) -> None:
        room, peer, slices = await self.flooded()
        peer.protocol.connection_lost(ConnectionResetError())
        assert room.registry.summary("alice") is not None
        assert room.listener.forgotten == []
        await settle(lambda: room.listener.forgotten == [peer.protocol])
        assert sum(map(len, slices)) == 4000
        assert room.registry.summary("alice") is None
        await peer.protocol.wait_closed()

    async def test_a_socket_that_is_gone_is_asked_for_nothing_more(self, caplog: pytest.LogCaptureFixture) -> None:
        ours, theirs = socket.socketpair()

        class SocketTransport(RecordingTransport):
            def get_extra_info(self, name: str, default: object = None) -> object:
                return ours if name == "socket" else super().get_extra_info(name, default)

        room = IngestRoom()
        peer = room.connect(transport=SocketTransport())
        peer.log_in()
        peer.ask_to_publish()
        await settle(lambda: room.registry.summary("alice"))
        peer.send(rtmp_wire.message(8, b"\xaf\x01a") + rtmp_wire.chunk(3, 4, b"\xaf\x01a") * 3999)
        ours.close()
        theirs.close()
        peer.protocol.connection_lost(None)
        await settle(lambda: room.listener.forgotten == [peer.protocol])
        assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []

    @pytest.mark.parametrize("is_lost", [False, True], ids=["open", "lost"])
    async def test_a_revocation_drops_them(self, *, is_lost: bool) -> None:
        room, peer, slices = await self.flooded()
        if is_lost:
            peer.protocol.connection_lost(None)
        closing = asyncio.create_task(room.registry.close_streams({"good"}, "revoked"))
        await settle(lambda: peer.transport.is_eof_written or closing.done())
        taken = len(slices)
        if not is_lost:
            peer.protocol.connection_lost(None)
        assert await closing == ["alice"]
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(slices) == taken < 16
        assert room.listener.forgotten == [peer.protocol]

    async def test_an_operator_s_abort_drops_them(self) -> None:
        room, peer, slices = await self.flooded()
        peer.protocol.shed()
        peer.protocol.connection_lost(None)
        assert room.listener.forgotten == [peer.protocol]
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(slices) == 1

    async def test_a_fault_behind_the_end_of_the_connection_ends_it(self) -> None:
        room, peer, slices = await self.flooded(b"\xff")
        peer.protocol.connection_lost(None)
        await settle(lambda: room.listener.forgotten == [peer.protocol])
        assert sum(map(len, slices)) == 4000
        assert not peer.transport.is_eof_written

    async def test_what_was_sent_ahead_of_the_answer_is_so_too(self) -> None:
        room = IngestRoom()
        peer = await publishing(room)
        again = rtmp_wire.command("deleteStream", 7, None, 1)
        again += rtmp_wire.command("publish", 9, None, GOOD_KEY, "live", message_stream_id=1)
        peer.send(again + rtmp_wire.message(8, b"") + rtmp_wire.chunk(3, 4) * 999)
        await settle(lambda: len(room.keys.asked) == 2 and room.registry.summary("alice"))
        received = peer.protocol._connection.messages_received
        await settle(lambda: peer.is_read)
        assert peer.protocol._connection.messages_received > received


def say_goodbye(room: IngestRoom, peer: Peer) -> None:
    peer.send(rtmp_wire.command("FCUnpublish", 6, None, GOOD_KEY))


def lose_the_connection(room: IngestRoom, peer: Peer) -> None:
    peer.protocol.connection_lost(ConnectionResetError())


def send_nothing_for_long(room: IngestRoom, peer: Peer) -> None:
    room.clock.advance(16)
    peer.protocol.check_deadline(room.clock.monotonic())


def send_what_is_not_rtmp(room: IngestRoom, peer: Peer) -> None:
    peer.send(b"\xff" * 64)


def have_a_stream_that_breaks(room: IngestRoom, peer: Peer) -> None:
    stream = room.registry.find("alice")
    assert stream is not None
    stream.fail(DemuxError("the picture is no picture"))
    peer.protocol.connection_lost(None)


def have_a_stream_that_is_too_much(room: IngestRoom, peer: Peer) -> None:
    stream = room.registry.find("alice")
    assert stream is not None
    stream.fail(MediaLimitError("no picture may have 9 pixels", limit="picture_pixels_max"))
    peer.protocol.connection_lost(None)


class TestWhatTheHolderOfTheKeyIsTold:
    """What became of each attempt stands in the log that the broadcaster's page shows."""

    @pytest.mark.parametrize(
        ("end", "result"),
        [
            (say_goodbye, "goodbye"),
            (lose_the_connection, "connection_lost"),
            (send_nothing_for_long, "media_timeout"),
            (send_what_is_not_rtmp, "protocol_error"),
            (have_a_stream_that_breaks, "media_error"),
            (have_a_stream_that_is_too_much, "over_limit"),
        ],
    )
    async def test_why_a_stream_ended(self, end: Callable[[IngestRoom, Peer], None], result: str) -> None:
        room = IngestRoom()
        peer = await publishing(room)
        (attempt,) = room.keys.attempts.of("good")
        assert (attempt.result, attempt.address, attempt.ended_at) == ("live", "192.0.2.7", None)
        end(room, peer)
        assert (attempt.result, attempt.ended_at) == (result, room.clock.now())
        assert ("no picture" in attempt.detail) is (result in ("media_error", "over_limit"))

    async def test_that_it_was_kicked_and_not_that_its_connection_was_lost(self) -> None:
        room = IngestRoom()
        peer = await publishing(room)
        kicking = asyncio.create_task(room.registry.kick("alice"))
        await settle(lambda: peer.transport.is_eof_written)
        peer.protocol.connection_lost(None)
        await kicking
        assert [attempt.result for attempt in room.keys.attempts.of("good")] == ["kicked"]

    async def test_that_the_channel_is_live_already(self) -> None:
        room = IngestRoom()
        await publishing(room)
        for _ in range(2):
            second = room.ask_to_publish(address="198.51.100.9")
            await settle(lambda: second.transport.is_eof_written)  # noqa: B023  # awaited within the turn
        attempts = room.keys.attempts.of("good")
        assert [(attempt.result, attempt.count) for attempt in attempts] == [("live", 1), ("busy", 2)]


class TestBadInput:
    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="http"),
            pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), id="tls"),
            pytest.param(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", id="proxy"),
            pytest.param(b"\xff" * 2000, id="garbage"),
        ],
    )
    async def test_other_protocols_are_closed_with_one_line(
        self, data: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        room = IngestRoom()
        peer = room.connect()
        peer.send(data)
        assert peer.transport.is_eof_written
        peer.protocol.connection_lost(None)
        assert len(caplog.records) == 1
        assert "protocol error" in caplog.records[0].reason  # type: ignore[attr-defined]

    async def test_media_before_a_broken_chunk_in_the_same_read_goes_on_first(self) -> None:
        room = IngestRoom()
        peer = await publishing(room)
        stream = room.registry.find("alice")
        assert stream is not None
        received: list[FlvTag] = []
        stream.receive_tags = received.extend  # type: ignore[method-assign, assignment]
        frame = b"\xaf\x01frame"
        peer.send(rtmp_wire.message(8, frame) + rtmp_wire.chunk(3, 4, frame) + b"\xff")
        assert [bytes(tag.payload) for tag in received] == [frame, frame]
        assert peer.transport.is_eof_written
        assert [attempt.result for attempt in room.keys.attempts.of("good")] == ["protocol_error"]

    async def test_so_does_media_that_was_sent_ahead_of_the_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        received: list[FlvTag] = []
        monkeypatch.setattr(LiveStream, "receive_tags", lambda _, tags: received.extend(tags))
        room = IngestRoom()
        room.keys.hold = asyncio.get_running_loop().create_future()
        peer = room.ask_to_publish()
        await settle(lambda: room.keys.asked)
        # The connection rests until the key is decided, and the bytes with it.
        peer.send(rtmp_wire.message(8, b"\xaf\x01frame") + b"\xff")
        assert (received, peer.transport.is_eof_written) == ([], False)
        room.keys.hold.set_result(None)
        await settle(lambda: peer.transport.is_eof_written)
        assert [bytes(tag.payload) for tag in received] == [b"\xaf\x01frame"]
        assert [attempt.result for attempt in room.keys.attempts.of("good")] == ["protocol_error"]

    async def test_a_fault_of_ours_ends_that_stream_and_is_logged_once(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        room = IngestRoom()
        peer = await publishing(room)
        stream = room.registry.find("alice")
        assert stream is not None

        def fail(_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(stream, "receive_tags", fail)
        peer.send(*media())
        peer.send(*media())
        assert room.registry.summary("alice") is None
        assert [record.exc_info is not None for record in caplog.records if record.levelname == "ERROR"] == [True]


class TestTimeLimits:
    async def test_no_handshake_in_time(self) -> None:
        room = IngestRoom(IngestOptions(handshake_timeout_s=10))
        peer = room.connect()
        # Slow-loris: a byte now and then is no handshake.
        for _ in range(11):
            peer.send(b"\x03" if peer.transport.written == [] else b"\x00")
            room.clock.advance(1)
            peer.protocol.check_deadline(room.clock.monotonic())
        assert peer.transport.is_eof_written

    async def test_no_publish_in_time(self) -> None:
        room = IngestRoom(IngestOptions(publish_timeout_s=10))
        peer = room.connect()
        peer.log_in()
        room.clock.advance(9.9)
        peer.protocol.check_deadline(room.clock.monotonic())
        assert not peer.transport.is_eof_written
        room.clock.advance(0.2)
        peer.protocol.check_deadline(room.clock.monotonic())
        assert peer.transport.is_eof_written

    async def test_no_media_in_time(self) -> None:
        room = IngestRoom(IngestOptions(media_timeout_s=15))
        peer = await publishing(room)
        room.clock.advance(10)
        peer.send(media()[0])
        room.clock.advance(10)
        peer.protocol.check_deadline(room.clock.monotonic())
        assert room.registry.summary("alice") is not None
        # Commands keep no stream alive: OBS answers no ping, so only media counts.
        peer.send(rtmp_wire.control(4, b"\x00\x07\x00\x00\x00\x00"))
        room.clock.advance(6)
        peer.receive()
        peer.protocol.check_deadline(room.clock.monotonic())
        assert room.registry.summary("alice") is None
        assert peer.status_codes() == [PublishError.status_code]
        assert peer.transport.is_eof_written

    async def test_one_connection_too_many_is_closed_at_once(self) -> None:
        room = IngestRoom()
        room.listener.is_full = True
        peer = room.connect()
        assert peer.transport.is_aborted

    async def test_a_peer_that_never_reads_its_answers_is_closed(self) -> None:
        room = IngestRoom()
        peer = room.connect()
        peer.protocol.pause_writing()
        assert peer.transport.is_aborted


class Gate:
    """A publish hook that thinks for as long as a test says."""

    def __init__(self, error: PublishError | None = None) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.may_answer = asyncio.Event()
        self._error = error

    async def decide(self, admission: Admission, address: str, encoder: str) -> None:
        self.asked.append((admission.user, address, encoder))
        await self.may_answer.wait()
        if self._error is not None:
            raise self._error


class TestPublishGate:
    async def ask(self, room: IngestRoom, gate: Gate) -> Peer:
        peer = room.ask_to_publish()
        await settle(lambda: gate.asked)
        assert gate.asked == [("alice", "192.0.2.7", "")]
        assert peer.status_codes() == []
        return peer

    async def test_nothing_starts_before_it_has_answered(self) -> None:
        room = IngestRoom(gate=(gate := Gate()))
        peer = await self.ask(room, gate)
        gate.may_answer.set()
        await settle(lambda: room.registry.summary("alice"))
        assert peer.status_codes() == ["NetStream.Publish.Start"]

    @pytest.mark.parametrize(
        ("error", "code", "result"),
        [
            (PublishForbiddenError(), "NetStream.Publish.Denied", "forbidden"),
            (PublishUndecidedError(), "NetStream.Publish.Rejected", "undecided"),
        ],
    )
    async def test_its_no_is_told_and_counted(self, error: PublishError, code: str, result: str) -> None:
        room = IngestRoom(gate=(gate := Gate(error)))
        peer = await self.ask(room, gate)
        gate.may_answer.set()
        await settle(lambda: peer.transport.is_eof_written)
        assert peer.status_codes() == [code]
        assert room.metrics.registry.get_sample_value("streamd_publishes_total", {"result": result}) == 1
        assert room.registry.find("alice") is None

    async def test_a_key_that_dies_while_it_thinks_opens_nothing(self) -> None:
        room = IngestRoom(gate=(gate := Gate()))
        peer = await self.ask(room, gate)
        room.keys.dead.add("good")
        gate.may_answer.set()
        await settle(lambda: peer.transport.is_eof_written)
        assert peer.status_codes() == ["NetStream.Publish.Denied"]
        assert room.registry.find("alice") is None

    async def test_a_publisher_who_leaves_while_it_thinks_begins_nothing(self) -> None:
        room = IngestRoom(gate=(gate := Gate()))
        peer = await self.ask(room, gate)
        peer.protocol.connection_lost(None)
        gate.may_answer.set()
        await settle(lambda: not peer.protocol._verdict or peer.protocol._verdict.done())
        assert room.registry.find("alice") is None

    async def test_a_key_that_is_not_good_is_not_asked_about(self) -> None:
        room = IngestRoom(gate=(gate := Gate()))
        peer = room.ask_to_publish("sk_bad_key")
        await settle(lambda: peer.transport.is_eof_written)
        assert gate.asked == []
