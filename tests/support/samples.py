"""Packets and samples as a publisher would make them, and a reader of the chunks they become."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from streamd.media.packager.cmaf_chunk import CmafChunk
from streamd.media.packager.timing import PlaylistTiming
from streamd.media.packet import VIDEO_TIMESCALE, MediaPacket, Sample, Track, TrackKind

VIDEO = Track(track_id=1, kind=TrackKind.VIDEO, codec="avc1.640028", timescale=VIDEO_TIMESCALE)
AUDIO = Track(track_id=2, kind=TrackKind.AUDIO, codec="mp4a.40.2", timescale=48_000, frame_ticks=1024)
AUDIO_44100 = Track(track_id=2, kind=TrackKind.AUDIO, codec="mp4a.40.2", timescale=44_100, frame_ticks=1024)


def video_packets(
    frame_rate: Fraction | float = 30,
    duration_s: float = 10,
    gop_frames: int = 60,
    start_ms: int = 0,
    composition_ms: int = 0,
    payload_bytes: int = 16,
) -> Iterator[MediaPacket]:
    """Frames at a constant rate, timestamps rounded down to milliseconds as FLV has them."""
    for index in range(int(duration_s * frame_rate)):
        dts_ms = start_ms + int(index * 1000 / Fraction(frame_rate))
        yield MediaPacket(
            track_id=VIDEO.track_id,
            dts_ms=dts_ms,
            pts_ms=dts_ms + composition_ms,
            is_keyframe=index % gop_frames == 0,
            payload=index.to_bytes(4, "big").ljust(payload_bytes, b"v"),
            body_at=0,
        )


def audio_packets(track: Track = AUDIO, duration_s: float = 10, start_ms: int = 0) -> Iterator[MediaPacket]:
    """Audio frames back to back, timestamps rounded down to milliseconds as FLV has them."""
    for index in range(int(duration_s * track.timescale / track.frame_ticks)):
        dts_ms = start_ms + index * track.frame_ticks * 1000 // track.timescale
        yield MediaPacket(
            track_id=track.track_id,
            dts_ms=dts_ms,
            pts_ms=dts_ms,
            is_keyframe=True,
            payload=index.to_bytes(4, "big").ljust(12, b"a"),
            body_at=0,
        )


def interleave(*streams: Iterable[MediaPacket]) -> list[MediaPacket]:
    """Packets of several tracks in the order in which an encoder sends them: by decode time."""
    return sorted((packet for stream in streams for packet in stream), key=lambda packet: packet.dts_ms)


def video_sample(
    dts_ms: float,
    *,
    is_keyframe: bool = False,
    composition_ms: float = 0,
    payload: bytes = b"v",
) -> Sample:
    """One video sample of ``VIDEO``."""
    dts_ticks = int(dts_ms * 90)
    return Sample(
        VIDEO.track_id, dts_ticks, dts_ticks + int(composition_ms * 90), is_keyframe, payload, 0, 0, is_keyframe
    )


def audio_sample(index: int, start_ms: int = 0, track: Track = AUDIO, payload: bytes = b"a") -> Sample:
    """The audio frame ``index`` frames after ``start_ms``."""
    dts_ticks = start_ms * track.timescale // 1000 + index * track.frame_ticks
    return Sample(track.track_id, dts_ticks, dts_ticks, True, payload, 0, 0, is_sync=True)


@dataclass(frozen=True, slots=True)
class ReadSample:
    """A sample as a chunk's boxes describe it, in the timescale of its track."""

    dts_ticks: int
    pts_ticks: int
    duration_ticks: int
    is_sync: bool
    payload: bytes


@dataclass(frozen=True, slots=True)
class ReadChunk:
    """What a strict reader finds in a chunk."""

    sequence_number: int
    tracks: dict[int, list[ReadSample]]


def boxes(data: bytes) -> list[tuple[str, bytes]]:
    """Split ``data`` into boxes as (type, content); nothing may be left over."""
    found = []
    while data:
        size, box_type = struct.unpack_from(">I4s", data)
        assert 8 <= size <= len(data), f"box of {size} bytes in {len(data)}"
        found.append((box_type.decode("ascii"), data[8:size]))
        data = data[size:]
    return found


def read_chunk(chunk: bytes) -> ReadChunk:
    """Read a CMAF chunk, insisting on every rule that ``moof`` and ``mdat`` have to keep."""
    (moof_type, moof), (mdat_type, mdat) = boxes(chunk)
    assert (moof_type, mdat_type) == ("moof", "mdat")
    mdat_start = 8 + len(moof) + 8
    children = boxes(moof)
    assert [name for name, _ in children] == ["mfhd"] + ["traf"] * (len(children) - 1)
    version_and_flags, sequence_number = struct.unpack(">II", children[0][1])
    assert version_and_flags == 0
    tracks: dict[int, list[ReadSample]] = {}
    position = mdat_start
    for _, content in children[1:]:
        track_id, samples, position = _read_traf(content, chunk, position)
        assert track_id not in tracks, "one traf for each track"
        tracks[track_id] = samples
    assert position == mdat_start + len(mdat), "mdat holds the samples and nothing else"
    return ReadChunk(sequence_number, tracks)


