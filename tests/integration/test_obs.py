"""OBS Studio itself, from its settings dialog's values to the end of the playlist."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support import clients, obs, playback
from tests.support.obs import OutputMode
from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.server import LiveServer

pytestmark = [pytest.mark.integration, pytest.mark.obs]

STARTED, STOPPED = "OBS_WEBSOCKET_OUTPUT_STARTED", "OBS_WEBSOCKET_OUTPUT_STOPPED"
# Its defaults are 250 frames between keyframes, 8.3 s at 30 a second: two of them, and a bit of the third.
WATCH_S = {OutputMode.SIMPLE: 18.0, OutputMode.ADVANCED: 10.0}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clients.make_clip(tmp_path_factory.mktemp("obs") / "clip.mp4")


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", OutputMode)
async def test_obs_goes_live_plays_without_a_gap_and_its_stop_button_ends_the_playlist(
    live_server: LiveServer, clip: Path, mode: OutputMode
) -> None:
    settings = obs.Settings(live_server.rtmp_url, live_server.issue_key("alice"), mode)
    async with obs.running(settings, clip) as studio:
        await studio.start_stream()
        await studio.reached(STARTED, within_s=PATIENCE_S)
        await asyncio.to_thread(live_server.wait_until_playable, "alice")
        url = live_server.playlist_url("alice")
        followed, played = await asyncio.gather(
            asyncio.to_thread(playback.follow, url, WATCH_S[mode], 2 * WATCH_S[mode] + PATIENCE_S),
            asyncio.to_thread(playback.play, url, WATCH_S[mode]),
        )
        status = await studio.status()
        assert status["outputActive"]
        assert not status["outputReconnecting"]
        await studio.stop_stream()
    rest = await asyncio.to_thread(playback.follow, url, float("inf"), PATIENCE_S)

    assert sorted(track.kind for track in followed.tracks.values()) == ["soun", "vide"]
    for watched in (followed, rest):
        assert watched.gaps == []
        assert watched.faults == []
        assert watched.discontinuities == 0
        assert watched.track_distance_s <= 0.05
    assert played.steps_back == []
    assert played.pictures > (WATCH_S[mode] - 1) * settings.frames_per_second
    assert rest.ended
    assert settings.stream_key not in live_server.log_text()


@pytest.mark.asyncio
async def test_obs_says_that_a_wrong_key_is_invalid_and_stops_trying(live_server: LiveServer, clip: Path) -> None:
    wrong_key = live_server.issue_key("alice")[:-1] + "_"
    settings = obs.Settings(live_server.rtmp_url, wrong_key, reconnect_delay_s=1)
    async with obs.running(settings, clip) as studio:
        await studio.start_stream()
        await studio.reached(STOPPED, within_s=PATIENCE_S)
        # Three of its reconnect delays: were it to try again, it would have.
        await asyncio.sleep(3 * settings.reconnect_delay_s)
        status = await studio.status()
        log_text = studio.log_text

    assert STARTED not in [change.state for change in studio.states]
    assert not status["outputActive"]
    assert not status["outputReconnecting"]
    # The code behind its dialog "Could not access the specified channel or stream key, please double-check
    # your stream key": obs-defs.h, OBS_OUTPUT_INVALID_STREAM.
    assert f"failed: {obs.INVALID_STREAM}" in log_text
    refused = live_server.log_events("publish.refused")
    assert [record["code"] for record in refused] == ["NetStream.Publish.Denied"]


@pytest.mark.asyncio
async def test_obs_comes_back_by_itself_when_its_connection_is_cut(live_server: LiveServer, clip: Path) -> None:
    settings = obs.Settings(live_server.rtmp_url, live_server.issue_key("alice"), reconnect_delay_s=1)
    async with obs.running(settings, clip) as studio:
        await studio.start_stream()
        await studio.reached(STARTED, within_s=PATIENCE_S)
        await asyncio.to_thread(live_server.wait_until_playable, "alice")
        await asyncio.to_thread(live_server.admin, "POST", "/api/v1/streams/alice/kick", {})
        await studio.reached("OBS_WEBSOCKET_OUTPUT_RECONNECTED", within_s=PATIENCE_S)
        assert (await studio.status())["outputActive"]
