"""Reads a live playlist as players do, twice over, and says what they would meet.

``follow`` is a player's network half, written from the specifications alone and sharing no code with
the server: it reloads the playlist, fetches every segment and part, and reads their boxes.
``play`` is a player's media half: libavformat's HLS demuxer and libavcodec's decoders.
"""

from __future__ import annotations

import itertools
import re
import struct
import time
import urllib.parse
import urllib.request
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import av

from streamd.clock import SystemClock
from tests.support.patience import PATIENCE_S

# Playlists give at least milliseconds.
_ROUNDING_S = 0.001
# Above this a picture is the white flash, a sound is the beep (of full scale); below it neither.
_FLASH_LUMA, _BEEP_PEAK = 128, 0.2


@dataclass
class Track:
    """One track over all fragments that were read."""

    kind: str
    """Handler type of the CMAF header: ``vide`` or ``soun``."""
    timescale: int
    default_sample_duration: int = 0
    start_ticks: int | None = None
    """tfdt of the first fragment."""
    end_ticks: int | None = None
    """tfdt + durations of the last fragment: where the next one has to start."""
    samples: int = 0

    @property
    def duration_s(self) -> float:
        return ((self.end_ticks or 0) - (self.start_ticks or 0)) / self.timescale


@dataclass
class Followed:
    """What following a playlist found."""

    tracks: dict[int, Track] = field(default_factory=dict)
    segments: int = 0
    parts: int = 0
    discontinuities: int = 0
    ended: bool = False
    """The playlist has EXT-X-ENDLIST."""
    gaps: list[str] = field(default_factory=list)
    """Fragments that do not start where the one before them ended."""
    faults: list[str] = field(default_factory=list)
    """Anything else in which playlist, segments and parts do not agree."""
    track_distance_s: float = 0.0
    """How far sound starts, in any segment, before its first picture is decoded or after it is shown, seconds.

    Between the two it starts together with the picture: pictures that are reordered are decoded ahead of
    their time, and segments are cut where a picture is decoded.
    """

    @property
    def duration_s(self) -> float:
        return max((track.duration_s for track in self.tracks.values()), default=0.0)


@dataclass(frozen=True)
class Fragment:
    """One ``traf`` of a ``moof``."""

    track_id: int
    start_ticks: int
    """tfdt."""
    shown_ticks: int
    """Presentation time of the sample that is shown first."""
    duration_ticks: int
    samples: int


@dataclass(frozen=True)
class PlaylistSegment:
    """One media segment of a playlist, complete or still growing."""

    sequence: int
    url: str | None
    """None for the segment that is still growing: it has parts alone."""
    duration_s: float
    map_url: str | None
    is_discontinuous: bool
    part_urls: tuple[str, ...]


def follow(url: str, seconds: float, timeout_s: float) -> Followed:
    """Follow a live playlist from its first segment on.

    Args:
        url: Multivariant or media playlist; of a multivariant one the first variant is followed.
        seconds: How much media to read before leaving; the end of the stream comes sooner.
        timeout_s: How long that may take.

    Raises:
        TimeoutError: Neither came in time.
    """
    found = Followed()
    clock = SystemClock()
    deadline = clock.monotonic() + timeout_s
    url = _first_variant(url)
    map_url: str | None = None
    next_sequence: int | None = None
    while not found.ended and found.duration_s < seconds:
        if clock.monotonic() > deadline:
            raise TimeoutError(f"{found.duration_s:.1f} s of media in {timeout_s:g} s, {seconds:g} s wanted")
        text = _reload(url, next_sequence)
        found.ended = "#EXT-X-ENDLIST" in text
        segments = list(_segments(text, url))
        for segment in segments:
            if segment.url is None or (next_sequence is not None and segment.sequence < next_sequence):
                continue
            if next_sequence is not None and segment.sequence > next_sequence:
                found.faults.append(f"segment {next_sequence} left the playlist before a follower read it")
            if segment.map_url != map_url and segment.map_url is not None:
                map_url = segment.map_url
                found.tracks = _with_positions(_read_header(_fetch(map_url)), found.tracks)
            _read_segment(segment, found)
            next_sequence = segment.sequence + 1
        if "CAN-BLOCK-RELOAD=YES" not in text:
            time.sleep(0.25)
    return found


