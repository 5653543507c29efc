"""How soon is all of a channel dark, with its recordings, clips, past and pictures, once a moderator takes it down?

Method: ``streamd serve`` as a process of its own, with recordings, a past and moderation, without moderation's machine.
Rounds of a few channels go live with the test clip in real time and stay until each has its past, a clip and a picture,
and a viewer who waits for the next part. Then each is taken down by one call, the others going on. Told are the
server's own time until it was dark (``took_ms``), the time until the call was answered, and the time until all else
that was asked for right behind it answered 410, and the waiting viewer too. ``deaf`` publishers read nothing and go on
sending. The store is SQLite on the disk of the directory for temporary files.

Left out: real networks, caches in front, PostgreSQL.

    python -m bench.takedowns [--channels 10] [--rounds 5] [--load 0]
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.figures import percentile, report
from tests.hostile.siege import CLIP_S
from tests.support.flv_media import h264_aac
from tests.support.server import run_server, wait_until
from tests.support.tag_publisher import TagPublisher, publishing, repeated

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

    from tests.support.server import LiveServer

SETTLE_S = 30.0
STATEMENT = {
    "decision_ground": "ILLEGAL_CONTENT",
    "illegal_content_legal_ground": "Penal code, section 131",
    "illegal_content_explanation": "It shows somebody being hurt.",
    "decision_facts": "Seen live.",
    "category": "VIOLENCE",
}


class DeafPublisher(TagPublisher):
    """Reads nothing any more, and sends for as long as its socket takes it."""

    def _discard(self) -> None:
        pass


def main() -> None:
    """Measure both kinds of publishers, and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--channels", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--load", type=int, default=0, help="processes that only compute, beside it")
    arguments = parser.parse_args()
    options = {
        "moderation__enabled": "true",
        "moderation__scan": "off",
        "recording__mode": "all",
        "dvr__window_s": 600,
    }
    stop = multiprocessing.Event()
    burners = [multiprocessing.Process(target=burn, args=(stop,), daemon=True) for _ in range(arguments.load)]
    for burner in burners:
        burner.start()
    try:
        with tempfile.TemporaryDirectory() as directory, run_server(Path(directory), **options) as server:
            for kind in (TagPublisher, DeafPublisher):
                rounds = [one_round(server, kind, arguments.channels) for _ in range(arguments.rounds)]
                tell(kind, [each for found in rounds for each in found], arguments.load)
    finally:
        stop.set()
        for burner in burners:
            burner.join()


def burn(stop: Event) -> None:
    """Compute until told to stop."""
    while not stop.is_set():
        sum(range(10_000))


_numbers = itertools.count()


def one_round(server: LiveServer, kind: type[TagPublisher], channels: int) -> list[dict[str, float]]:
    """Have some channels live, and take them down one after another; the times of each, milliseconds."""
    tags = h264_aac(CLIP_S, gop=60)
    names = [f"bench{next(_numbers):04}" for _ in range(channels)]
    with contextlib.ExitStack() as stack:
        for name in names:
            publisher = kind(server.rtmp_port, server.issue_key(name))
            stack.callback(publisher.reset)
            stack.enter_context(_ignoring_the_end(publisher, tags))
        for name in names:
            server.wait_until_playable(name)
        clips = {name: make_clip(server, name) for name in names}
        return [take_down(server, name, clips[name]) for name in names]


@contextlib.contextmanager
def _ignoring_the_end(publisher: TagPublisher, tags: Any) -> Any:
    """Send in time; that the server closes is what is measured."""
    previous, threading.excepthook = threading.excepthook, lambda _: None
    try:
        with publishing(publisher, repeated(tags, CLIP_S * 1000)):
            yield
    finally:
        threading.excepthook = previous


def make_clip(server: LiveServer, name: str) -> str:
    """A clip of a channel that is recorded, once it has a past."""
    wait_until(lambda: status_of(server, f"/live/{name}/dvr/index.m3u8") == 200, SETTLE_S, f"the past of {name}")

    def made() -> str:
        try:
            return str(server.admin("POST", "/api/v1/clips", {"stream": name, "last_s": 2})["id"])
        except AssertionError:
            return ""

    return str(wait_until(made, SETTLE_S, f"a clip of {name}"))


def take_down(server: LiveServer, name: str, clip: str) -> dict[str, float]:
    """Take one channel down; its times in milliseconds."""
    (recording,) = server.admin("GET", f"/api/v1/recordings?user={name}")["recordings"]
    paths = [
        f"/live/{name}/index.m3u8", f"/live/{name}/main.m3u8", f"/live/{name}.flv", f"/live/{name}/poster.jpg",
        f"/live/{name}/dvr/index.m3u8", f"/vod/{recording['id']}/index.m3u8", f"/vod/{clip}/index.m3u8",
    ]  # fmt: skip
    waited: list[tuple[int, float]] = []
    playlist = server.get(f"/live/{name}/main.m3u8")[2].decode()
    sequence = int(playlist.partition("#EXT-X-MEDIA-SEQUENCE:")[2].split()[0]) + playlist.count("#EXTINF")

    def wait() -> None:
        # The segment behind the next: it is seconds away.
        status = status_of(server, f"/live/{name}/main.m3u8?_HLS_msn={sequence + 1}")
        waited.append((status, time.monotonic()))

    viewer = threading.Thread(target=wait, daemon=True)
    viewer.start()
    time.sleep(0.1)
    began = time.monotonic()
    done = server.admin("POST", "/api/v1/takedowns", {"target": name, **STATEMENT})
    answered = time.monotonic()
    statuses = {path: status_of(server, path) for path in paths}
    seen = time.monotonic()
    viewer.join(SETTLE_S)
    assert {*statuses.values()} == {410}, statuses
    assert waited[0][0] == 410, waited
    assert done["closed"] == [name], done
    assert done["unwritten"] == "", done
    times = {"answered": answered - began, "all seen": seen - began, "waiting viewer": waited[0][1] - began}
    return {"dark": done["took_ms"]} | {what: each * 1000 for what, each in times.items()}


def status_of(server: LiveServer, path: str) -> int:
    """The status of an answer; its body is left."""
    try:
        with urllib.request.urlopen(server.http_url + path, timeout=SETTLE_S) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def tell(kind: type[TagPublisher], found: list[dict[str, float]], load: int) -> None:
    """Report the times of one kind of publishers."""
    name = "deaf" if kind is DeafPublisher else "encoder"
    for what in found[0]:
        times = [each[what] for each in found]
        circumstances: dict[str, Any] = {
            "p50": round(percentile(times, 0.5), 2),
            "p99": round(percentile(times, 0.99), 2),
            "max": round(max(times), 2),
            "takedowns": len(times),
            "burners": load,
            "load": round(os.getloadavg()[0], 1),
        }
        report("takedowns", f"{name}: {what}", times, "ms", **circumstances)
        print(f"  {json.dumps(circumstances)}", file=sys.stderr)


if __name__ == "__main__":
    main()
