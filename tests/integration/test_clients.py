"""Real encoders publish to a real server, and what comes out is read as players read it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.support import clients, playback
from tests.support.clients import Picture
from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from tests.support.playback import Followed, Played
    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

# Long enough for six segments; `PUBLISH_SECONDS=120 pytest tests/integration/test_clients.py` is the two minutes
# over which players were promised that nothing drifts.
PUBLISH_SECONDS = float(os.environ.get("PUBLISH_SECONDS", "12"))
TRACK_DISTANCE_S_MAX = 0.05


def watch(server: LiveServer, name: str) -> tuple[Followed, Played]:
    """Follow and play a live channel at once, both until it ends."""
    server.wait_until_playable(name)
    url = server.playlist_url(name)
    forever = float("inf")
    with ThreadPoolExecutor() as pool:
        followed = pool.submit(playback.follow, url, forever, PUBLISH_SECONDS + PATIENCE_S)
        played = pool.submit(playback.play, url, forever)
        return followed.result(), played.result()


@pytest.mark.parametrize("name", clients.PUBLISHERS)
def test_a_client_goes_live_plays_without_a_gap_and_ends(live_server: LiveServer, name: str) -> None:
    stream_key = live_server.issue_key("alice")
    command = clients.PUBLISHERS[name](live_server.rtmp_url, stream_key, PUBLISH_SECONDS, Picture())
    with clients.running(command) as client:
        followed, played = watch(live_server, "alice")
        assert client.finish(PATIENCE_S) == 0, client.output

    assert sorted(track.kind for track in followed.tracks.values()) == ["soun", "vide"]
    assert followed.gaps == []
    assert followed.faults == []
    assert followed.discontinuities == 0
    assert followed.parts > 0
    assert followed.track_distance_s <= TRACK_DISTANCE_S_MAX
    for track in followed.tracks.values():
        assert track.duration_s == pytest.approx(PUBLISH_SECONDS, abs=0.25)
    assert played.steps_back == []
    # libavformat starts three segments from the live edge, which is near the beginning here.
    assert played.pictures > (PUBLISH_SECONDS - 3) * Picture.frames_per_second
    assert played.sounds > (PUBLISH_SECONDS - 3) * Picture.sample_rate / 1024
    assert stream_key not in live_server.log_text()


def test_a_beep_is_heard_with_its_flash(live_server: LiveServer) -> None:
    command = clients.ffmpeg(
        live_server.rtmp_url, live_server.issue_key("alice"), PUBLISH_SECONDS, Picture(marks_seconds=True)
    )
    with clients.running(command):
        _, played = watch(live_server, "alice")

    assert len(played.sound_delays_s) >= PUBLISH_SECONDS - 4
    assert max(map(abs, played.sound_delays_s)) <= TRACK_DISTANCE_S_MAX


REFUSALS = {
    "ffmpeg": "Server error: The stream key is not valid",
    "pyav": "ended by the server",
    "rtmp2sink": "Denied",
    "librtmp": "Could not connect to RTMP stream",
}


@pytest.mark.parametrize("name", clients.PUBLISHERS)
def test_a_wrong_key_is_refused_in_the_clients_own_words(live_server: LiveServer, name: str) -> None:
    stream_key = live_server.issue_key("alice")
    wrong_key = stream_key[:-1] + ("a" if stream_key[-1] != "a" else "b")
    command = clients.PUBLISHERS[name](live_server.rtmp_url, wrong_key, PUBLISH_SECONDS, Picture())
    with clients.running(command) as client:
        exit_code = client.finish(PATIENCE_S)

    assert exit_code > 0
    assert REFUSALS[name] in client.output
    assert live_server.wait_for_log("publish.refused")["code"] == "NetStream.Publish.Denied"
    assert wrong_key not in live_server.log_text()
    assert live_server.get("/live/alice/index.m3u8")[0] == 404


@pytest.mark.parametrize("name", clients.PUBLISHERS)
def test_a_second_publisher_is_refused_and_the_first_plays_on(live_server: LiveServer, name: str) -> None:
    stream_key = live_server.issue_key("alice")
    first = clients.pyav(live_server.rtmp_url, stream_key, PUBLISH_SECONDS, Picture())
    second = clients.PUBLISHERS[name](live_server.rtmp_url, stream_key, PUBLISH_SECONDS, Picture())
    with clients.running(first) as first_client:
        live_server.wait_until_playable("alice")
        with clients.running(second) as second_client:
            assert second_client.finish(PATIENCE_S) > 0
        followed = playback.follow(live_server.playlist_url("alice"), PUBLISH_SECONDS / 2, PATIENCE_S)
        assert first_client.is_running

    assert live_server.wait_for_log("publish.refused")["code"] == "NetStream.Publish.BadName"
    assert followed.gaps == []
    assert followed.discontinuities == 0
