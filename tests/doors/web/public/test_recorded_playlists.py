from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streamd.doors.web.public import recorded_playlists
from streamd.doors.web.public.recorded_playlists import RecordedPlaylists
from streamd.services.recording.playlist_file import RecordedPlaylist, RecordedSegment, render_playlist

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TypeVar

    T = TypeVar("T")

pytestmark = pytest.mark.asyncio

HOURS_12 = RecordedPlaylist(
    2,
    tuple(
        RecordedSegment(
            number // 30, number % 30 * 1_500_000, 1_500_000, 2_000_000, 1_772_366_400_000 + 2000 * number, 0
        )
        for number in range(21_600)
    ),
    is_ended=True,
)


async def at_once(work: Callable[[], T]) -> T:
    return work()


def written(folder: Path, playlist: RecordedPlaylist = HOURS_12) -> Path:
    folder.mkdir()
    (folder / "init0.mp4").write_bytes(b"ftyp+moov")
    path = folder / "playlist.m3u8"
    path.write_text(render_playlist(playlist))
    return path


async def test_a_long_recording_is_kept_small(tmp_path: Path) -> None:
    path = written(tmp_path / "main")
    playlists = RecordedPlaylists(at_once)
    found = await playlists.find(path, "main/", is_over=True)
    plain = render_playlist(HOURS_12, "main/").encode()
    assert b"".join(found.unpacked(10_000)) == plain
    assert max(map(len, found.unpacked(10_000))) == 10_000
    assert found.size_bytes == len(plain) > 2_000_000
    assert playlists.held_bytes < 200_000
    assert (await playlists.find(path, "main/", is_over=True)).gzipped is found.gzipped, "it is made once"


async def test_what_is_kept_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded_playlists, "KEPT_BYTES_MAX", 250_000)
    playlists = RecordedPlaylists(at_once)
    for number in range(5):
        await playlists.find(written(tmp_path / f"v{number}"), f"v{number}/", is_over=True)
        assert playlists.held_bytes <= 250_000


async def test_the_pieces_of_a_recording_are_its_files(tmp_path: Path) -> None:
    path = written(tmp_path / "main")
    (tmp_path / "main" / "init1.mp4").write_bytes(b"other")
    segments = (
        RecordedSegment(0, 0, 1000, 2_000_000, 0, 0),
        RecordedSegment(0, 1000, 500, 2_000_000, 2000, 0),
        RecordedSegment(1, 0, 700, 2_000_000, 4000, 0),
        RecordedSegment(2, 0, 300, 2_000_000, 6000, 1, is_discontinuous=True),
    )
    playlists = RecordedPlaylists(at_once)
    assert sum(map(len, await playlists.runs(path))) == 1 + 720
    path.write_text(render_playlist(RecordedPlaylist(2, segments)))
    runs = await playlists.runs(path)
    assert [[(span.path.name, span.start, span.stop) for span in run] for run in runs] == [
        [("init0.mp4", 0, 9), ("000000.m4s", 0, 1500), ("000001.m4s", 0, 700)],
        [("init1.mp4", 0, 5), ("000002.m4s", 0, 300)],
    ]
    assert await playlists.runs(path) is runs, "it is read once"


async def test_a_file_of_somebody_elses_yields_nothing(tmp_path: Path) -> None:
    path = tmp_path / "playlist.m3u8"
    playlists = RecordedPlaylists(at_once)
    for data in (b"", b"\xff\xfe", b"../../etc/passwd\n", b"#EXT-X-BYTERANGE:1@0\n000000.m4s\n"):
        path.write_bytes(data)
        assert await playlists.runs(path) == ()
        await playlists.find(path, "main/", is_over=False)