def _read_segment(segment: PlaylistSegment, found: Followed) -> None:
    assert segment.url is not None
    body = _fetch(segment.url)
    found.segments += 1
    if segment.is_discontinuous:
        found.discontinuities += 1
        for track in found.tracks.values():
            track.end_ticks = None
    if segment.part_urls:
        found.parts += len(segment.part_urls)
        if b"".join(map(_fetch, segment.part_urls)) != body:
            found.faults.append(f"segment {segment.sequence} is not its parts put together")
    starts: dict[str, Fraction] = {}
    ends: dict[str, Fraction] = {}
    first_shown = Fraction(0)
    for fragment in _read_fragments(body, found.tracks):
        track = found.tracks[fragment.track_id]
        if track.start_ticks is None:
            track.start_ticks = fragment.start_ticks
        if track.end_ticks is not None and fragment.start_ticks != track.end_ticks:
            gap_s = (fragment.start_ticks - track.end_ticks) / track.timescale
            found.gaps.append(
                f"segment {segment.sequence}, {track.kind}: {gap_s:+.6f} s from one fragment's end to the next"
            )
        track.end_ticks = fragment.start_ticks + fragment.duration_ticks
        track.samples += fragment.samples
        if track.kind == "vide" and track.kind not in starts:
            first_shown = Fraction(fragment.shown_ticks, track.timescale)
        starts.setdefault(track.kind, Fraction(fragment.start_ticks, track.timescale))
        ends[track.kind] = Fraction(track.end_ticks, track.timescale)
    if not starts:
        found.faults.append(f"segment {segment.sequence} has no fragments")
        return
    if "vide" in starts and "soun" in starts:
        early, late = starts["vide"] - starts["soun"], starts["soun"] - first_shown
        found.track_distance_s = max(found.track_distance_s, float(early), float(late))
    # A segment lasts as long as its video; in the last one the sound may go on after the last picture.
    lead = "vide" if "vide" in starts else next(iter(starts))
    shortest, longest = ends[lead] - starts[lead], max(ends.values()) - starts[lead]
    if not shortest - _ROUNDING_S <= segment.duration_s <= longest + _ROUNDING_S:
        found.faults.append(
            f"segment {segment.sequence}: EXTINF {segment.duration_s}, {lead} {float(shortest):.6f} s,"
            f" {float(longest):.6f} s to the end of all"
        )


def _with_positions(tracks: dict[int, Track], before: dict[int, Track]) -> dict[int, Track]:
    """A new header's tracks, which go on where the old header's stood."""
    for track_id, track in tracks.items():
        if track_id in before and before[track_id].timescale == track.timescale:
            track.start_ticks, track.end_ticks = before[track_id].start_ticks, before[track_id].end_ticks
            track.samples = before[track_id].samples
    return tracks


# HLS: rfc8216bis section 4.4.


def _reload(url: str, next_sequence: int | None) -> str:
    """Load the playlist; once it is known, wait for the segment ``next_sequence`` (section 6.2.5.2)."""
    query = f"?_HLS_msn={next_sequence}" if next_sequence is not None else ""
    return _fetch(url + query).decode()


def _first_variant(url: str) -> str:
    lines = _fetch(url).decode().splitlines()
    for line, following in itertools.pairwise(lines):
        if line.startswith("#EXT-X-STREAM-INF:"):
            return urllib.parse.urljoin(url, following)
    return url


def _segments(text: str, url: str) -> Iterator[PlaylistSegment]:
    """The segments of a media playlist in order, the growing one last."""
    header = re.search(r"^#EXT-X-MEDIA-SEQUENCE:(\d+)", text, re.MULTILINE)
    sequence = int(header[1]) if header else 0
    map_url: str | None = None
    duration_s, is_discontinuous, parts = 0.0, False, list[str]()
    for line in text.splitlines():
        tag, _, value = line.partition(":")
        uri = re.search(r'URI="([^"]+)"', value)
        if tag == "#EXT-X-MAP" and uri:
            map_url = urllib.parse.urljoin(url, uri[1])
        elif tag == "#EXT-X-PART" and uri:
            parts.append(urllib.parse.urljoin(url, uri[1]))
        elif tag == "#EXT-X-DISCONTINUITY":
            is_discontinuous = True
        elif tag == "#EXTINF":
            duration_s = float(value.partition(",")[0])
        elif line and not line.startswith("#"):
            segment_url = urllib.parse.urljoin(url, line)
            yield PlaylistSegment(sequence, segment_url, duration_s, map_url, is_discontinuous, tuple(parts))
            sequence += 1
            is_discontinuous, parts = False, []
    if parts:
        yield PlaylistSegment(sequence, None, 0.0, map_url, is_discontinuous, tuple(parts))


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as response:
        body: bytes = response.read()
    return body


