from __future__ import annotations

import socket
import sys
from collections.abc import Sequence

import pytest

from streamd.doors.ingest import wake_threshold
from streamd.doors.ingest.wake_threshold import (
    BETWEEN_MESSAGES_BYTES,
    GRID_S,
    HOLD_S_MAX,
    HOLD_S_MIN,
    JITTER_S,
    LARGE_PICTURES_MIN,
    PACE_KEPT_S,
    TAKE_REST_S,
    WAKE_BYTES_MAX,
    WakeClock,
    WakeThreshold,
)
from streamd.formats.flv.tag import FlvTag, TagType
from streamd.services.live.monitor import HELD_S_MAX
from streamd.services.live.push_outputs import FlvOutput
from tests.support import rtmp_wire
from tests.support.flv_media import h264_aac
from tests.support.ingest import IngestRoom, Peer, RecordingTransport, eventually, settle
from tests.support.taking_viewer import TakingViewer
from tests.support.timers import ManualTimers

PICTURE = FlvTag(TagType.VIDEO, 0, bytes(BETWEEN_MESSAGES_BYTES))
SMALL_PICTURE = FlvTag(TagType.VIDEO, 0, bytes(BETWEEN_MESSAGES_BYTES - 1))
SOUND = FlvTag(TagType.AUDIO, 0, bytes(300))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="SO_RCVLOWAT wakes a poll on Linux alone")


class RecordingSocket:
    """Remembers the thresholds it was given, and what has come; nobody may close it but the transport."""

    family, type, proto = socket.AF_INET, socket.SOCK_STREAM, 0

    def __init__(self) -> None:
        self.thresholds: list[int] = []
        self.unread_bytes = 0
        self.is_detached = False
        self.is_broken = False

    @property
    def wakes(self) -> bool:
        return self.unread_bytes >= (self.thresholds[-1] if self.thresholds else 1)

    def fileno(self) -> int:
        return -1

    def setsockopt(self, level: int, option: int, value: int) -> None:
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_RCVLOWAT)
        if self.is_broken:
            raise OSError
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


@pytest.fixture(autouse=True)
def _no_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    # What is made of a file descriptor, which is none here, and what the kernel says of it.
    monkeypatch.setattr(wake_threshold, "open_again", lambda stand_in: stand_in)
    monkeypatch.setattr(wake_threshold, "unread_bytes", lambda connection: connection.unread_bytes)


@pytest.fixture
def transport() -> SocketTransport:
    return SocketTransport()


@pytest.fixture
def timers() -> ManualTimers:
    return ManualTimers()


@pytest.fixture
def clock(timers: ManualTimers) -> WakeClock:
    return WakeClock(timers)


@pytest.fixture
def threshold(transport: SocketTransport, clock: WakeClock) -> WakeThreshold:
    return WakeThreshold(transport, clock)


