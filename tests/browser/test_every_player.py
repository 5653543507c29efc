"""Every player plays what is locked from the one address that its viewer was given, without a line of code for it.

A signed live channel, a signed recording and a channel with a password, in the players of pages on other sites, in our
own pages, in programs, and in the frame of a site that may set no cookie.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import itertools
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import pytest
from playwright.async_api import TimeoutError as PlaywrightTimeoutError

import streamd
from tests.support.chromium import WATCHES_MAX, chromium, viewer
from tests.support.firefox import firefox
from tests.support.locked_media import LIVE, PASSWORD, WORD, locked_media
from tests.support.patience import PATIENCE_S
from tests.support.tools import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.async_api import Browser

    from tests.support.locked_media import Locked

pytestmark = [pytest.mark.browser, pytest.mark.integration]

VENDOR = Path(streamd.__file__).parent / "doors" / "web" / "static" / "vendor"
SCRIPTS = {
    "shaka": "shaka-player/dist/shaka-player.compiled.js",
    "videojs": "video.js/dist/video.min.js",
    "mpegts": "mpegts.js/dist/mpegts.js",
}
# Two seconds and a little of small pictures, in each of the players of a page.
SHOWN = (
    "[...document.querySelectorAll('video')].every((video) => video.getVideoPlaybackQuality().totalVideoFrames > 50)"
)
SAID = """({ said: window.said, videos: [...document.querySelectorAll('video')].map((video) => [
  video.currentTime, video.readyState, video.error?.message, video.getVideoPlaybackQuality().totalVideoFrames]) })"""

PAGE = """<!doctype html>
<script>window.said = [];</script>
{scripts}
<script type="module">
import Hls from "./hls.min.mjs";
const players = {
  hls(video, url) {
    const hls = new Hls();
    hls.on(Hls.Events.ERROR, (_, { fatal, details }) => { if (fatal) said.push(details); });
    hls.loadSource(url);
    hls.attachMedia(video);
  },
  native(video, url) {
    // Of another site Chromium's own HLS reads no byte range, of whichever server, unless the page asks with CORS.
    if (url.includes("/vod/") && url.includes(".m3u8")) video.crossOrigin = "anonymous";
    video.addEventListener("error", () => said.push(video.error.message));
    video.src = url;
  },
  async shaka(video, url) {
    const player = new shaka.Player();
    await player.attach(video);
    player.addEventListener("error", ({ detail }) => said.push(`shaka ${detail.code}`));
    await player.load(url);
  },
  videojs(video, url) {
    const player = videojs(video, { html5: { vhs: { overrideNative: true } } });
    player.on("error", () => said.push(`videojs ${player.error()?.message}`));
    player.src({ src: url, type: "application/vnd.apple.mpegurl" });
    player.play();
  },
  mpegts(video, url) {
    const player = mpegts.createPlayer({ type: "flv", isLive: true, url });
    player.on(mpegts.Events.ERROR, (type, detail) => said.push(`${type} ${detail}`));
    player.attachMediaElement(video);
    player.load();
  },
};
window.start = (name, urls) => {
  for (const url of urls) {
    const video = document.createElement("video");
    video.muted = video.autoplay = true;
    document.body.append(video);
    Promise.resolve(players[name](video, url)).catch((error) => said.push(String(error?.code ?? error)));
  }
};
</script>
<body></body>
"""


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    with locked_media(tmp_path_factory.mktemp("locked")) as found:
        yield found


@pytest.fixture(scope="module")
def other_site(tmp_path_factory: pytest.TempPathFactory, node_modules: Path) -> Iterator[str]:
    """The address of a site that has all players; of another host than the server's."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copyfile(VENDOR / "hls.min.mjs", folder / "hls.min.mjs")
    for name, path in SCRIPTS.items():
        shutil.copyfile(node_modules / path, folder / f"{name}.js")
    tags = "".join(f'<script src="{name}.js"></script>\n' for name in SCRIPTS)
    (folder / "players.html").write_text(PAGE.replace("{scripts}", tags))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder))) as site:
        thread = threading.Thread(target=site.serve_forever, daemon=True)
        thread.start()
        yield f"http://localhost:{site.server_address[1]}"
        site.shutdown()
        thread.join(PATIENCE_S)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    extensions_map = {".html": "text/html", ".mjs": "text/javascript", ".js": "text/javascript"}  # noqa: RUF012  # as the class declares it

    def log_message(self, *_: object) -> None:
        pass


def sources(locked: Locked, player: str) -> list[str]:
    """What a player is given."""
    playlists = locked.playlists()
    if player == "mpegts":
        # A recording is not pushed.
        return [playlists[kind].replace("/index.m3u8", ".flv") for kind in ("signed", "password")]
    if player == "mp4":
        return [url.replace("/index.m3u8", ".mp4") for url in playlists.values()]
    return [*playlists.values()]


