"""A recording as one progressive MP4: the index of all samples before the first, and no sample decoded or encoded.

Players of every kind, editors and archives read such a file. libavformat reads the fragments and writes the file; the
bytes come from a publisher, so this runs in a confined process of its own (``export_worker``).

Spec: ISO/IEC 14496-12 (fragments in, one ``moov`` and ``mdat`` out).
"""

from __future__ import annotations

import heapq
import io
import os
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.error import FFmpegError

from streamd.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from typing_extensions import Buffer

# As when ingesting: no decoder is opened, not even to look at a first picture.
_READING = {"codec_whitelist": "none", "fflags": "+nofillin+noparse"}
# The index is moved before the media when all of it is known: the file is read and written once more.
_WRITING = {"movflags": "faststart"}
# libavformat asks for this much at a time.
BUFFER_BYTES = 256 * 1024
# A recording goes on behind a pause of its publisher: a leap in time that is longer is left out of the file.
LEAP_S = 2
# A picture, its sound, and a track or two more: a recording has no more than these.
TRACKS_MAX = 16


class PlacedFile(io.RawIOBase):
    """A descriptor that was handed over, read and written from a place of this object's own."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._place = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def writable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The place, bytes from the beginning."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        if whence == os.SEEK_END:
            # A sandbox lets nothing be looked at, but all places be gone to.
            self._place = os.lseek(self._descriptor, 0, os.SEEK_END) + offset
        else:
            self._place = offset + (self._place if whence == os.SEEK_CUR else 0)
        return self._place

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes, or fewer."""
        os.lseek(self._descriptor, self._place, os.SEEK_SET)
        data = os.read(self._descriptor, BUFFER_BYTES if size < 0 else size)
        self._place += len(data)
        return data

    def write(self, data: Buffer) -> int:
        """Write all of it."""
        os.lseek(self._descriptor, self._place, os.SEEK_SET)
        view = memoryview(data)
        while view:
            written = os.write(self._descriptor, view)
            self._place += written
            view = view[written:]
        return memoryview(data).nbytes


@dataclass
class _Track:
    """A track on its way."""

    output: Stream
    time_base: Fraction
    shift_ticks: int = 0
    """Added to its times."""
    end_ticks: int | None = None
    """Of its last sample, in the file; None before the first."""
    last_ticks: int = -(1 << 62)
    """Decode time of its last sample, in the file."""


class _Timeline:
    """The times of the file: from 0 on, without leaps, and in order."""

    def __init__(self) -> None:
        self._shift = Fraction(0)
        self._tracks: list[_Track] = []

    def add(self, track: _Track) -> None:
        self._tracks.append(track)

    def place(self, track: _Track, packet: Packet[Any]) -> None:
        """Give a packet its times."""
        assert packet.dts is not None
        ticks = packet.dts + track.shift_ticks
        expected = track.end_ticks
        if all(each.end_ticks is None for each in self._tracks):
            self._move(Fraction(-ticks) * track.time_base)
        elif expected is not None and abs(ticks - expected) * track.time_base > LEAP_S:
            self._move(self._end() - ticks * track.time_base)
        ticks = packet.dts + track.shift_ticks
        late = packet.pts - packet.dts if packet.pts is not None else 0
        # Two samples at one time are none that a file could have.
        ticks = max(ticks, track.last_ticks + 1)
        packet.dts, packet.pts = ticks, ticks + max(late, 0)
        track.last_ticks = ticks
        track.end_ticks = ticks + (packet.duration or 0)

    def _end(self) -> Fraction:
        return max(track.end_ticks * track.time_base for track in self._tracks if track.end_ticks is not None)

    def _move(self, by: Fraction) -> None:
        self._shift += by
        for track in self._tracks:
            track.shift_ticks = round(self._shift / track.time_base)


def remux(sources: Sequence[io.IOBase], descriptor: int) -> int:
    """Write fragmented MP4 files, which may be pipes, as the tracks of one progressive MP4.

    Args:
        sources: Each with a CMAF header and fragments; of several, one has the picture, and another its sound.
        descriptor: Of an empty file that can be read and written.

    Returns:
        The number of samples.

    Raises:
        ExportError: There is nothing to write, or libavformat cannot.
        OSError: The disk does not take it.
    """
    try:
        return _remux(sources, descriptor)
    except FFmpegError as exc:
        if isinstance(exc, OSError) and exc.errno in _DISK_FAULTS:
            raise
        raise ExportError(f"the media cannot be written as MP4: {exc}") from exc


def remux_own(descriptor: int) -> None:
    """Write a file of our own and empty it again, so that all that writes is loaded before a sandbox is locked."""
    made = io.BytesIO()
    with av.open(made, "w", format="mp4", options={"movflags": "empty_moov+default_base_moof"}) as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuvj420p"
        container.mux(stream.encode(av.VideoFrame(16, 16, "yuvj420p")))
        container.mux(stream.encode(None))
    made.seek(0)
    _remux([made], descriptor)
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)


_DISK_FAULTS = (28, 27, 5, 122)  # ENOSPC, EFBIG, EIO, EDQUOT


def _remux(sources: Sequence[io.IOBase], descriptor: int) -> int:
    def open_again(url: str, flags: int, options: object) -> PlacedFile:
        """The file itself, to be read while it is moved; libavformat names no other."""
        del url, flags, options
        return PlacedFile(descriptor)

    inputs: list[InputContainer] = [
        av.open(source, "r", format="mp4", options=_READING, buffer_size=BUFFER_BYTES) for source in sources
    ]
    output = av.open(
        PlacedFile(descriptor), "w", format="mp4", options=_WRITING, io_open=open_again, buffer_size=BUFFER_BYTES
    )
    count = 0
    timeline = _Timeline()
    tracks: dict[tuple[int, int], _Track] = {}
    for number, container in enumerate(inputs):
        for stream in container.streams:
            if stream.type in ("video", "audio") and len(tracks) < TRACKS_MAX and stream.time_base:
                track = _Track(output.add_stream_from_template(stream, opaque=True), stream.time_base)
                tracks[number, stream.index] = track
                timeline.add(track)
    if not tracks:
        raise ExportError("there is no track")
    for number, packet in heapq.merge(
        *(_packets(number, container) for number, container in enumerate(inputs)), key=_time
    ):
        found = tracks.get((number, packet.stream_index))
        if found is None:
            continue
        timeline.place(found, packet)
        packet.stream = found.output
        output.mux(packet)
        count += 1
    if not count:
        raise ExportError("there is no sample")
    output.close()
    for container in inputs:
        container.close()
    return count


def _packets(number: int, container: InputContainer) -> Iterator[tuple[int, Packet[Any]]]:
    for packet in container.demux():
        # The last of each stream is empty.
        if packet.size and packet.dts is not None:
            yield number, packet


def _time(found: tuple[int, Packet[Any]]) -> Fraction:
    packet = found[1]
    assert packet.dts is not None
    return packet.dts * (packet.time_base or Fraction(1))
