from __future__ import annotations

import pytest

from streamd.doors.delivery.media_path import MediaKind, MediaPath, parse_media_path


@pytest.mark.parametrize(
    ("path", "parsed"),
    [
        ("/live/demo/index.m3u8", MediaPath("demo", MediaKind.MULTIVARIANT)),
        ("/live/demo/main.m3u8", MediaPath("demo", MediaKind.PLAYLIST, "main")),
        ("/live/demo/720p.m3u8", MediaPath("demo", MediaKind.PLAYLIST, "720p")),
        ("/live/demo/main/init0.mp4", MediaPath("demo", MediaKind.INIT, "main", 0)),
        ("/live/demo/main/seg189345600.m4s", MediaPath("demo", MediaKind.SEGMENT, "main", 189_345_600)),
        ("/live/demo/main/part1893456000.m4s", MediaPath("demo", MediaKind.PART, "main", 1_893_456_000)),
        ("/live/a0/m.m3u8", MediaPath("a0", MediaKind.PLAYLIST, "m")),
        (f"/live/{'a' * 64}/main.m3u8", MediaPath("a" * 64, MediaKind.PLAYLIST, "main")),
        ("/live/a_b-c/x_y-z.m3u8", MediaPath("a_b-c", MediaKind.PLAYLIST, "x_y-z")),
        (f"/live/demo/main/seg{10**16 - 1}.m4s", MediaPath("demo", MediaKind.SEGMENT, "main", 10**16 - 1)),
    ],
)
def test_paths_of_media_are_read(path: str, parsed: MediaPath) -> None:
    assert parse_media_path(path) == parsed


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/live",
        "/live/",
        "/live/demo",
        "/live/demo/",
        "/live/demo.flv",
        "/live/demo/index.m3u8/",
        "/live/demo/index.m3u8\n",
        "/live/demo//main.m3u8",
        "//live/demo/main.m3u8",
        "/live/../live/demo/main.m3u8",
        "/live/demo/./main.m3u8",
        "/live/demo%2Fmain.m3u8",
        "/live/demo/%6dain.m3u8",
        "/live/demo/main.m3u8%00",
        "/live/demo/main.m3u8\x00",
        "/live/Demo/main.m3u8",
        "/live/a/main.m3u8",
        f"/live/{'a' * 65}/main.m3u8",
        f"/live/demo/{'a' * 65}.m3u8",
        "/live/-demo/main.m3u8",
        "/live/_demo/main.m3u8",
        "/live/démo/main.m3u8",
        "/live/demo/Main.m3u8",
        "/live/demo/main.M3U8",
        "/live/demo/main.m3u",
        "/live/demo/.m3u8",
        "/live/demo/main/init.mp4",
        "/live/demo/main/init00.mp4",
        "/live/demo/main/init-1.mp4",
        "/live/demo/main/init0.m4s",
        "/live/demo/main/seg1.mp4",
        "/live/demo/main/part1.mp4",
        "/live/demo/main/seg01.m4s",
        "/live/demo/main/seg1.5.m4s",
        "/live/demo/main/seg٣.m4s",
        f"/live/demo/main/seg{10**16}.m4s",
        "/live/demo/main/segment1.m4s",
        "/live/demo/main/part1.m4s/x",
        "/live/demo/index/seg1.m4s",
        "/live/demo/main/" + "part" * 10_000,
        "http://host/live/demo/main.m3u8",
    ],
)
def test_what_is_spelled_otherwise_is_no_path_of_media(path: str) -> None:
    assert parse_media_path(path) is None