class TestThreshold:
    def test_is_set_only_where_it_changes(self, transport: SocketTransport, threshold: WakeThreshold) -> None:
        threshold.wait_for_anything()
        threshold.wait_for_media([PICTURE] * LARGE_PICTURES_MIN, 0, 0)
        for missing_bytes in (0, 5_000, 5_000, 10**6, 0):
            threshold.wait_for_media([], missing_bytes, 0)
        threshold.wait_for_anything()
        assert transport.socket.thresholds == [
            BETWEEN_MESSAGES_BYTES,
            5_000,
            WAKE_BYTES_MAX,
            BETWEEN_MESSAGES_BYTES,
            1,
        ]

    def test_what_the_kernel_holds_is_taken_once_nothing_has_come_for_a_while(
        self, transport: SocketTransport, threshold: WakeThreshold, timers: ManualTimers
    ) -> None:
        for _ in range(10):
            threshold.wait_for_media([PICTURE] * LARGE_PICTURES_MIN, 0, 0)
            timers.run_until(timers.now + TAKE_REST_S)
        assert transport.socket.thresholds == [BETWEEN_MESSAGES_BYTES]
        timers.run_until(timers.now + GRID_S)
        assert transport.socket.thresholds == [BETWEEN_MESSAGES_BYTES, 1]
        assert timers.due is None

    @pytest.mark.parametrize(
        "tags",
        [[SOUND] * 1000, [PICTURE] * (LARGE_PICTURES_MIN - 1), [PICTURE] * 1000 + [SMALL_PICTURE, SOUND, PICTURE]],
        ids=["sound alone", "not known yet", "a small picture"],
    )
    def test_pictures_as_small_as_sound_do_not_wait_for_what_comes_next(
        self, transport: SocketTransport, threshold: WakeThreshold, timers: ManualTimers, tags: list[FlvTag]
    ) -> None:
        threshold.wait_for_media([*tags], 0, 0)
        assert transport.socket.thresholds == []
        assert timers.due is None

    def test_under_tls_every_byte_wakes(self, clock: WakeClock, timers: ManualTimers) -> None:
        transport = SocketTransport(sslcontext=object())
        WakeThreshold(transport, clock).wait_for_media([PICTURE] * LARGE_PICTURES_MIN, 0, 400)
        assert transport.socket.thresholds == []
        assert timers.due is None

    def test_the_socket_stays_its_owners(
        self, transport: SocketTransport, threshold: WakeThreshold, timers: ManualTimers
    ) -> None:
        threshold.wait_for_media([SOUND], 0, 400)
        threshold.close()
        assert transport.socket.is_detached
        threshold.wait_for_anything()
        timers.run_until(timers.now + 1.0)
        assert transport.socket.thresholds == [WAKE_BYTES_MAX]
        assert timers.due is None


class Reader:
    """Reads the media of one publisher."""

    def __init__(self, timers: ManualTimers, clock: WakeClock) -> None:
        transport = SocketTransport()
        self.socket = transport.socket
        self._timers = timers
        self._threshold = WakeThreshold(transport, clock)

    def read(self, tags: Sequence[FlvTag] | int, at: float, awaited_ms: int) -> None:
        """Read the picture of a timestamp, or more than that."""
        self._timers.now = at
        events = [FlvTag(TagType.VIDEO, tags, bytes(5_000))] if isinstance(tags, int) else list(tags)
        self._threshold.wait_for_media([*events], 0, awaited_ms)


@pytest.fixture
def reader(timers: ManualTimers, clock: WakeClock) -> Reader:
    return Reader(timers, clock)


def is_shortly_before(due: float | None, at: float) -> bool:
    return due is not None and at - JITTER_S - GRID_S <= due <= at - JITTER_S + 1e-6