# ISO BMFF: ISO/IEC 14496-12 sections 8.4.2 (mdhd), 8.8.3 (trex), 8.8.7 (tfhd), 8.8.8 (trun), 8.8.12 (tfdt).


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, payload) of each box that fills ``data``."""
    position = 0
    while position < len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        assert 8 <= size <= len(data) - position, f"{kind!r} of {size} bytes with {len(data) - position} left"
        yield kind, data[position + 8 : position + size]
        position += size


def _inside(data: bytes, *path: bytes) -> Iterator[bytes]:
    """Payloads of the boxes at ``path``."""
    for kind, payload in _boxes(data):
        if kind == path[0]:
            yield from _inside(payload, *path[1:]) if path[1:] else (payload,)


def _read_header(data: bytes) -> dict[int, Track]:
    """Tracks of a CMAF header."""
    tracks: dict[int, Track] = {}
    for trak in _inside(data, b"moov", b"trak"):
        (tkhd,) = _inside(trak, b"tkhd")
        (mdhd,) = _inside(trak, b"mdia", b"mdhd")
        (hdlr,) = _inside(trak, b"mdia", b"hdlr")
        track_id: int = struct.unpack_from(">I", tkhd, 20 if tkhd[0] else 12)[0]
        timescale: int = struct.unpack_from(">I", mdhd, 20 if mdhd[0] else 12)[0]
        tracks[track_id] = Track(hdlr[8:12].decode(), timescale)
    for trex in _inside(data, b"moov", b"mvex", b"trex"):
        track_id, _, default_duration = struct.unpack_from(">III", trex, 4)
        tracks[track_id].default_sample_duration = default_duration
    return tracks


def _read_fragments(data: bytes, tracks: dict[int, Track]) -> Iterator[Fragment]:
    """Every ``traf`` of every ``moof``, in order."""
    for traf in _inside(data, b"moof", b"traf"):
        (tfhd,) = _inside(traf, b"tfhd")
        (tfdt,) = _inside(traf, b"tfdt")
        flags, track_id = struct.unpack_from(">II", tfhd)
        # Optional fields before default_sample_duration: base_data_offset, sample_description_index.
        position = 8 + (8 if flags & 0x01 else 0) + (4 if flags & 0x02 else 0)
        default_duration = tracks[track_id].default_sample_duration
        if flags & 0x08:
            (default_duration,) = struct.unpack_from(">I", tfhd, position)
        (start,) = struct.unpack_from(">Q" if tfdt[0] else ">I", tfdt, 4)
        times = [
            (duration or default_duration, offset)
            for trun in _inside(traf, b"trun")
            for duration, offset in _samples(trun)
        ]
        decoded, shown = start, []
        for duration, offset in times:
            shown.append(decoded + offset)
            decoded += duration
        yield Fragment(track_id, start, min(shown, default=start), decoded - start, len(times))


def _samples(trun: bytes) -> Iterator[tuple[int, int]]:
    """(duration or 0, composition time offset) of each sample of a trun."""
    flags, count = struct.unpack_from(">II", trun)
    position = 8 + (4 if flags & 0x01 else 0) + (4 if flags & 0x04 else 0)  # data_offset, first_sample_flags
    for _ in range(count):
        duration = offset = 0
        if flags & 0x100:
            (duration,) = struct.unpack_from(">I", trun, position)
        position += 4 * (flags >> 8 & 0x07).bit_count()  # duration, size, flags
        if flags & 0x800:
            (offset,) = struct.unpack_from(">i" if trun[0] else ">I", trun, position)
            position += 4
        yield duration, offset


# Decoding.


@dataclass
class Played:
    """What libavformat and libavcodec made of a playlist."""

    pictures: int = 0
    sounds: int = 0
    """Decoded audio frames."""
    duration_s: float = 0.0
    steps_back: list[str] = field(default_factory=list)
    """Packets whose DTS is not above that of the packet before them on the same track."""
    flashes_s: list[float] = field(default_factory=list)
    """When the picture turned white, seconds of presentation time."""
    beeps_s: list[float] = field(default_factory=list)
    """When the sound began, seconds of presentation time."""

    @property
    def sound_delays_s(self) -> list[float]:
        """How long after each flash its beep is heard; negative where it comes first."""
        return [
            min((beep - flash for beep in self.beeps_s), key=abs)
            for flash in self.flashes_s
            # At either end the beep of a flash may be cut off.
            if self.beeps_s and self.beeps_s[0] - 0.5 < flash < self.beeps_s[-1] + 0.5
        ]


def play(url: str, seconds: float) -> Played:
    """Play a live playlist from where libavformat starts, and decode all of it.

    Args:
        url: Multivariant or media playlist.
        seconds: How much media to play before leaving; the end of the stream comes sooner.
    """
    played = Played()
    last_dts: dict[int, int] = {}
    first: Fraction | None = None
    was_white = was_loud = False
    with av.open(url, timeout=(10.0, 20.0)) as container:
        for packet in container.demux():
            if packet.dts is None or packet.time_base is None:  # the flush at the end
                continue
            index = packet.stream.index
            if index in last_dts and packet.dts <= last_dts[index]:
                played.steps_back.append(f"{packet.stream.type}: {packet.dts} after {last_dts[index]}")
            last_dts[index] = packet.dts
            at = packet.dts * packet.time_base
            first = at if first is None else first
            played.duration_s = max(played.duration_s, float(at - first))
            for frame in packet.decode():
                assert isinstance(frame, av.VideoFrame | av.AudioFrame)
                assert frame.time is not None
                if isinstance(frame, av.VideoFrame):
                    played.pictures += 1
                    luma = bytes(frame.planes[0])[::61]
                    is_white = sum(luma) > _FLASH_LUMA * len(luma)
                    if is_white and not was_white:
                        played.flashes_s.append(frame.time)
                    was_white = is_white
                else:
                    played.sounds += 1
                    peaks = [abs(sample) > _BEEP_PEAK for sample in array("f", bytes(frame.planes[0]))]
                    if any(peaks) and not was_loud:
                        played.beeps_s.append(frame.time + peaks.index(True) / frame.sample_rate)
                    was_loud = any(peaks)
            if played.duration_s >= seconds:
                break
    return played
