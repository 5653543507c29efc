"""What Chromium decodes of the codecs and tracks of Enhanced RTMP, on the watch page of a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from streamd.formats.codecs.picture_format import SampleAspect
from streamd.formats.flv.tag import FlvTag, TagType
from tests.support.captions import with_lines
from tests.support.chromium import Playback, viewer
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.tag_publisher import TagPublisher, publishing, repeated

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.support.server import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]

MEDIA_S = 4
WATCH_S = 8
LATE_MS = 8_000
H264, AAC = VideoTrack(), AudioTrack()

Tracks = tuple[tuple[VideoTrack, ...], tuple[AudioTrack, ...]]

PLAYABLE: list[tuple[str, Tracks]] = [
    ("av1-opus", ((VideoTrack("libsvtav1"),), (AudioTrack("libopus"),))),
    ("vp9-opus", ((VideoTrack("libvpx-vp9"),), (AudioTrack("libopus"),))),
    ("h264-flac", ((H264,), (AudioTrack("flac"),))),
    ("opus-alone", ((), (AudioTrack("libopus"),))),
    ("ladder", ((H264, VideoTrack("libx264", 160, 96)), (AAC,))),
    ("languages", ((H264,), (AAC, AudioTrack("aac", 880)))),
    # Sound that Chromium does not decode: the picture plays.
    ("h264-ac3", ((H264,), (AudioTrack("ac3"),))),
    ("h264-mp3", ((H264,), (AudioTrack("libmp3lame"),))),
]
SILENT = {"h264-ac3", "h264-mp3"}


async def watch(
    server: LiveServer,
    browser: Browser,
    name: str,
    tags: Iterable[FlvTag],
    seconds: float,
    is_good: Callable[[Playback], bool],
) -> None:
    with TagPublisher(server.rtmp_port, server.issue_key(name)) as publisher, publishing(publisher, tags):
        server.wait_until_playable(name)
        async with viewer(browser) as watching:
            await watching.open(f"{server.http_url}/watch/{name}")
            await watching.wait_for_state("playing")
            await watching.wait_until_moving(1)
            await watching.watch_until(is_good, seconds)
            assert await watching.data("engine") == "hls"
            assert watching.errors == []


@pytest.mark.parametrize(("name", "tracks"), PLAYABLE, ids=[case[0] for case in PLAYABLE])
async def test_plays(server: LiveServer, browser: Browser, name: str, tracks: Tracks) -> None:
    tags = repeated(encoded(*tracks, MEDIA_S), 1000 * MEDIA_S)

    def is_good(got: Playback) -> bool:
        is_seen = (got.frames > 20 * WATCH_S) is bool(tracks[0])
        return is_seen and (got.audio_bytes > 0) is (name not in SILENT) and got.played_s > WATCH_S - 1

    await watch(server, browser, name, tags, WATCH_S, is_good)


async def test_captions_in_the_pictures_are_offered_and_shown(server: LiveServer, browser: Browser) -> None:
    tags = with_lines(repeated(encoded((H264,), (AAC,), MEDIA_S), 1000 * MEDIA_S))
    with (
        TagPublisher(server.rtmp_port, server.issue_key("captions")) as publisher,
        publishing(publisher, tags),
    ):
        server.wait_until_playable("captions")
        async with viewer(browser) as watching:
            await watching.open(f"{server.http_url}/watch/captions")
            await watching.wait_for_state("playing")
            button = watching.page.get_by_role("button", name="Captions")
            await button.click(timeout=20_000)
            await expect(button).to_have_attribute("aria-pressed", "true")
            shown = "[...document.querySelector('video').textTracks].some(({ mode, activeCues }) => " + (
                "mode === 'showing' && [...activeCues].some(({ text }) => text === 'HELLO AGAIN'))"
            )
            await watching.page.wait_for_function(shown, timeout=20_000)
            assert watching.errors == []


@pytest.mark.parametrize(
    ("name", "aspect", "shown"),
    [
        ("anamorphic", SampleAspect(4, 3), [427, 192]),
        # HTML 4.8.9: one side is made longer, and none shorter.
        ("narrow", SampleAspect(8, 9), [320, 216]),
    ],
)
async def test_picture_has_its_shape(
    server: LiveServer, browser: Browser, name: str, aspect: SampleAspect, shown: list[int]
) -> None:
    tags = repeated(encoded((VideoTrack(aspect=aspect),), (AAC,), MEDIA_S), 1000 * MEDIA_S)
    with TagPublisher(server.rtmp_port, server.issue_key(name)) as publisher, publishing(publisher, tags):
        server.wait_until_playable(name)
        async with viewer(browser) as watching:
            await watching.open(f"{server.http_url}/watch/{name}")
            await watching.wait_for_state("playing")
            await watching.wait_until_moving(1)
            size = "(video => [video.videoWidth, video.videoHeight])(document.querySelector('video'))"
            assert await watching.page.evaluate(size) == shown
            assert await watching.page.evaluate(SIZE_OF_FILE, f"/live/{name}.mp4") == shown


# What a video element makes of a file that the browser reads itself.
SIZE_OF_FILE = """async (url) => {
  const video = document.createElement("video");
  video.muted = true;
  video.src = url;
  await new Promise((resolve, reject) => { video.onloadedmetadata = resolve; video.onerror = reject; });
  const size = [video.videoWidth, video.videoHeight];
  video.removeAttribute("src");
  video.load();
  return size;
}"""


def is_audio(tag: FlvTag) -> bool:
    return tag.tag_type == TagType.AUDIO


@pytest.mark.parametrize(
    ("name", "is_left_out"),
    [
        ("late-audio", lambda tag: is_audio(tag) and tag.timestamp_ms < LATE_MS),
        ("late-video", lambda tag: not is_audio(tag) and tag.timestamp_ms < LATE_MS),
    ],
)
async def test_track_that_is_late_is_seen_and_heard_without_a_reload(
    server: LiveServer, browser: Browser, name: str, is_left_out: Callable[[FlvTag], bool]
) -> None:
    # Sequence headers come with every turn of the media, as with encoders that repeat them.
    tags = (tag for tag in repeated(encoded((H264,), (AAC,), MEDIA_S), 1000 * MEDIA_S) if not is_left_out(tag))
    await watch(
        server, browser, name, tags, 16, lambda got: got.played_s > 14 and got.audio_bytes > 0 and got.frames > 0
    )


async def test_audio_that_stops_does_not_stop_the_picture(server: LiveServer, browser: Browser) -> None:
    media = repeated(encoded((H264,), (AAC,), MEDIA_S), 1000 * MEDIA_S)
    tags = (tag for tag in media if not (is_audio(tag) and tag.timestamp_ms >= LATE_MS))
    # Silence takes the place of the sound before a player has played all that it has.
    await watch(server, browser, "audio-stops", tags, 16, lambda got: got.played_s > 13 and got.stood_still_s < 2)