def _read_traf(content: bytes, chunk: bytes, expected_offset: int) -> tuple[int, list[ReadSample], int]:
    (_, tfhd), (_, tfdt), (_, trun) = children = boxes(content)
    assert [name for name, _ in children] == ["tfhd", "tfdt", "trun"]

    flags, track_id = struct.unpack_from(">II", tfhd)
    assert flags & 0x020000, "default-base-is-moof"
    assert not flags & 0x000001, "no base-data-offset"
    assert flags & ~0x020038 == 0, "only duration, size and flags defaults"
    fields = iter(struct.unpack(f">{(len(tfhd) - 8) // 4}I", tfhd[8:]))
    default_duration = next(fields) if flags & 0x08 else None
    default_size = next(fields) if flags & 0x10 else None
    default_flags = next(fields) if flags & 0x20 else None
    assert next(fields, None) is None

    version_and_flags, decode_ticks = struct.unpack(">IQ", tfdt)
    assert version_and_flags == 1 << 24, "tfdt version 1: 64 bits"

    version_and_flags, count, data_offset = struct.unpack_from(">IIi", trun)
    assert version_and_flags >> 24 == 1, "trun version 1: signed composition offsets"
    flags = version_and_flags & 0xFFFFFF
    assert flags & ~0xF01 == 0
    assert flags & 0x001, "data offset present"
    assert data_offset == expected_offset, "samples follow each other from the start of mdat"
    assert count > 0
    columns = [bit for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit]
    table = struct.unpack(f">{count * len(columns)}I", trun[12:])

    samples = []
    offset = data_offset
    for row in range(count):
        values = dict(zip(columns, table[row * len(columns) : (row + 1) * len(columns)], strict=True))
        duration = values.get(0x100, default_duration)
        size = values.get(0x200, default_size)
        sample_flags = values.get(0x400, default_flags)
        assert duration is not None
        assert size is not None
        assert sample_flags in (0x02000000, 0x01010000), "sync and independent, or neither"
        composition = values.get(0x800, 0)
        composition -= (composition >> 31) << 32
        samples.append(
            ReadSample(
                dts_ticks=decode_ticks,
                pts_ticks=decode_ticks + composition,
                duration_ticks=duration,
                is_sync=sample_flags == 0x02000000,
                payload=chunk[offset : offset + size],
            )
        )
        decode_ticks += duration
        offset += size
    return track_id, samples, offset


def read_track(chunks: Sequence[CmafChunk], track_id: int) -> list[ReadSample]:
    """All samples of one track, in the order in which a player decodes them."""
    return [sample for chunk in chunks for sample in read_chunk(chunk.content.join()).tracks.get(track_id, ())]


def segments(chunks: Sequence[CmafChunk]) -> list[list[CmafChunk]]:
    """Chunks grouped by segment."""
    grouped: list[list[CmafChunk]] = []
    for chunk in chunks:
        if chunk.starts_segment:
            grouped.append([])
        grouped[-1].append(chunk)
    return grouped


def assert_playable(
    samples: Sequence[Sample],
    chunks: Sequence[CmafChunk],
    timing: PlaylistTiming,
    tracks: Sequence[Track] = (VIDEO, AUDIO),
) -> None:
    """Assert what must be true of any stream that was cut, whatever went in.

    Args:
        samples: All that was pushed; from the lead's first keyframe on.
        chunks: All that came out, to the end.
        timing: Numbers of the playlist.
        tracks: The lead track first.
    """
    lead = tracks[0]
    part_ticks = timing.part_target_ms * lead.timescale // 1000
    read = [read_chunk(chunk.content.join()) for chunk in chunks]
    numbers = [chunk.sequence_number for chunk in read]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))

    for chunk, content in zip(chunks, read, strict=True):
        assert chunk.timescale == lead.timescale
        assert 0 < chunk.duration_ticks <= part_ticks, "no part is longer than PART-TARGET"
        first = next(iter(content.tracks.get(lead.track_id, ())), None)
        assert chunk.is_independent is (first is not None and first.is_sync), "it begins with its keyframe"
        assert chunk.starts_segment or not chunk.is_discontinuous
    for chunk, following in pairwise(chunks):
        if not following.is_discontinuous:
            assert following.start_ticks == chunk.start_ticks + chunk.duration_ticks
    for segment in segments(chunks):
        duration_ticks = sum(chunk.duration_ticks for chunk in segment)
        assert 2 * duration_ticks < (2 * timing.target_duration_s + 1) * lead.timescale, "rounded EXTINF"
        for chunk in segment[:-1]:
            assert chunk.is_independent or chunk.duration_ticks * 100 >= part_ticks * 85, "85 % rule"

    for track in tracks:
        pushed = [sample for sample in samples if sample.track_id == track.track_id]
        got = [sample for content in read for sample in content.tracks.get(track.track_id, ())]
        assert [sample.payload for sample in got] == [sample.payload for sample in pushed]
        assert [sample.pts_ticks for sample in got] == [sample.pts_ticks for sample in pushed]
        # The first behind a discontinuity, in whichever chunk it is.
        leaps: set[int] = set()
        has_leapt = False
        for chunk, content in zip(chunks, read, strict=True):
            has_leapt |= chunk.is_discontinuous
            if has_leapt and track.track_id in content.tracks:
                leaps.add(content.tracks[track.track_id][0].dts_ticks)
                has_leapt = False
        for before, after in pairwise(got):
            assert before.duration_ticks > 0
            end = before.dts_ticks + before.duration_ticks
            if track is lead and after.dts_ticks not in leaps:
                assert after.dts_ticks == end, "decode times have no gap"
            else:
                assert after.dts_ticks >= end, "decode times do not overlap"
