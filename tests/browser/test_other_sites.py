"""hls.js with its defaults on a page of another origin, as sites that are not ours have it.

Our own page knows more (``hls_engine.js``): it reads the multivariant playlist again where the playlists change.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import streamd
from streamd.formats.flv.tag import FlvTag, TagType
from tests.support.chromium import Viewer, viewer
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.patience import PATIENCE_S
from tests.support.tag_publisher import TagPublisher, publishing, repeated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.async_api import Browser

    from tests.support.server import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]

VENDOR = Path(streamd.__file__).parent / "doors" / "web" / "static" / "vendor"
HAS_BOTH = "(video => video.webkitAudioDecodedByteCount > 0 && video.videoWidth > 0)(document.querySelector('video'))"
MEDIA_S = 4
CHANGE_MS = 6_000
# The pictures are away for so long: more than the server waits for them (``IntakeLimits.video_gone_ms``).
AWAY_MS = 8_000

PAGE = """<!doctype html>
<video muted autoplay></video>
<script type="module">
import Hls from "./hls.min.mjs";
const query = new URLSearchParams(location.search);
window.said = [];
const hls = new Hls(query.has("whole") ? { lowLatencyMode: false } : {});
hls.on(Hls.Events.ERROR, (_, { fatal, details, error }) => {
  if (fatal) window.said.push(`${details}: ${error?.message}`);
});
hls.loadSource(query.get("source"));
hls.attachMedia(document.querySelector("video"));
</script>
"""


@pytest.fixture
def other_site(tmp_path: Path) -> Iterator[str]:
    """The address of a page on another origin than the server's."""
    folder = tmp_path / "site"
    folder.mkdir()
    shutil.copyfile(VENDOR / "hls.min.mjs", folder / "hls.min.mjs")
    (folder / "page.html").write_text(PAGE)
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as site:
        thread = threading.Thread(target=site.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{site.server_address[1]}/page.html"
        site.shutdown()
        thread.join(PATIENCE_S)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    extensions_map = {".html": "text/html", ".mjs": "text/javascript"}  # noqa: RUF012  # as the class declares it

    def log_message(self, *_: object) -> None:
        pass


def is_audio(tag: FlvTag) -> bool:
    return tag.tag_type == TagType.AUDIO


async def wait_until_at(watching: Viewer, media_s: float) -> None:
    """Wait until the page has played up to a moment of the broadcast, or hls.js has given up."""
    await watching.page.wait_for_function(
        "(end) => window.said.length > 0 || document.querySelector('video').currentTime > end",
        arg=media_s,
        timeout=1000 * (media_s + PATIENCE_S),
    )
    assert await watching.page.evaluate("window.said") == []


@pytest.mark.parametrize("latency", ["", "&whole"], ids=["parts", "segments"])
@pytest.mark.parametrize(
    ("name", "is_left_out"),
    [
        ("late-audio", lambda tag: is_audio(tag) and tag.timestamp_ms < CHANGE_MS),
        ("late-video", lambda tag: not is_audio(tag) and tag.timestamp_ms < CHANGE_MS),
        (
            "video-away",
            lambda tag: not is_audio(tag) and CHANGE_MS <= tag.timestamp_ms < CHANGE_MS + AWAY_MS,
        ),
    ],
)
async def test_a_track_that_is_late_or_away_for_a_while_ends_no_player(
    server: LiveServer,
    browser: Browser,
    other_site: str,
    name: str,
    is_left_out: Callable[[FlvTag], bool],
    latency: str,
) -> None:
    media = repeated(encoded((VideoTrack(),), (AudioTrack(),), MEDIA_S), 1000 * MEDIA_S)
    tags = (tag for tag in media if not is_left_out(tag))
    with contextlib.ExitStack() as stack:
        publisher = stack.enter_context(TagPublisher(server.rtmp_port, server.issue_key(name)))
        stack.enter_context(publishing(publisher, tags))
        server.wait_until_playable(name)
        async with viewer(browser) as watching:
            await watching.open(f"{other_site}?source={server.playlist_url(name)}{latency}")
            await wait_until_at(watching, 1)
            is_away = name == "video-away"
            changed_s = (CHANGE_MS + AWAY_MS * is_away) / 1000
            # Four segments behind the last change.
            await wait_until_at(watching, changed_s + 8)
            # Who comes now has picture and sound.
            await watching.open(f"{other_site}?source={server.playlist_url(name)}{latency}")
            await watching.page.wait_for_function(HAS_BOTH, timeout=1000 * PATIENCE_S)
            await watching.wait_until_moving(2)
            assert await watching.page.evaluate("window.said") == []