class TestHold:
    """Media that nobody waits for."""

    def test_is_left_in_the_kernel_until_shortly_before_the_picture_that_is_waited_for(
        self, reader: Reader, timers: ManualTimers
    ) -> None:
        reader.read(0, 100.0, awaited_ms=433)
        assert reader.socket.thresholds == [WAKE_BYTES_MAX]
        assert is_shortly_before(timers.due, 100.433)

    @pytest.mark.parametrize(("pictures", "more"), [(1, 1), (LARGE_PICTURES_MIN, BETWEEN_MESSAGES_BYTES)])
    def test_then_waits_for_that_picture_and_is_read_with_it(
        self, reader: Reader, timers: ManualTimers, pictures: int, more: int
    ) -> None:
        reader.read([PICTURE] * pictures, 100.0, awaited_ms=433)
        reader.socket.unread_bytes = 140_000
        timers.run()
        assert reader.socket.thresholds == [WAKE_BYTES_MAX, 140_000 + more]

    def test_is_read_where_that_picture_does_not_come(self, reader: Reader, timers: ManualTimers) -> None:
        reader.read(0, 100.0, awaited_ms=433)
        timers.run_until(100.433 - JITTER_S + TAKE_REST_S + GRID_S)
        assert reader.socket.thresholds[-1] == 1
        assert timers.due is None

    def test_is_read_at_once_where_the_picture_may_have_come_while_the_loop_was_busy(
        self, reader: Reader, timers: ManualTimers
    ) -> None:
        reader.read(0, 100.0, awaited_ms=433)
        timers.now = 100.45
        timers.run()
        assert reader.socket.thresholds == [WAKE_BYTES_MAX, 1]

    def test_of_a_long_part_is_read_after_a_while(self, reader: Reader, timers: ManualTimers) -> None:
        reader.read(0, 100.0, awaited_ms=1_000)
        assert timers.due == pytest.approx(100.0 + HOLD_S_MAX)
        timers.run()
        assert reader.socket.thresholds == [WAKE_BYTES_MAX, 1]

    def test_counts_for_health_as_media_that_comes(self) -> None:
        assert HOLD_S_MAX + TAKE_REST_S + 2 * GRID_S < HELD_S_MAX

    def test_is_not_worth_it_for_a_moment(self, reader: Reader, timers: ManualTimers) -> None:
        reader.read(0, 100.0, awaited_ms=int(1000 * (JITTER_S + HOLD_S_MIN)) - 1)
        assert reader.socket.thresholds == []
        assert timers.due is None

    def test_sound_behind_a_picture_does_not_put_off_the_next_one(self, reader: Reader, timers: ManualTimers) -> None:
        pictures = [FlvTag(TagType.VIDEO, 1_000, bytes(5_000)), FlvTag(TagType.AUDIO, 1_030, bytes(300))]
        reader.read(pictures, 100.0, awaited_ms=300)
        reader.read([FlvTag(TagType.AUDIO, 1_060, bytes(300))], 100.06, awaited_ms=300)
        assert is_shortly_before(timers.due, 100.3)

    def test_of_sound_alone_goes_by_its_own_pace(self, reader: Reader, timers: ManualTimers) -> None:
        reader.read([FlvTag(TagType.AUDIO, 1_000, bytes(300))], 100.0, awaited_ms=300)
        assert is_shortly_before(timers.due, 100.3)

    def test_the_frames_pace_counts_and_not_when_they_were_read(self, reader: Reader, timers: ManualTimers) -> None:
        reader.read(1_000, 100.0, awaited_ms=0)
        # This one waited for 60 ms in the kernel.
        reader.read(1_200, 100.26, awaited_ms=200)
        assert is_shortly_before(timers.due, 100.4)

    def test_what_is_due_is_waited_for(self, reader: Reader, timers: ManualTimers) -> None:
        reader.read(1_000, 100.0, awaited_ms=0)
        reader.read(1_100, 100.16, awaited_ms=50)
        assert timers.due is None
        assert reader.socket.thresholds == []

    def test_a_pace_of_long_ago_counts_no_more(self, reader: Reader, timers: ManualTimers) -> None:
        reader.read(0, 100.0, awaited_ms=0)
        # From here on all comes half a second later: taken up sooner than needed, until that is known to be the pace.
        for second in range(1, int(2 * PACE_KEPT_S) + 3):
            timers.run_until(100.5 + second)
            reader.read(second * 1000, 100.5 + second, awaited_ms=400)
        assert is_shortly_before(timers.due, 100.9 + second)

    def test_a_leap_of_timestamps_is_a_new_pace(self, reader: Reader, timers: ManualTimers) -> None:
        reader.read(10_000, 100.0, awaited_ms=0)
        for timestamp_ms in (3_600_000, 0):
            timers.run_until(timers.now + 1)
            reader.read(timestamp_ms, timers.now, awaited_ms=400)
            assert is_shortly_before(timers.due, timers.now + 0.4)


