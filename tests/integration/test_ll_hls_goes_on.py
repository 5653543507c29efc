"""Every rule of live playlists at each reload, while a broadcast leaps, changes, drops, and comes back."""

from __future__ import annotations

import http.client
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.support.changing_broadcast import ChangingBroadcast
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.llhls_checker import PlaylistFollower
from tests.support.llhls_players import Player, follow, next_position
from tests.support.patience import PATIENCE_S
from tests.support.server import run_server, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

MEDIA_S = 2
HOUR_MS = 3_600_000
H264 = encoded((VideoTrack(keyframe_interval=60),), (AudioTrack(),), MEDIA_S)
OTHER_H264 = encoded((VideoTrack("libx264", 160, 96),), (AudioTrack(),), MEDIA_S)
PICTURES_ALONE = encoded((VideoTrack(),), (), MEDIA_S)

FOLLOW_S_MAX = 2 * PATIENCE_S
# A segment and more.
RELOADS = 6
NAME = "demo"


def wait_for_discontinuity(server: LiveServer, before: int) -> None:
    """Wait until there are more of them than before, and something to play behind the last one."""

    def count() -> bool:
        text = server.get(f"/live/{NAME}/main.m3u8")[2].decode()
        found = text.count("#EXT-X-DISCONTINUITY\n") + int(text.partition("DISCONTINUITY-SEQUENCE:")[2].split("\n")[0])
        return found > before and text.rpartition("#EXT-X-DISCONTINUITY\n")[2].count("#EXT-X-PART:") > 2

    wait_until(count, PATIENCE_S, f"discontinuity {before + 1}")


def test_a_broadcast_that_leaps_changes_drops_and_comes_back(tmp_path: Path) -> None:
    with run_server(tmp_path) as server:
        key = server.issue_key(NAME)
        with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S) as broadcast:
            server.wait_until_playable(NAME)
            finish = follow(server, NAME, FOLLOW_S_MAX)
            broadcast.change(leap_ms=HOUR_MS)
            wait_for_discontinuity(server, 0)
            broadcast.change(leap_ms=-HOUR_MS)
            wait_for_discontinuity(server, 1)
            broadcast.change(OTHER_H264)
            wait_for_discontinuity(server, 2)
            broadcast.change(PICTURES_ALONE)
            wait_for_discontinuity(server, 3)
            broadcast.drop()
            server.wait_for_log("stream.reconnecting")
            broadcast.come_back(H264)
            wait_for_discontinuity(server, 4)
            server.admin("POST", f"/api/v1/streams/{NAME}/kick")
            followed = finish()
    broken = {(reload.query, violation) for reload in followed.reloads for violation in reload.violations}
    assert broken == set()
    for reloads in (followed.by_parts, followed.by_segments):
        assert reloads[-1].parsed.is_ended
        assert len(reloads) > 5
    for before, reload in pairwise(followed.by_parts):
        assert reload.parsed.is_ended or next_position(reload.parsed) > next_position(before.parsed), reload.query
    statuses = [hinted.status for hinted in followed.hinted[:-1]]
    assert statuses == [200] * len(statuses)


def test_a_server_that_is_killed_and_starts_again(tmp_path: Path) -> None:
    follower = PlaylistFollower()
    violations: list[str] = []

    def reload_parts(player: Player, times: int) -> None:
        reload = player.reload("", "")
        violations.extend(reload.violations)
        for _ in range(times):
            msn, part = next_position(reload.parsed)
            reload = player.reload(f"_HLS_msn={msn}&_HLS_part={part}", "")
            violations.extend(reload.violations)

    with run_server(tmp_path) as first:
        key = first.issue_key(NAME)
        with ChangingBroadcast(first.rtmp_port, key, H264, 1000 * MEDIA_S) as broadcast:
            first.wait_until_playable(NAME)
            with Player(first, NAME, follower) as player:
                reload_parts(player, RELOADS)
                assert violations == []
                first.kill()
                with pytest.raises((OSError, http.client.HTTPException)):
                    player.reload("", "")
            with run_server(tmp_path, **first.listening()) as second:
                broadcast.drop()
                broadcast.come_back(OTHER_H264)
                with Player(second, NAME, follower) as player:
                    reload_parts(player, 3 * RELOADS)
                    # Its media has gone with the first: the playlist is short until there is as much again.
                    assert all(violation.startswith("6.2.2: a live playlist of ") for violation in violations)
                    violations.clear()
                    reload_parts(player, RELOADS)
                    assert violations == []
