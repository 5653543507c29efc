"""A server that is told to stop, and the one after it: encoders come back, and playlists go on or have ended."""

from __future__ import annotations

import http.client
import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.changing_broadcast import ChangingBroadcast
from tests.support.clients import PUBLISHERS, Picture, running
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.llhls_checker import PlaylistFollower
from tests.support.llhls_players import Player, next_position
from tests.support.patience import PATIENCE_S
from tests.support.playback import play
from tests.support.server import run_server, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

NAME = "demo"
PLAYLIST = f"/live/{NAME}/main.m3u8"
MEDIA_S = 2
H264 = encoded((VideoTrack(keyframe_interval=60),), (AudioTrack(),), MEDIA_S)
RELOADS = 6


def numbers(server: LiveServer, kind: str) -> list[int]:
    return [int(number) for number in re.findall(rf"{kind}(\d+)\.m4s", server.get(PLAYLIST)[2].decode())]


def has_discontinuity(server: LiveServer) -> Callable[[], bool]:
    """Whether there is something to play behind a discontinuity."""

    def look() -> bool:
        text = server.get(PLAYLIST)[2].decode()
        return text.rpartition("#EXT-X-DISCONTINUITY\n")[2].count("#EXTINF") > 1 and "DISCONTINUITY\n" in text

    return look


def test_ffmpeg_comes_back_and_the_playlist_goes_on(tmp_path: Path) -> None:
    with run_server(tmp_path) as first:
        key = first.issue_key(NAME)
        ffmpeg = PUBLISHERS["ffmpeg"]
        with running(ffmpeg(first.rtmp_url, key, 600, Picture())) as publisher:
            first.wait_until_playable(NAME)
            segments, parts = numbers(first, "seg"), numbers(first, "part")
            first.process.send_signal(signal.SIGTERM)
            first.wait_for_log("stream.reconnecting")
            # Until viewers have had the last seconds of it.
            assert b"#EXT-X-ENDLIST" not in first.get(PLAYLIST)[2]
            publisher.finish(PATIENCE_S)
            assert "restarts" in first.wait_for_log("connection.closed")["reason"]
            assert first.process.wait(PATIENCE_S) == 0
        assert not first.log_events("stream.ended")
        with (
            run_server(tmp_path, **first.listening()) as second,
            running(ffmpeg(second.rtmp_url, key, 600, Picture())),
        ):
            assert second.wait_for_log("stream.restored")["stream"] == NAME
            assert second.wait_for_log("stream.resumed")["stream"] == NAME
            wait_until(has_discontinuity(second), PATIENCE_S, "the playlist behind a discontinuity")
            assert min(numbers(second, "seg")) > max(segments)
            assert min(numbers(second, "part")) > max(parts)
            played = play(second.playlist_url(NAME), 3.0)
            assert played.pictures > 60
            assert played.steps_back == []


def test_a_player_plays_through(tmp_path: Path) -> None:
    follower = PlaylistFollower()
    violations: list[str] = []

    def reload_parts(player: Player, times: int) -> None:
        reload = player.reload("", "")
        violations.extend(reload.violations)
        for _ in range(times):
            msn, part = next_position(reload.parsed)
            reload = player.reload(f"_HLS_msn={msn}&_HLS_part={part}", "")
            violations.extend(reload.violations)
            assert not reload.parsed.is_ended

    with run_server(tmp_path) as first:
        key = first.issue_key(NAME)
        with ChangingBroadcast(first.rtmp_port, key, H264, 1000 * MEDIA_S) as broadcast:
            first.wait_until_playable(NAME)
            with Player(first, NAME, follower) as player:
                reload_parts(player, RELOADS)
                first.process.send_signal(signal.SIGTERM)
                # It is served what there is until the door closes, and never refused or told of an end.
                with pytest.raises((OSError, http.client.HTTPException)):
                    reload_parts(player, 1000)
            assert violations == []
            assert first.process.wait(PATIENCE_S) == 0
            with run_server(tmp_path, **first.listening()) as second:
                broadcast.drop()
                broadcast.come_back(H264)
                with Player(second, NAME, follower) as player:
                    reload_parts(player, 3 * RELOADS)
                    # Its media has gone with the first: the playlist is short until there is as much again.
                    assert all(violation.startswith("6.2.2: a live playlist of ") for violation in violations)


@pytest.mark.parametrize("times", [1, 2])
def test_broadcasts_end_where_the_operator_says_so(tmp_path: Path, times: int) -> None:
    """By ``--final``, or by a second signal."""
    with run_server(tmp_path, (), ["--final"] if times == 1 else []) as server:
        key = server.issue_key(NAME)
        with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
            server.wait_until_playable(NAME)
            # Somebody watches, whom the server waits for.
            assert server.get(PLAYLIST)[0] == 200
            for _ in range(times):
                server.process.send_signal(signal.SIGTERM)
                server.wait_for_log("stream.reconnecting" if times == 2 else "stream.ended")
            assert server.wait_for_log("stream.ended")["reason"] == "server_stopped"
            assert b"#EXT-X-ENDLIST" in server.get(PLAYLIST)[2]
            assert server.stop() == 0
    with run_server(tmp_path) as following:
        assert not following.log_events("stream.restored")
        assert following.get(PLAYLIST)[0] == 404


def test_nobody_who_watches_is_nobody_to_wait_for(tmp_path: Path) -> None:
    """A target duration of 10 s is what viewers would be given."""
    with run_server(tmp_path, hls__segment_target_ms=10_000) as first:
        key = first.issue_key(NAME)
        with ChangingBroadcast(first.rtmp_port, key, H264, 1000 * MEDIA_S):
            first.wait_for_log("stream.playable")
            first.process.send_signal(signal.SIGTERM)
            assert first.process.wait(8) == 0
        assert first.wait_for_log("stream.reconnecting")["stream"] == NAME
    with run_server(tmp_path) as second:
        assert second.wait_for_log("stream.restored")["stream"] == NAME
