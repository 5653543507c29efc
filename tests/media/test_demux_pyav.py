"""libavformat's demuxer: in step with its tags, or of no more use; nothing of a publisher's crashes or stops it."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from streamd.errors import DemuxError, LocalStateError
from streamd.formats.flv.metadata import StreamMetadata
from streamd.formats.flv.tag import FlvTag, TagType
from streamd.media import demux_pyav, tag_feed
from streamd.media.demux_pyav import PyavDemuxer
from streamd.media.flv_input import open_flv
from streamd.media.intake.actions import Open
from streamd.media.tag_feed import READ_BYTES
from tests.support.codec_media import AudioTrack, encoded
from tests.support.flv_media import aac_only, h264_aac, h264_only
from tests.support.gate import in_slabs, through_gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from av.container import InputContainer

    from streamd.media.flv_input import ByteSource

AAC_FRAME = FlvTag(TagType.AUDIO, 60, b"\xaf\x01\x21\x10\x04\x60\x8c\x1c")
OPENINGS = 1000


@pytest.fixture
def both_tracks() -> Iterator[PyavDemuxer]:
    """A demuxer of H.264 and AAC."""
    demuxer = PyavDemuxer(through_gate(h264_aac())[0])
    yield demuxer
    demuxer.close()


class TestOpening:
    def test_needs_no_frame(self) -> None:
        opening, _ = through_gate(h264_aac())
        demuxer = PyavDemuxer(replace(opening, tags=()))
        assert [packet.dts_ms for packet in demuxer.demux([AAC_FRAME])] == [AAC_FRAME.timestamp_ms]
        demuxer.close()

    @pytest.mark.parametrize("encoder", ["ac3", "eac3", "libmp3lame"])
    def test_frame_that_stands_for_a_header_is_not_played(self, encoder: str) -> None:
        opening, frames = through_gate(
            encoded((), (AudioTrack(encoder),), 1), metadata=StreamMetadata(lacks_video=True)
        )
        demuxer = PyavDemuxer(opening)
        assert len(demuxer.demux(frames)) == len(frames)
        demuxer.close()

    def test_more_tracks_announced_than_there_are(self) -> None:
        opening, _ = through_gate(h264_aac())
        with pytest.raises(DemuxError, match="for 2 tracks"):
            PyavDemuxer(Open(opening.tracks, opening.headers[:1], (), 0.0))

    def test_in_many_threads_at_once(self) -> None:
        opening, frames = through_gate(h264_aac())
        counts: list[int] = []

        def run() -> None:
            for _ in range(20):
                demuxer = PyavDemuxer(opening)
                counts.append(len(demuxer.demux(frames)))
                demuxer.close()

        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counts == [len(frames)] * 160

    def test_used_in_another_thread_than_it_was_opened_in(self) -> None:
        opening, frames = through_gate(h264_aac())
        opened: list[PyavDemuxer] = []
        thread = threading.Thread(target=lambda: opened.append(PyavDemuxer(opening)))
        thread.start()
        thread.join()
        assert len(opened[0].demux(frames)) == len(frames)
        opened[0].close()


class TestLockstep:
    def test_every_packet_of_a_batch_comes_with_it(self, both_tracks: PyavDemuxer) -> None:
        _, frames = through_gate(h264_aac())
        for tag in frames:
            (packet,) = both_tracks.demux([tag])
            assert packet.dts_ms == tag.timestamp_ms

    @pytest.mark.parametrize("frame_bytes", range(READ_BYTES - 96, READ_BYTES + 44))
    def test_a_marker_is_whole_wherever_the_buffer_of_libavformat_ends(
        self, both_tracks: PyavDemuxer, frame_bytes: int
    ) -> None:
        """libavformat seeks back inside a script tag, which it can only within one filling of its buffer."""
        frame = b"\xaf\x01" + bytes(frame_bytes)
        for number in range(3):
            (packet,) = both_tracks.demux([FlvTag(TagType.AUDIO, 5_000 + number, frame)])
            assert len(packet.payload) - packet.body_at == frame_bytes

    def test_numbering_of_tags_starts_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tag_feed, "_NUMBERS_END", 50)
        opening, frames = through_gate(h264_aac())
        demuxer = PyavDemuxer(opening)
        packets = [packet for start in range(0, len(frames), 7) for packet in demuxer.demux(frames[start : start + 7])]
        assert [packet.dts_ms for packet in packets] == [tag.timestamp_ms for tag in frames]
        demuxer.close()

    def test_a_tag_that_brings_no_packet_is_missed(self, both_tracks: PyavDemuxer) -> None:
        with pytest.raises(DemuxError, match="lost step"):
            both_tracks.demux([FlvTag(TagType.AUDIO, 40, b"\xaf\x01"), AAC_FRAME])

    def test_a_packet_without_a_timestamp_is_an_error(self, both_tracks: PyavDemuxer) -> None:
        # libavformat takes the timestamps off a frame with a composition time above a quarter of an hour.
        with pytest.raises(DemuxError, match="lost step"):
            both_tracks.demux([FlvTag(TagType.VIDEO, 40, b"\x27\x01\x7f\xff\xff\x00\x00\x00\x01\x41")])


class FaultyFile:
    """A feed with a fault: what libavformat reads ends too soon, or is not what was put in."""

    def __init__(self, file: ByteSource) -> None:
        self._file = file
        self.fault: Callable[[bytes], bytes] | None = None

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        return self.fault(data) if self.fault is not None else data


class TestFaultsOfTheFeed:
    @pytest.fixture
    def files(self, monkeypatch: pytest.MonkeyPatch) -> list[FaultyFile]:
        """What the demuxers read that are opened from now on."""
        files: list[FaultyFile] = []

        def open_faulty(source: ByteSource, **options: Any) -> InputContainer:
            files.append(FaultyFile(source))
            return open_flv(files[-1], **options)

        monkeypatch.setattr(demux_pyav, "open_flv", open_faulty)
        return files

    @pytest.mark.parametrize(
        "fault",
        [
            lambda _: b"",
            lambda data: data[: len(data) // 2],
            lambda data: data[1:],
            lambda data: bytes(len(data)),
            lambda data: b"\xff" * len(data),
            lambda data: data[::-1],
        ],
        ids=["starved", "cut short", "a byte too few", "zeros", "ones", "backwards"],
    )
    def test_end_in_an_error_of_ours(self, files: list[FaultyFile], fault: Callable[[bytes], bytes]) -> None:
        opening, frames = through_gate(h264_aac())
        demuxer = PyavDemuxer(opening)
        demuxer.demux(frames[:10])
        files[0].fault = fault
        with pytest.raises(DemuxError):
            demuxer.demux(frames[10:])
        with pytest.raises(LocalStateError):
            demuxer.demux(frames[10:])

    def test_an_error_of_the_feed_is_the_callers(self, files: list[FaultyFile]) -> None:
        def fail(_: bytes) -> bytes:
            raise LocalStateError("a bug")

        opening, frames = through_gate(h264_aac())
        demuxer = PyavDemuxer(opening)
        files[0].fault = fail
        with pytest.raises(LocalStateError, match="a bug"):
            demuxer.demux(frames)
        demuxer.close()


class TestBrokenInput:
    """What the gate keeps out must end in an error even so, and never in a crash, a hang or a lost packet."""

    @pytest.mark.parametrize(
        "payload",
        [b"\xaf\x01\x21\x10\x04\x60\x8c\x1c", b"\x2f\xff\xfb\x90\x00", b"\x91Opus\xfc\xff\xfe"],
        ids=["AAC", "MP3", "Opus"],
    )
    def test_track_that_was_not_opened(self, payload: bytes) -> None:
        demuxer = PyavDemuxer(through_gate(h264_only())[0])
        with pytest.raises(DemuxError):
            demuxer.demux([FlvTag(TagType.AUDIO, 40, payload)])
        demuxer.close()

    @pytest.mark.parametrize(
        ("tag_type", "payload"),
        [
            (TagType.AUDIO, b"\xad\x01\x21\x10\x04\x60\x8c\x1c"),
            (TagType.VIDEO, b"\x91hvc1\x00\x00\x00\x00\x00\x00\x01\x26"),
            (TagType.VIDEO, b"\xa6\x01avc1\x01\x00\x00\x00\x00\x00\x00\x01\x41"),
            (TagType.VIDEO, b"\xa6\x11avc1\x00\xff\xff\xffx"),
            (TagType.AUDIO, b"\x95\x11mp4a\x00\xff\xff\xffx"),
            (TagType.VIDEO, b"\x97\x04abc"),
            (TagType.SCRIPT, b"\x02\x00\x0aonMetaData\x03\x00\x00\x09"),
            (TagType.VIDEO, b"\x57\x00"),
            (TagType.VIDEO, b"\x17\x02\x00\x00\x00"),
            (TagType.VIDEO, b""),
            (TagType.SCRIPT, tag_feed.MARKER),
        ],
        ids=[
            *("SoundSize", "another codec", "another track", "lying video", "lying audio", "lying ModEx", "script"),
            *("command", "end of sequence", "empty", "marker"),
        ],
    )
    def test_tag_that_the_gate_keeps_out(self, both_tracks: PyavDemuxer, tag_type: int, payload: bytes) -> None:
        with pytest.raises(DemuxError):
            both_tracks.demux([FlvTag(tag_type, 40, payload)])
        with pytest.raises(LocalStateError):
            both_tracks.demux([AAC_FRAME])

    def test_frame_that_is_larger_than_flv_can_say(self, both_tracks: PyavDemuxer) -> None:
        largest = FlvTag(TagType.VIDEO, 0, b"\x17\x01\0\0\0".ljust(2**24 - 1, b"\1"))
        (packet,) = both_tracks.demux(in_slabs([largest]))
        assert packet.is_keyframe
        with pytest.raises(DemuxError, match="a frame of 16777216 bytes"):
            both_tracks.demux([AAC_FRAME, replace(largest, payload=bytes(2**24))])
        with pytest.raises(LocalStateError):
            both_tracks.demux([AAC_FRAME])


class TestClose:
    def test_again_is_no_error(self, both_tracks: PyavDemuxer) -> None:
        both_tracks.close()
        both_tracks.close()

    def test_demuxing_afterwards_is_our_own_fault(self, both_tracks: PyavDemuxer) -> None:
        both_tracks.close()
        with pytest.raises(LocalStateError):
            both_tracks.demux([AAC_FRAME])


class TestMemory:
    def test_a_batch_is_let_go_of(self, both_tracks: PyavDemuxer) -> None:
        _, frames = through_gate(h264_aac())
        tags = in_slabs([*frames, FlvTag(TagType.VIDEO, 0, b"\x27\x01\0\0\0" + bytes(5 * READ_BYTES))])
        before = [sys.getrefcount(tag.payload) for tag in tags]
        both_tracks.demux(tags)
        after = [sys.getrefcount(tag.payload) for tag in tags]
        assert after == before

    def test_what_was_opened_a_thousand_times_leaves_nothing(self) -> None:
        opening, frames = through_gate(aac_only())

        def run(count: int) -> None:
            for _ in range(count):
                demuxer = PyavDemuxer(opening)
                demuxer.demux(frames[:3])
                demuxer.close()

        run(50)
        before = resident_bytes()
        run(OPENINGS)
        # Each holds some 2 MB while it is open.
        assert resident_bytes() - before < 16 * 1024 * 1024

    def test_one_that_is_only_forgotten_is_freed(self) -> None:
        opening, frames = through_gate(aac_only())
        for _ in range(50):
            PyavDemuxer(opening).demux(frames[:3])
        before = resident_bytes()
        for _ in range(200):
            PyavDemuxer(opening).demux(frames[:3])
        assert resident_bytes() - before < 16 * 1024 * 1024

    def test_hours_of_frames_are_not_kept(self, both_tracks: PyavDemuxer) -> None:
        _, frames = through_gate(h264_aac())
        both_tracks.demux(frames)
        before = resident_bytes()
        for _ in range(300):
            both_tracks.demux(frames)
        assert resident_bytes() - before < 8 * 1024 * 1024


def resident_bytes() -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096
    except FileNotFoundError:
        pytest.skip("the operating system does not tell a process's size in /proc")
