"""What Chromium makes of broadcasts that leap, change, drop and come back: the watch page plays on by itself."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from streamd.formats.flv.tag import TagType
from tests.support.changing_broadcast import ChangingBroadcast
from tests.support.chromium import Viewer, viewer
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.flv_media import aac_only
from tests.support.patience import PATIENCE_S
from tests.support.server import run_server, wait_until
from tests.support.tag_publisher import TagPublisher, publishing, repeated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator
    from pathlib import Path

    from playwright.async_api import Browser

    from streamd.formats.flv.tag import FlvTag
    from tests.support.server import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]

MEDIA_S = 2
HOUR_MS = 3_600_000
AAC = AudioTrack()
# A picture of a width of its own each, so that the page can tell what it shows.
H264_320 = ((VideoTrack(),), (AAC,))
H264_160 = ((VideoTrack("libx264", 160, 96),), (AAC,))
VP9_256 = ((VideoTrack("libvpx-vp9", 256, 144),), (AAC,))
AV1_208 = ((VideoTrack("libsvtav1", 208, 128),), (AAC,))
H264_240 = ((VideoTrack("libx264", 240, 144),), ())


def media(tracks: tuple[tuple[VideoTrack, ...], tuple[AudioTrack, ...]]) -> tuple[FlvTag, ...]:
    return encoded(*tracks, MEDIA_S)


def with_sound_at_44100(video: tuple[FlvTag, ...]) -> list[FlvTag]:
    """The same pictures with sound at another sample rate."""
    return sorted([*video, *aac_only(MEDIA_S, 44_100)], key=lambda tag: tag.timestamp_ms)


@asynccontextmanager
async def watching_in_mode(browser: Browser, url: str, mode: str) -> AsyncIterator[Viewer]:
    """A viewer who has chosen a mode before, and whose page is never reloaded."""
    async with viewer(browser) as watching:
        await watching.page.add_init_script(f"localStorage.setItem('streamd.mode', '{mode}')")
        await watching.open(url)
        await watching.wait_for_state("playing")
        assert await watching.data("mode") == mode
        # Where the pushed stream ends too often the page gives it up for LL-HLS: the viewer sees the picture go on.
        yield watching
        assert len([request for request in watching.requests if "/watch/" in request]) == 1
        assert watching.errors == []


async def wait_until_shown(watching: Viewer, width: int) -> None:
    """Wait until a picture of this width is shown, and moves."""
    await watching.page.wait_for_function("width => document.querySelector('video').videoWidth === width", arg=width)
    await watching.wait_until_moving(2)


def discontinuities(server: LiveServer, channel: str) -> int:
    return server.get(f"/live/{channel}/main.m3u8")[2].count(b"#EXT-X-DISCONTINUITY\n")


@pytest.mark.parametrize("mode", ["low", "lowest"])
async def test_leaps_changes_and_returns_are_played_across(
    server: LiveServer, channel: str, browser: Browser, mode: str
) -> None:
    key = server.issue_key(channel)
    with ChangingBroadcast(server.rtmp_port, key, media(H264_320), 1000 * MEDIA_S) as broadcast:
        server.wait_until_playable(channel)
        async with watching_in_mode(browser, f"{server.http_url}/watch/{channel}", mode) as watching:
            await wait_until_shown(watching, 320)
            for leap_ms in (HOUR_MS, -HOUR_MS):
                broadcast.change(leap_ms=leap_ms)
                await watching.wait_until_moving(5)
            assert discontinuities(server, channel) >= 1
            broadcast.change(media(H264_160))
            await wait_until_shown(watching, 160)
            broadcast.change(media(VP9_256))
            await wait_until_shown(watching, 256)
            broadcast.change(media(AV1_208))
            await wait_until_shown(watching, 208)
            broadcast.change(with_sound_at_44100(media(H264_240)))
            await wait_until_shown(watching, 240)
            broadcast.drop()
            broadcast.come_back()
            await watching.wait_until_moving(5)
            # At the return everything may be another.
            broadcast.drop()
            broadcast.come_back(media(VP9_256))
            await wait_until_shown(watching, 256)


def with_holes(tags: Iterable[FlvTag], tag_type: TagType) -> Iterator[FlvTag]:
    """Without 150 ms of one kind in every turn of the media, as where an encoder drops frames."""
    for tag in tags:
        if tag.tag_type != tag_type or not 500 <= tag.timestamp_ms % (1000 * MEDIA_S) < 650:
            yield tag


@pytest.mark.parametrize("kind", [TagType.VIDEO, TagType.AUDIO])
@pytest.mark.parametrize("mode", ["low", "lowest"])
async def test_frames_that_the_encoder_drops_cost_no_others(
    server: LiveServer, channel: str, browser: Browser, mode: str, kind: TagType
) -> None:
    tags = with_holes(repeated(media(H264_320), 1000 * MEDIA_S), kind)
    with TagPublisher(server.rtmp_port, server.issue_key(channel)) as publisher, publishing(publisher, tags):
        server.wait_until_playable(channel)
        async with watching_in_mode(browser, f"{server.http_url}/watch/{channel}", mode) as watching:
            await watching.wait_until_moving(4)
            # Without a hole, and so without one that reaches up to the next keyframe.
            assert await watching.page.evaluate("document.querySelector('video').buffered.length") == 1


@pytest.mark.parametrize("end", ["killed", "stopped"])
@pytest.mark.parametrize("mode", ["low", "lowest"])
async def test_a_server_that_ends_and_starts_again_is_waited_for(
    tmp_path: Path, browser: Browser, mode: str, end: str
) -> None:
    with run_server(tmp_path) as first:
        key = first.issue_key("demo")
        with ChangingBroadcast(first.rtmp_port, key, media(H264_320), 1000 * MEDIA_S) as broadcast:
            first.wait_until_playable("demo")
            async with watching_in_mode(browser, f"{first.http_url}/watch/demo", mode) as watching:
                await wait_until_shown(watching, 320)
                # What outlives it is written within a second.
                await watching.wait_until_moving(2)
                if end == "killed":
                    first.kill()
                else:
                    assert await asyncio.to_thread(first.stop) == 0
                with run_server(tmp_path, **first.listening()) as second:
                    await watching.page.wait_for_timeout(2_000)
                    broadcast.drop()
                    broadcast.come_back(media(H264_160))
                    await wait_until_shown(watching, 160)
                    if mode == "low":
                        assert discontinuities(second, "demo") == 1


@pytest.mark.parametrize(("pace", "code"), [(0.8, "starved"), (1.5, "faster_than_real_time")])
async def test_a_publisher_whose_clock_is_not_ours_is_played_and_told(
    server: LiveServer, channel: str, browser: Browser, pace: float, code: str
) -> None:
    tags = repeated(media(H264_320), 1000 * MEDIA_S)
    with (
        TagPublisher(server.rtmp_port, server.issue_key(channel)) as publisher,
        publishing(publisher, tags, pace),
    ):
        server.wait_until_playable(channel)
        async with viewer(browser) as watching:
            await watching.open(f"{server.http_url}/watch/{channel}")
            await watching.wait_for_state("playing")

            def is_told() -> bool:
                findings = server.admin("GET", f"/api/v1/streams/{channel}")["health"]["findings"]
                return code in {finding["code"] for finding in findings}

            await asyncio.to_thread(wait_until, is_told, PATIENCE_S, f"{code} in health")
            await watching.wait_until_moving(5)
            assert watching.errors == []