class TestClock:
    """One timer for all connections."""

    def test_looks_at_connections_together(self, timers: ManualTimers, clock: WakeClock) -> None:
        readers = [Reader(timers, clock) for _ in range(20)]
        for offset, reader in enumerate(readers):
            reader.read(0, 100.0 + offset / 1000, awaited_ms=433)
        for _ in range(2):
            timers.run()
        assert all(len(reader.socket.thresholds) == 2 for reader in readers)

    def test_looks_sooner_at_one_that_comes_later(self, timers: ManualTimers, clock: WakeClock) -> None:
        late, soon = Reader(timers, clock), Reader(timers, clock)
        late.read(0, 100.0, awaited_ms=433)
        soon.read(0, 100.0, awaited_ms=200)
        assert is_shortly_before(timers.due, 100.2)
        timers.run()
        assert (len(late.socket.thresholds), len(soon.socket.thresholds)) == (1, 2)

    def test_looks_when_it_was_asked_to_last(self, reader: Reader, timers: ManualTimers) -> None:
        reader.read(0, 100.0, awaited_ms=433)
        reader.read(0, 100.0, awaited_ms=200)
        reader.read(0, 100.0, awaited_ms=300)
        timers.run_until(100.25)
        assert reader.socket.thresholds == [WAKE_BYTES_MAX]
        timers.run_until(100.3)
        assert reader.socket.thresholds == [WAKE_BYTES_MAX, 1]
        timers.run_until(101.0)
        assert timers.due is None

    def test_goes_on_where_one_connection_fails(
        self, timers: ManualTimers, clock: WakeClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        broken, whole = Reader(timers, clock), Reader(timers, clock)
        for reader in (broken, whole):
            reader.read(0, 100.0, awaited_ms=433)
        broken.socket.is_broken = True
        timers.run()
        assert len(whole.socket.thresholds) == 2
        assert "threshold.failed" in caplog.text

    def test_ends(self, reader: Reader, timers: ManualTimers, clock: WakeClock) -> None:
        reader.read(0, 100.0, awaited_ms=433)
        clock.close()
        assert timers.due is None


class TestOrdinaryPublisher:
    """30 pictures a second, of which the fifteenth ends a part, and a keyframe every four parts; sound between them."""

    SECONDS = 20

    @staticmethod
    def awaited_ms(frame: int) -> int:
        """As the segmenter tells: what follows a whole segment may be a keyframe."""
        return 0 if frame % 60 == 59 else (14 - frame % 15 or 15) * 1000 // 30

    @pytest.mark.parametrize(("bitrate_bps", "reads_max", "asks_max"), [(2_500_000, 4, 6), (6_000_000, 6, 8)])
    def test_is_read_twice_a_part_at_most_and_no_part_late(
        self, timers: ManualTimers, clock: WakeClock, bitrate_bps: int, reads_max: float, asks_max: float
    ) -> None:
        transport = SocketTransport()
        kernel = transport.socket
        threshold = WakeThreshold(transport, clock)
        unread: list[FlvTag] = []
        reads, parts_late, newest = 0, 0, 0
        for frame in range(self.SECONDS * 30):
            at = 100.0 + frame / 30 + 0.002 * (frame * 7 % 5)
            keyframe_factor = 6 if frame % 60 == 0 else 1
            picture = FlvTag(TagType.VIDEO, frame * 1000 // 30, bytes(bitrate_bps // 8 // 33 * keyframe_factor))
            sound = FlvTag(TagType.AUDIO, frame * 1000 // 30 + 10, bytes(400))
            for tag, came_at in ((picture, at), (sound, at + 0.01)):
                timers.run_until(came_at)
                unread.append(tag)
                kernel.unread_bytes += len(tag.payload)
                if kernel.wakes:
                    newest = frame if tag is picture else newest
                    reads += 1
                    threshold.wait_for_media([*unread], 0, self.awaited_ms(newest))
                    unread.clear()
                    kernel.unread_bytes = 0
            is_awaited = frame % 15 == 14 or frame % 60 == 0
            parts_late += is_awaited and newest != frame
            if frame == LARGE_PICTURES_MIN:
                reads = 0
                kernel.thresholds.clear()
        counted_s = self.SECONDS - LARGE_PICTURES_MIN / 30
        assert parts_late == 0
        assert reads / counted_s <= reads_max
        assert len(kernel.thresholds) / counted_s <= asks_max


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
        return rtmp_wire.message(tag.tag_type, bytes(tag.payload), time_ms=tag.timestamp_ms, message_stream_id=1)

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
        await eventually(lambda: stream.is_playable)
        transport.socket.thresholds.clear()
        for tag in tags[len(tags) // 2 : -len(tags) // 4]:
            peer.send(self.message(tag))
        assert transport.socket.thresholds[-1] == WAKE_BYTES_MAX
        flv = stream.outputs.find(FlvOutput)
        assert flv is not None
        flv.fanout.attach(TakingViewer())
        assert transport.socket.thresholds[-1] == 1
        peer.send(self.message(tags[-len(tags) // 4]))
        transport.socket.thresholds.clear()
        for tag in tags[-len(tags) // 4 + 1 :]:
            peer.send(self.message(tag))
        assert WAKE_BYTES_MAX not in transport.socket.thresholds
