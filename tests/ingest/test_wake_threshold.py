from __future__ import annotations

import socket
import sys
from collections.abc import Callable

import pytest

from streamd.flv.tag import FlvTag, TagType
from streamd.ingest import wake_threshold
from streamd.ingest.wake_threshold import (
    BETWEEN_MESSAGES_BYTES,
    GRID_S,
    HOLD_S_MAX,
    JITTER_S,
    LARGE_PICTURES_MIN,
    PACE_KEPT_S,
    WAKE_BYTES_MAX,
    WakeThreshold,
)
from tests.support import rtmp_wire
from tests.support.flv_media import h264_aac
from tests.support.ingest import IngestRoom, Peer, RecordingTransport, eventually, settle

PICTURE = FlvTag(TagType.VIDEO, 0, bytes(BETWEEN_MESSAGES_BYTES))
SMALL_PICTURE = FlvTag(TagType.VIDEO, 0, bytes(BETWEEN_MESSAGES_BYTES - 1))
SOUND = FlvTag(TagType.AUDIO, 0, bytes(300))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="SO_RCVLOWAT wakes a poll on Linux alone")


class RecordingSocket:
    """Remembers the thresholds it was given; nobody may close it but the transport."""

    family, type, proto = socket.AF_INET, socket.SOCK_STREAM, 0

    def __init__(self) -> None:
        self.thresholds: list[int] = []
        self.is_detached = False

    def fileno(self) -> int:
        return -1

    def setsockopt(self, level: int, option: int, value: int) -> None:
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_RCVLOWAT)
        self.thresholds.append(value)

    def detach(self) -> None:
        self.is_detached = True


class SocketTransport(RecordingTransport):
    """A transport that says what is under it."""

    def __init__(self, sslcontext: object = None) -> None:
        super().__init__()
        self.socket = RecordingSocket()
        self._sslcontext = sslcontext

    def get_extra_info(self, name: str, default: object = None) -> object:
        known = {"socket": self.socket, "sslcontext": self._sslcontext}
        return known[name] if name in known else super().get_extra_info(name, default)


