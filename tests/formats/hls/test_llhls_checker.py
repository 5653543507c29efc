"""The judge is judged: it passes good playlists and finds each fault that is put into them."""

from __future__ import annotations

import pytest

from tests.support.chunk_feeder import ChunkFeeder, feed, start_rendition
from tests.support.llhls_checker import PlaylistFollower, check_playlist

RENDITION = start_rendition()
feed(RENDITION, ChunkFeeder(), [2] * 12 + [1])
FULL = RENDITION.playlist().full.buffers[0]
DELTA = RENDITION.playlist().delta().buffers[0]


def broken(playlist: bytes, good: bytes, bad: bytes) -> bytes:
    assert good in playlist
    return playlist.replace(good, bad, 1)


@pytest.mark.parametrize("playlist", [FULL, DELTA])
def test_a_good_playlist_passes(playlist: bytes) -> None:
    assert check_playlist(playlist) == []


@pytest.mark.parametrize(
    ("playlist", "good", "bad", "rule"),
    [
        (FULL, b"#EXTM3U\n", b"\n", "4.4.1.1"),
        (FULL, b"#EXTM3U", b"\xef\xbb\xbf#EXTM3U", "4.1"),
        (FULL, b"m4s\n", b"m4s\r\n", "4.1"),
        (FULL, b"VERSION:6", b"VERSION:5", "8: EXT-X-MAP"),
        (DELTA, b"VERSION:9", b"VERSION:8", "8: EXT-X-SKIP"),
        (FULL, b"TARGETDURATION:2", b"TARGETDURATION:1", "4.4.3.1"),
        (FULL, b"TARGETDURATION:2", b"TARGETDURATION:2.0", "4.2"),
        (FULL, b"#EXT-X-VERSION", b"#EXT-X-VERSION:6\n#EXT-X-VERSION", "repeated"),
        (FULL, b"#EXT-X-MEDIA-SEQUENCE", b"#EXT-X-MEDIA-SEQUENZ", "unknown tag"),
        (FULL, b"CAN-BLOCK-RELOAD=YES,", b"", "CAN-BLOCK-RELOAD"),
        (FULL, b"PART-HOLD-BACK=1.5", b"PART-HOLD-BACK=1.4", "PART-HOLD-BACK"),
        (FULL, b",HOLD-BACK=6", b",HOLD-BACK=5", "HOLD-BACK"),
        (FULL, b"UNTIL=12", b"UNTIL=11", "CAN-SKIP-UNTIL"),
        (FULL, b"DURATION=0.50000", b"DURATION=0.50001", "4.4.4.9"),
        (FULL, b"DURATION=0.50000", b"DURATION=5e-1", "4.2"),
        (FULL, b"PART-TARGET=0.50000", b"PART-TARGET=0.60000", "85 %"),
        (FULL, b'URI="main/part', b"URI=main/part", "quoted-string"),
        (FULL, b",INDEPENDENT=YES", b",INDEPENDENT=NO", "INDEPENDENT"),
        (FULL, b'#EXT-X-MAP:URI="main/init1000.mp4"\n', b"", "4.4.4.5"),
        (FULL, b"#EXTINF:2.00000", b"#EXTINF:1.90000", "4.4.4.6"),
        (FULL, b"#EXTINF:2.00000,\n", b"", "without EXTINF"),
        (FULL, b"T12:00:14.000Z", b"T12:00:14Z", "4.4.4.6"),
        (FULL, b"main/seg1006.m4s", b"main/seg1005.m4s", "listed twice"),
        (FULL, b"#EXT-X-PRELOAD-HINT:TYPE=PART", b"#EXT-X-PRELOAD-HINT:TYPE=MAP", "no EXT-X-PRELOAD-HINT"),
        (FULL, b"#EXT-X-PRELOAD-HINT", b"#EXT-X-ENDLIST\n#EXT-X-PRELOAD-HINT", "after the end"),
        (FULL, b"part10050.m4s", b"part10049.m4s", "already"),
        (DELTA, b"SKIPPED-SEGMENTS=1", b"SKIPPED-SEGMENTS=x", "4.2"),
        (DELTA, b"SKIP-UNTIL=12", b"SKIP-UNTIL=18", "Skip Boundary"),
    ],
)
def test_a_broken_playlist_is_found(playlist: bytes, good: bytes, bad: bytes, rule: str) -> None:
    found = check_playlist(broken(playlist, good, bad))
    assert any(rule in fault for fault in found), found


@pytest.mark.parametrize(
    ("good", "bad", "rule"),
    [
        (b"DISCONTINUITY-SEQUENCE:7", b"DISCONTINUITY-SEQUENCE:8", "6.2.2: DISCONTINUITY-SEQUENCE"),
        (b"MEDIA-SEQUENCE:1005", b"MEDIA-SEQUENCE:1004", "4.4.3.2"),
        (b"PART-TARGET=0.50000", b"PART-TARGET=0.51000", "part_target changed"),
        (b"TARGETDURATION:2", b"TARGETDURATION:3", "target_duration changed"),
        (b"CAN-SKIP-UNTIL=12", b"CAN-SKIP-UNTIL=13", "server_control changed"),
        (b"main/seg1007.m4s", b"main/seg2007.m4s", "segment 1007 changed"),
        (b"part10049.m4s", b"part20049.m4s", "parts of open segment 1012 changed"),
        (b"part10050.m4s", b"part10051.m4s", "another part is hinted"),
    ],
)
def test_a_reload_that_changes_what_was_said_is_found(good: bytes, bad: bytes, rule: str) -> None:
    follower = PlaylistFollower()
    assert follower.reload(FULL) == []
    found = follower.reload(broken(FULL, good, bad))
    assert any(rule in fault for fault in found), found


def test_a_hint_that_was_wrong_is_found() -> None:
    follower = PlaylistFollower()
    assert follower.reload(broken(FULL, b"part10050.m4s", b"part10060.m4s")) == []
    rendition = start_rendition()
    feed(rendition, ChunkFeeder(), [2] * 12 + [1.5])
    assert any("was hinted" in fault for fault in follower.reload(rendition.playlist().full.buffers[0]))


def test_a_first_playlist_that_is_a_delta_update_is_found() -> None:
    assert any("first playlist" in fault for fault in PlaylistFollower().reload(DELTA))
