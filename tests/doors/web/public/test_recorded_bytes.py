"""The bytes of recordings, and a header by which players show them from 0 on."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from streamd.doors.web.public.recorded_bytes import RecordedBytes
from streamd.doors.web.public.recorded_playlists import Span
from tests.formats.cmaf.test_edit_list import box, header, lists, trak

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

pytestmark = pytest.mark.asyncio

HEADER = header(trak(1, 90_000), trak(2, 48_000))
RECORD = cast("Any", SimpleNamespace(id="rec_1"))


def fragment(*times: tuple[int, int]) -> bytes:
    trafs = [
        box(b"traf", box(b"tfhd", struct.pack(">II", 0, number)), box(b"tfdt", struct.pack(">IQ", 1 << 24, ticks)))
        for number, ticks in times
    ]
    return box(b"moof", *trafs) + box(b"mdat", b"media")


class Disk:
    """Reads at once."""

    async def read(self, work: Callable[[], Any]) -> Any:
        return work()


class Stored:
    """A bucket that has what the disk has not."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.reads: list[tuple[int, int]] = []

    async def read(self, _: object, path: str, start: int, stop: int) -> AsyncGenerator[bytes]:
        self.reads.append((start, stop))
        yield self.files[path][start:stop]


def spans_in(folder: Path, media: bytes, head: bytes = HEADER) -> list[Span]:
    path = folder / "main"
    return [Span(path / "init0.mp4", 0, len(head)), Span(path / "000000.m4s", 3, 3 + len(media))]


async def whole(found: RecordedBytes, spans: Any) -> bytes:
    return b"".join([bytes(piece) async for piece in found.pieces(RECORD, spans, 0, sum(map(len, spans)))])


@pytest.mark.parametrize("is_in_bucket", [False, True])
async def test_both_tracks_are_shown_from_the_first_picture_on(tmp_path: Path, is_in_bucket: bool) -> None:
    media = fragment((1, 900_000), (2, 480_480))
    spans = spans_in(tmp_path, media)
    stored = Stored({"media/hls/main/init0.mp4": HEADER, "media/hls/main/000000.m4s": b"xxx" + media})
    if not is_in_bucket:
        spans[0].path.parent.mkdir()
        spans[0].path.write_bytes(HEADER)
        spans[1].path.write_bytes(b"xxx" + media)
    found = RecordedBytes(cast("Any", Disk()), cast("Any", stored))
    changed = await found.from_zero(RECORD, spans)
    head = changed[0]
    assert isinstance(head, bytes)
    # The sound is 10 ms later than the picture, and stays so.
    assert {track: facts[2] for track, facts in lists(head).items()} == {1: 900_000, 2: 480_000}
    assert await whole(found, changed) == head + media
    if is_in_bucket:
        # Its first part is looked at, and no more of it.
        assert max(stop - start for start, stop in stored.reads[:3]) <= len(HEADER)
    ranged = found.pieces(RECORD, changed, len(head) - 2, len(head) + 4)
    assert b"".join([bytes(piece) async for piece in ranged]) == head[-2:] + media[:4]


@pytest.mark.parametrize(
    ("head", "media"),
    [(b"ftyp+moov", b"media"), (HEADER, b"media"), (HEADER, fragment((7, 1))), (HEADER, b"\xff\xff\xff\xffmoof")],
)
async def test_what_is_something_else_stays_as_it_is(tmp_path: Path, head: bytes, media: bytes) -> None:
    spans = spans_in(tmp_path, media, head)
    spans[0].path.parent.mkdir()
    spans[0].path.write_bytes(head)
    spans[1].path.write_bytes(b"xxx" + media)
    found = RecordedBytes(cast("Any", Disk()), None)
    assert await found.from_zero(RECORD, spans) == spans
    assert await found.from_zero(RECORD, spans[:1]) == spans[:1]
    assert await whole(found, spans) == head + media


async def test_a_file_that_is_nowhere_is_missing(tmp_path: Path) -> None:
    found = RecordedBytes(cast("Any", Disk()), None)
    with pytest.raises(FileNotFoundError):
        await found.from_zero(RECORD, spans_in(tmp_path, b"media"))