class ManualTimer:
    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when, self.callback = when, callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class ManualTimers:
    """A loop's timers, of which one runs at a time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timer: ManualTimer | None = None

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None], /) -> ManualTimer:
        assert self.due is None
        self.timer = ManualTimer(when, callback)
        return self.timer

    @property
    def due(self) -> float | None:
        return self.timer.when if self.timer is not None and not self.timer.is_cancelled else None

    def run(self) -> None:
        timer, self.timer = self.timer, None
        assert timer is not None
        self.now = timer.when
        timer.callback()


@pytest.fixture
def transport(monkeypatch: pytest.MonkeyPatch) -> SocketTransport:
    transport = SocketTransport()
    # What it makes of the file descriptor, which is not one.
    monkeypatch.setattr(wake_threshold, "open_again", lambda _: transport.socket)
    return transport


@pytest.fixture
def timers() -> ManualTimers:
    return ManualTimers()


class TestThreshold:
    def test_is_set_only_where_it_changes(self, transport: SocketTransport, timers: ManualTimers) -> None:
        threshold = WakeThreshold(transport, timers)
        threshold.note([PICTURE] * LARGE_PICTURES_MIN)
        threshold.wait_for_anything()
        for missing_bytes in (0, 0, 5_000, 5_000, 10**6, 0):
            threshold.wait_for_media(missing_bytes, 0)
        threshold.wait_for_anything()
        assert transport.socket.thresholds == [
            BETWEEN_MESSAGES_BYTES,
            5_000,
            WAKE_BYTES_MAX,
            BETWEEN_MESSAGES_BYTES,
            1,
        ]

    def test_what_the_kernel_holds_is_taken_once_nothing_has_come_between_two_looks(
        self, transport: SocketTransport, timers: ManualTimers
    ) -> None:
        threshold = WakeThreshold(transport, timers)
        threshold.note([PICTURE] * LARGE_PICTURES_MIN)
        for _ in range(2):
            threshold.wait_for_media(0, 0)
            threshold.take_rest()
        assert transport.socket.thresholds == [BETWEEN_MESSAGES_BYTES]
        threshold.take_rest()
        assert transport.socket.thresholds == [BETWEEN_MESSAGES_BYTES, 1]

    @pytest.mark.parametrize(
        "tags",
        [[SOUND] * 1000, [PICTURE] * (LARGE_PICTURES_MIN - 1), [PICTURE] * 1000 + [SMALL_PICTURE, SOUND, PICTURE]],
        ids=["sound alone", "not known yet", "a small picture"],
    )
    def test_pictures_as_small_as_sound_do_not_wait_for_what_comes_next(
        self, transport: SocketTransport, timers: ManualTimers, tags: list[FlvTag]
    ) -> None:
        threshold = WakeThreshold(transport, timers)
        threshold.note(tags)
        threshold.wait_for_media(0, 0)
        assert transport.socket.thresholds == []

    def test_under_tls_every_byte_wakes(self, timers: ManualTimers) -> None:
        transport = SocketTransport(sslcontext=object())
        threshold = WakeThreshold(transport, timers)
        threshold.note([PICTURE] * LARGE_PICTURES_MIN)
        threshold.wait_for_media(0, 400)
        assert transport.socket.thresholds == []
        assert timers.due is None

    def test_the_socket_stays_its_owners(self, transport: SocketTransport, timers: ManualTimers) -> None:
        threshold = WakeThreshold(transport, timers)
        threshold.note([SOUND])
        threshold.wait_for_media(0, 400)
        threshold.close()
        assert transport.socket.is_detached
        assert timers.due is None
        threshold.wait_for_anything()
        assert transport.socket.thresholds == [WAKE_BYTES_MAX]


class TestHold:
    """Media that nobody waits for."""

    @staticmethod
    def read(threshold: WakeThreshold, timers: ManualTimers, timestamp_ms: int, at: float, awaited_ms: int) -> None:
        timers.now = at
        threshold.note([FlvTag(TagType.VIDEO, timestamp_ms, bytes(5_000))])
        threshold.wait_for_media(0, awaited_ms)

    def test_is_left_in_the_kernel_for_a_while(self, transport: SocketTransport, timers: ManualTimers) -> None:
        threshold = WakeThreshold(transport, timers)
        self.read(threshold, timers, 0, 100.0, awaited_ms=433)
        assert transport.socket.thresholds == [WAKE_BYTES_MAX]
        assert timers.due == pytest.approx(100.0 + HOLD_S_MAX)
        timers.run()
        assert transport.socket.thresholds == [WAKE_BYTES_MAX, 1]

    def test_is_taken_shortly_before_the_frame_that_is_waited_for(
        self, transport: SocketTransport, timers: ManualTimers
    ) -> None:
        threshold = WakeThreshold(transport, timers)
        self.read(threshold, timers, 0, 100.0, awaited_ms=100)
        assert timers.due is not None
        assert 100.1 - JITTER_S - GRID_S <= timers.due <= 100.1 - JITTER_S

    def test_the_frames_pace_counts_and_not_when_they_were_read(
        self, transport: SocketTransport, timers: ManualTimers
    ) -> None:
        threshold = WakeThreshold(transport, timers)
        self.read(threshold, timers, 1_000, 100.0, awaited_ms=0)
        # This one waited for 60 ms in the kernel.
        self.read(threshold, timers, 1_200, 100.26, awaited_ms=100)
        assert timers.due is not None
        assert 100.3 - JITTER_S - GRID_S <= timers.due <= 100.3 - JITTER_S

    def test_what_is_due_is_waited_for(self, transport: SocketTransport, timers: ManualTimers) -> None:
        threshold = WakeThreshold(transport, timers)
        self.read(threshold, timers, 1_000, 100.0, awaited_ms=0)
        self.read(threshold, timers, 1_100, 100.16, awaited_ms=50)
        assert timers.due is None
        assert WAKE_BYTES_MAX not in transport.socket.thresholds

    def test_a_pace_of_long_ago_counts_no_more(self, transport: SocketTransport, timers: ManualTimers) -> None:
        threshold = WakeThreshold(transport, timers)
        self.read(threshold, timers, 0, 100.0, awaited_ms=0)
        # From here on all comes half a second later: taken up sooner than needed, until that is known to be the pace.
        for second in range(1, int(2 * PACE_KEPT_S) + 3):
            self.read(threshold, timers, second * 1000, 100.5 + second, awaited_ms=400)
        assert timers.due == pytest.approx(100.5 + second + HOLD_S_MAX, abs=2 * GRID_S)

    def test_a_leap_of_timestamps_is_a_new_pace(self, transport: SocketTransport, timers: ManualTimers) -> None:
        threshold = WakeThreshold(transport, timers)
        self.read(threshold, timers, 10_000, 100.0, awaited_ms=0)
        for timestamp_ms in (3_600_000, 0):
            timers.now += 1
            self.read(threshold, timers, timestamp_ms, timers.now, awaited_ms=400)
            assert timers.due == pytest.approx(timers.now + HOLD_S_MAX, abs=2 * GRID_S)

    def test_connections_are_taken_up_together(self, transport: SocketTransport) -> None:
        dues = set()
        for offset in range(20):
            timers = ManualTimers()
            self.read(WakeThreshold(transport, timers), timers, 0, 100.0 + offset / 1000, awaited_ms=433)
            dues.add(timers.due)
        assert len(dues) <= 2


class SilentViewer:
    """Takes what it is sent."""

    def write(self, data: bytes, /) -> None:
        pass

    def buffered_bytes(self) -> int:
        return 0

    def close(self) -> None:
        pass


@pytest.mark.asyncio
class TestConnection:
    """The thresholds that one connection asks for."""

    async def publishing(self, transport: SocketTransport, room: IngestRoom | None = None) -> Peer:
        peer = (room or IngestRoom()).connect()
        peer.transport = transport
        peer.protocol.connection_made(transport)
        peer.log_in()
        peer.ask_to_publish()
        await settle(lambda: "NetStream.Publish.Start" in peer.status_codes())
        return peer

    @staticmethod
    def message(tag: FlvTag) -> bytes:
        return rtmp_wire.message(tag.tag_type, tag.payload, time_ms=tag.timestamp_ms, message_stream_id=1)

    async def test_every_byte_wakes_until_pictures_are_large_and_after_the_goodbye(
        self, transport: SocketTransport
    ) -> None:
        peer = await self.publishing(transport)
        peer.send(self.message(h264_aac()[0]))
        assert transport.socket.thresholds == []
        for _ in range(LARGE_PICTURES_MIN):
            peer.send(self.message(PICTURE))
        assert transport.socket.thresholds == [BETWEEN_MESSAGES_BYTES]
        peer.send(rtmp_wire.command("deleteStream", 4, None, 1.0))
        assert transport.socket.thresholds == [BETWEEN_MESSAGES_BYTES, 1]

    async def test_the_rest_of_a_message_is_waited_for(self, transport: SocketTransport) -> None:
        peer = await self.publishing(transport)
        whole = self.message(max(h264_aac(), key=lambda tag: len(tag.payload)))
        peer.send(whole[:100])
        missing_bytes = peer.protocol._connection.missing_bytes
        assert 0 < missing_bytes <= len(whole) - 100
        assert transport.socket.thresholds == [missing_bytes]
        peer.send(whole[100:])
        assert transport.socket.thresholds == [missing_bytes, 1]

    async def test_the_middle_of_a_part_is_left_in_the_kernel_unless_a_viewer_gets_each_frame(
        self, transport: SocketTransport
    ) -> None:
        room = IngestRoom()
        peer = await self.publishing(transport, room)
        stream = room.registry.find("alice")
        assert stream is not None
        tags = h264_aac(seconds=6)
        for tag in tags[: len(tags) // 2]:
            peer.send(self.message(tag))
        await eventually(lambda: stream.presentation)
        transport.socket.thresholds.clear()
        for tag in tags[len(tags) // 2 : -len(tags) // 4]:
            peer.send(self.message(tag))
        assert WAKE_BYTES_MAX in transport.socket.thresholds
        stream.flv.attach(SilentViewer())
        peer.send(self.message(tags[-len(tags) // 4]))
        transport.socket.thresholds.clear()
        for tag in tags[-len(tags) // 4 + 1 :]:
            peer.send(self.message(tag))
        assert WAKE_BYTES_MAX not in transport.socket.thresholds