@pytest.mark.asyncio
async def test_players_in_pages_of_other_sites(locked: Locked, browser: Browser, other_site: str) -> None:
    for player in ("hls", "mp4", "shaka", "videojs", "mpegts", "native"):
        # Chromium's own HLS gives up where a playlist has one segment yet ("Segment queue never had any data"), and
        # where a busy machine has it read a file that has left the window.
        tries = WATCHES_MAX if player == "native" else 1
        while not await plays(locked, browser, other_site, player, may_fail=tries > 1):
            tries -= 1


async def plays(locked: Locked, browser: Browser, other_site: str, player: str, *, may_fail: bool) -> bool:
    """Whether a player shows all that it is given."""
    async with viewer(browser) as watching:
        await watching.open(f"{other_site}/players.html")
        await watching.page.wait_for_function("() => window.start !== undefined")
        await watching.page.evaluate(
            "([name, urls]) => start(name, urls)",
            ["native" if player == "mp4" else player, sources(locked, player)],
        )
        with contextlib.suppress(PlaywrightTimeoutError):
            await watching.page.wait_for_function(
                f"() => said.length > 0 || {SHOWN}", timeout=1000 * PATIENCE_S, polling=100
            )
        said = await watching.page.evaluate(SAID)
        if may_fail and not await watching.page.evaluate(SHOWN):
            return False
        assert await watching.page.evaluate(SHOWN), (player, said, watching.errors)
        assert said["said"] == [], (player, said)
        assert all(at > 0 for at, *_ in said["videos"]), (player, said)
    return True


@pytest.mark.asyncio
async def test_our_own_pages(locked: Locked, browser: Browser) -> None:
    links, base = locked.links(), locked.server.http_url
    for player in ("hls", "native"):
        for kind in ("signed", "recording"):
            async with viewer(browser) as watching:
                await watching.open(f"{base}{links[kind]['watch']}&player={player}")
                await watching.wait_for_state("playing")
                # A recording waits for its viewer.
                await watching.page.evaluate("document.querySelector('video').play()")
                await watching.wait_until_moving(1.5)
                source = await watching.page.evaluate("document.querySelector('video').currentSrc")
                assert source.startswith("blob:") == (player == "hls"), source
                assert watching.errors == []
    async with viewer(browser) as watching:
        await watching.open(f"{base}/watch/{WORD}")
        await watching.page.get_by_label("Password").fill(PASSWORD)
        await watching.page.get_by_role("button", name="Watch").click()
        await watching.wait_for_state("playing")
        await watching.wait_until_moving(1)


@pytest.mark.asyncio
async def test_a_frame_in_a_site_that_may_set_no_cookie(locked: Locked, tmp_path: Path) -> None:
    base = locked.server.http_url
    token, of_another_site = (
        locked.server.admin("POST", "/api/v1/playback-tokens", {"channel": LIVE, "ref": [site]})["token"]
        for site in ("localhost", "example.org")
    )
    (tmp_path / "blog.html").write_text(
        f'<!doctype html><iframe src="{base}/embed/demo?autoplay=1&token={token}" allow="autoplay"></iframe>'
        f'<iframe src="{base}/embed/{WORD}?autoplay=1" allow="autoplay"></iframe>'
        f'<iframe src="{base}/embed/demo?autoplay=1&token={of_another_site}" allow="autoplay"></iframe>'
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(tmp_path))) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        # No site in a frame has a cookie.
        async with chromium(["--test-third-party-cookie-phaseout"]) as browser, viewer(browser) as watching:
            await watching.open(f"http://localhost:{site.server_port}/blog.html")
            page = watching.page
            word = page.frame_locator("iframe >> nth=1")
            await word.get_by_label("Password").fill(PASSWORD)
            await word.get_by_role("button", name="Watch").click()
            for place in range(2):
                handle = await page.locator("iframe").nth(place).element_handle()
                frame = await handle.content_frame()
                assert frame is not None
                await frame.wait_for_function("() => document.querySelector('video')?.currentTime > 1")
                await frame.wait_for_function(
                    "(from) => document.querySelector('video').currentTime > from + 1",
                    arg=await frame.evaluate("document.querySelector('video').currentTime"),
                )
            await page.frame_locator("iframe >> nth=2").get_by_text("This cannot be watched on this site.").wait_for()
            assert await page.context.cookies() == []
            asked = [request for request in watching.requests if "/live/" in request]
            assert asked
            assert all("/~" in request and "token=" not in request for request in asked)
        site.shutdown()


