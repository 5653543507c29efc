from __future__ import annotations

import io
import itertools
import os
from typing import TYPE_CHECKING

import av
import pytest

from streamd.errors import ExportError
from streamd.media.remux import PlacedFile, remux
from tests.support.fragmented_media import FRAME_RATE, FragmentedMedia, fragmented_media

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEDIA = fragmented_media(4, began_s=3600)


class Pipe(io.RawIOBase):
    """Bytes that cannot be sought in, and come in small pieces."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, 1000) if size >= 0 else 1000)


def source(*media: FragmentedMedia) -> Pipe:
    return Pipe(media[0].header + b"".join(fragment for each in media for fragment in each.fragments))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.mp4"


def written(path: Path, *sources: io.RawIOBase) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        return remux(sources, descriptor)
    finally:
        os.close(descriptor)


def boxes(data: bytes) -> Iterator[str]:
    at = 0
    while at < len(data):
        yield data[at + 4 : at + 8].decode()
        at += int.from_bytes(data[at : at + 4], "big")


def packets(file: object, kind: str = "") -> list[tuple[str, float, bytes]]:
    """The samples of each kind of track: time and bytes."""
    found: list[tuple[str, float, bytes]] = []
    with av.open(file, "r", format="mp4") as container:
        for packet in container.demux():
            is_asked = kind in ("", packet.stream.type)
            if is_asked and packet.size and packet.dts is not None and packet.time_base is not None:
                found.append((packet.stream.type, float(packet.dts * packet.time_base), bytes(packet)))
    return found


def test_the_index_comes_first_and_samples_are_those_of_the_fragments(path: Path) -> None:
    count = written(path, source(MEDIA))
    assert list(boxes(path.read_bytes()))[:2] == ["ftyp", "moov"]
    given = packets(io.BytesIO(MEDIA.header + b"".join(MEDIA.fragments)))
    made = packets(str(path))
    assert count == len(given) == len(made)
    for kind in ("video", "audio"):
        assert [each[2] for each in made if each[0] == kind] == [each[2] for each in given if each[0] == kind]
    # From the middle of a broadcast, and from 0 on.
    assert given[0][1] > 3590
    assert min(at for _, at, _ in made) == pytest.approx(0, abs=0.05)
    with av.open(str(path)) as container:
        assert container.duration is not None
        assert container.duration / 1e6 == pytest.approx(4, abs=0.1)


def test_sound_that_is_apart_is_put_beside_the_picture(path: Path) -> None:
    picture = fragmented_media(4, began_s=100, has_sound=False)
    sound = fragmented_media(4, began_s=100, has_picture=False)
    written(path, source(picture), source(sound))
    made = packets(str(path))
    assert len([each for each in made if each[0] == "video"]) == 4 * FRAME_RATE
    # Neither runs away from the other in the file.
    at = {"video": 0.0, "audio": 0.0}
    for kind, seconds, _ in made:
        at[kind] = seconds
        assert abs(at["video"] - at["audio"]) < 1.5


@pytest.mark.parametrize("began_s", [10_000, 0], ids=["ahead", "back"])
def test_a_leap_in_time_is_left_out(path: Path, began_s: int) -> None:
    """The publisher was away, or the clock was set back."""
    written(path, source(MEDIA, fragmented_media(4, began_s=began_s)))
    times = [at for kind, at, _ in packets(str(path), "video")]
    assert len(times) == 8 * FRAME_RATE
    assert times[-1] - times[0] == pytest.approx(8, abs=0.2)
    assert all(0 < later - sooner < 0.2 for sooner, later in itertools.pairwise(times))


def test_a_cut_off_end_costs_what_is_cut_off(path: Path) -> None:
    data = MEDIA.header + b"".join(MEDIA.fragments)
    whole = written(path, Pipe(data))
    some = written(path, Pipe(data[: -len(MEDIA.fragments[-1]) // 2]))
    assert 0 < some < whole


@pytest.mark.parametrize(
    "data",
    [b"", b"media" * 1000, MEDIA.header, MEDIA.fragments[0], b"\x00\x00\x00\x00moov" + bytes(1000)],
    ids=["nothing", "noise", "no samples", "no header", "a box without an end"],
)
def test_what_is_no_media_is_told(path: Path, data: bytes) -> None:
    with pytest.raises(ExportError):
        written(path, Pipe(data))


def test_a_file_is_read_and_written_in_places_of_its_own(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        one, other = PlacedFile(descriptor), PlacedFile(descriptor)
        assert one.write(b"0123456789") == 10
        assert other.read(4) == b"0123"
        assert other.seek(-2, os.SEEK_END) == 8
        assert other.read(100) == b"89"
        assert one.seek(-8, os.SEEK_CUR) == one.tell() == 2
        one.write(b"--")
        assert other.seek(0) == 0
        assert other.read(5) == b"01--4"
        assert (one.readable(), one.writable(), one.seekable()) == (True, True, True)
    finally:
        os.close(descriptor)