@pytest.mark.asyncio
async def test_firefox(locked: Locked, other_site: str) -> None:
    links, base = locked.links(), locked.server.http_url
    moving = "(document.querySelector('video')?.currentTime ?? 0) > {}"
    about = "({ ...document.body.dataset, text: document.body.innerText.slice(0, 300) })"
    async with firefox() as page:
        for kind in ("signed", "recording"):
            await page.open(base + links[kind]["watch"])
            await page.wait_for("document.querySelector('video')?.readyState > 2", about)
            begin = await page.evaluate("document.querySelector('video').currentTime")
            await page.evaluate("document.querySelector('video').play().catch(() => null)")
            await page.wait_for(moving.format(begin + 1.5), about)
        await page.open(f"{base}/watch/{WORD}")
        await page.evaluate(
            f"document.querySelector('input[type=password]').value = {PASSWORD!r},"
            " document.querySelector('form').requestSubmit()"
        )
        await page.wait_for("document.body?.dataset.state === 'playing'", about)
        for player in ("hls", "shaka"):
            await page.open(f"{other_site}/players.html")
            await page.wait_for("window.start !== undefined", "''")
            await page.evaluate(f"start({player!r}, {sources(locked, player)})")
            await page.wait_for(f"said.length > 0 || {SHOWN}", SAID)
            assert (await page.evaluate(SAID))["said"] == []


def test_pyav(locked: Locked) -> None:
    urls = locked.playlists()
    pushed = {url.replace("/index.m3u8", form) for url in urls.values() for form in (".flv", ".mp4")}
    # A recording is not pushed.
    pushed.remove(urls["recording"].replace("/index.m3u8", ".flv"))
    for url in (*urls.values(), *pushed):
        with av.open(url, timeout=PATIENCE_S) as container:
            assert len([*itertools.islice(container.decode(video=0), 50)]) == 50, url


# Programs, each with its arguments before the address, those behind it, and what of its output shows that it plays; for
# one without, that it ends well after what it was asked to play.
PROGRAMS: dict[str, tuple[list[str], list[str], str]] = {
    "ffmpeg": (["ffmpeg", "-v", "error", "-i"], ["-t", "3", "-f", "null", "-"], ""),
    "ffplay": (["ffplay", "-v", "error", "-stats"], [], r"\s(?:[2-9]|\d\d+)\.\d\d A-V"),
    "mpv": (["mpv", "--no-config", "--really-quiet", "--vo=null", "--ao=null", "--length=3"], [], ""),
    "vlc": (["vlc", "-I", "dummy", "--vout", "dummy", "--aout", "dummy", "-vv"], [], "Received first picture"),
    "gst-launch-1.0": (
        ["gst-launch-1.0", "-q", "uridecodebin3"], ["!", "videoconvert", "!", "fakesink", "num-buffers=60"], ""
    ),
}  # fmt: skip
# nobody on Debian; VLC does not run as root.
_NOBODY = 65534


def test_programs(locked: Locked, tmp_path: Path) -> None:
    require("ffmpeg", "gst-launch-1.0")
    home = tmp_path / "home"
    home.mkdir(mode=0o777)
    is_root = os.geteuid() == 0
    with contextlib.ExitStack() as stack:
        started = []
        for name, (before, behind, shows) in PROGRAMS.items():
            if shutil.which(name) is None:
                continue
            for kind, url in locked.playlists().items():
                log = home.parent / f"{name}.{kind}"
                process = stack.enter_context(
                    _program(
                        [*before, f"uri={url}" if name.startswith("gst") else url, *behind],
                        log,
                        user=_NOBODY if is_root and name == "vlc" else None,
                        home=home,
                    )
                )
                started.append((name, kind, process, log, shows))
        assert {name for name, *_ in started} >= {"ffmpeg", "gst-launch-1.0"}
        for name, kind, process, log, shows in started:
            deadline = time.monotonic() + PATIENCE_S  # noqa: TID251  # of a program
            if not shows:
                assert process.wait(PATIENCE_S) == 0, (name, kind, _said(log))
            while shows and re.search(shows, _said(log)) is None:
                assert process.poll() is None, (name, kind, _said(log)[-2000:])
                assert time.monotonic() < deadline, (name, kind, _said(log)[-2000:])  # noqa: TID251
                time.sleep(0.1)


def _said(log: Path) -> str:
    return log.read_text("utf-8", "replace")


@contextlib.contextmanager
def _program(command: list[str], log: Path, *, user: int | None, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment: dict[str, Any] = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy", "HOME": str(home)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env=os.environ | environment, user=user, extra_groups=[] if user is not None else None,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
