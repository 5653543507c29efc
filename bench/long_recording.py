"""A recording of many hours, made faster than real time, and what it costs to find, seek and check one.

The frames go through the media line and the recorder of the server, with a clock that runs as fast as they do; then a
server is started on the files. The broadcast is an encoder's: pictures and sound of a short clip again and again, each
frame at its own time in whole milliseconds, so that the picture and the sound of any minute can be held against the
count of their frames.

    python -m bench.long_recording --hours 12
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import http.client
import itertools
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.publishing import make_clip
from streamd.clock import ManualClock
from streamd.formats.flv.tag import TagType
from streamd.media.packager.segmenter import SegmenterOptions
from streamd.services.keys.key_store import KeyStore
from streamd.services.live.media_line import MediaLine
from streamd.services.live.meter import StreamMeter
from streamd.services.live.outputs import Outputs
from streamd.services.metrics import Metrics
from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.recorder import Recorder, RecorderOptions
from streamd.services.recording.records import RecordingFilter, RecordingMode
from streamd.services.recording.retention import RetentionOptions
from tests.support.output_context import output_context
from tests.support.server import LiveServer, run_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from streamd.formats.flv.tag import FlvTag
    from streamd.services.recording.records import RecordingRecord

FRAMES_PER_S = 30
SAMPLES_PER_FRAME, SAMPLE_RATE = 1024, 48_000
# Of the file's end, looked into for the last picture and the last sound.
TAIL_S = 20
SEEKS = 20
PLAYBACK_PATIENCE_S = 600
# Bytes that may wait for the disk.
HELD_BYTES_MAX = 32_000_000
# Times that each answer is timed.
ASKED = 30


class Frames(NamedTuple):
    """A clip, apart."""

    headers: list[FlvTag]
    video: list[FlvTag]
    audio: list[FlvTag]


def read_clip(bitrate_kbps: int) -> Frames:
    """Encode a clip, whole GOPs of it."""
    tags = [tag for tag in make_clip(bitrate_kbps, "320x180") if tag.tag_type != TagType.SCRIPT]
    headers = [tag for tag in tags if bytes(tag.payload)[1] == 0]
    frames = [tag for tag in tags if bytes(tag.payload)[1] != 0]
    video = [tag for tag in frames if tag.tag_type == TagType.VIDEO]
    last_key = max(i for i, tag in enumerate(video) if bytes(tag.payload)[0] >> 4 == 1)
    return Frames(headers, video[:last_key], [tag for tag in frames if tag.tag_type == TagType.AUDIO])


def broadcast(frames: Frames, seconds: int) -> Iterator[list[FlvTag]]:
    """The tags of each second, in the order of their times."""
    video, audio = itertools.cycle(frames.video), itertools.cycle(frames.audio)
    pictures = sounds = 0
    for second in range(1, seconds + 1):
        tags: list[FlvTag] = [] if second > 1 else list(frames.headers)
        while (at_ms := round(pictures * 1000 / FRAMES_PER_S)) < second * 1000:
            tags.append(replace(next(video), timestamp_ms=at_ms))
            pictures += 1
        while (at_ms := round(sounds * SAMPLES_PER_FRAME * 1000 / SAMPLE_RATE)) < second * 1000:
            tags.append(replace(next(audio), timestamp_ms=at_ms))
            sounds += 1
        yield sorted(tags, key=lambda tag: tag.timestamp_ms)


async def record(data_dir: Path, frames: Frames, seconds: int) -> RecordingRecord:
    """Record the broadcast, and complete the recording."""
    store = KeyStore(f"sqlite+aiosqlite:///{data_dir / 'streamd.db'}")
    await store.start()
    clock = ManualClock(datetime.now(UTC) - timedelta(seconds=seconds))
    recorder = Recorder(
        RecorderOptions(RecordingMode.ALL, data_dir / "recordings", retention=RetentionOptions(min_free_bytes=0)),
        RecordingIndex(store.database),
        clock,
    )
    outputs, metrics, meter = Outputs("alice"), Metrics(), StreamMeter()
    outputs.make(recorder.output, output_context(clock=clock, metrics=metrics))
    failures: list[Exception] = []
    line = MediaLine(
        outputs,
        options=SegmenterOptions(),
        clock=clock,
        metrics=metrics,
        meter=meter,
        warn=lambda reason, detail: print(reason, detail, file=sys.stderr),
        charge=lambda _: None,
        on_failed=failures.append,
        picture_pixels_max=lambda: 10_000_000,
    )
    for second, tags in enumerate(broadcast(frames, seconds)):
        line.receive(tags)
        clock.advance(1)
        if second < 4 or second % 10 == 0:
            # The demuxer opens, and the writer takes what is recorded.
            await asyncio.sleep(0.2 if second < 4 else 0)
        while outputs.held_bytes > HELD_BYTES_MAX:  # noqa: ASYNC110  # nothing else tells
            await asyncio.sleep(0.01)
        if failures:
            raise failures[0]
    line.finish()
    outputs.end()
    for recording in tuple(recorder.going):
        await recording.wait()
    while recorder.books.is_behind:  # noqa: ASYNC110  # nothing else tells
        await asyncio.sleep(0.01)
    (found,) = (await recorder.index.page(RecordingFilter(), limit=2)).items
    await recorder.close()
    await store.close()
    return found


def timed(call: Callable[[], object], times: int = ASKED) -> tuple[float, float]:
    """Milliseconds that a call takes: the median, and the most."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1000)
    return sorted(took)[len(took) // 2], max(took)


def first_byte(port: int, path: str, headers: dict[str, str]) -> int:
    """Ask, and read the first byte; return the size of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    assert answer.status in (200, 206), answer.status
    assert answer.read(1)
    connection.close()
    return int(answer.headers["Content-Length"])


def whole(port: int, path: str) -> bytes:
    """Ask, and read all of it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PLAYBACK_PATIENCE_S)
    connection.request("GET", path, headers={"Accept-Encoding": "identity"})
    body = connection.getresponse().read()
    connection.close()
    return body


def ends_ms(url: str, seconds: int) -> dict[str, float]:
    """When the last picture and the last sound end, milliseconds from the first picture, as ffprobe finds them."""
    ends: dict[str, float] = {}
    for kind in ("v", "a"):
        packets = []
        for span in ("%+5", f"{seconds - TAIL_S}%+{2 * TAIL_S}"):
            done = subprocess.run(
                ["ffprobe", "-v", "error", "-select_streams", f"{kind}:0", "-read_intervals", span, "-show_entries",
                 "packet=pts_time,dts_time,duration_time", "-of", "json", url],
                capture_output=True, text=True, check=True, timeout=PLAYBACK_PATIENCE_S,
            )  # fmt: skip
            packets.append(json.loads(done.stdout)["packets"])
        first, last = packets
        begin = min(float(packet["dts_time"]) for packet in first)
        ends[kind] = 1000 * (max(float(packet["dts_time"]) + float(packet["duration_time"]) for packet in last) - begin)
    return ends


def look(server: LiveServer, found: RecordingRecord, seconds: int) -> dict[str, object]:
    """Ask a server on the files, and ffprobe."""
    url, port = server.http_url, server.http_port
    mp4 = f"/vod/{found.id}.mp4"
    size = first_byte(port, mp4, {})
    spread = [size * at // SEEKS for at in range(SEEKS)]
    seeks = itertools.cycle(spread)
    playlist = whole(port, f"/vod/{found.id}/main.m3u8")
    figures: dict[str, object] = {
        "mp4_bytes": size,
        "mp4_first_byte_ms": timed(partial(first_byte, port, mp4, {})),
        "mp4_range_ms": timed(
            partial(lambda: first_byte(port, mp4, {"Range": f"bytes={next(seeks)}-"})),
        ),
        "playlist_bytes": len(playlist),
        "playlist_ms": timed(partial(whole, port, f"/vod/{found.id}/main.m3u8"), 5),
    }
    began = time.perf_counter()
    digest = hashlib.sha256(whole(port, mp4)).hexdigest()[:16]
    figures |= {"mp4_sha256": digest, "mp4_whole_s": round(time.perf_counter() - began, 1)}
    ends = ends_ms(f"{url}{mp4}", seconds)
    figures["ends_ms"] = ends
    figures["sound_is_later_ms"] = round(ends["a"] - ends["v"], 1)
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hours", type=float, default=12)
    parser.add_argument("--kbps", type=int, default=150)
    parser.add_argument("--directory", type=Path, help="kept; a temporary one otherwise")
    args = parser.parse_args(arguments)
    seconds = round(args.hours * 3600)
    with tempfile.TemporaryDirectory() as temporary:
        directory = args.directory or Path(temporary)
        began = time.perf_counter()
        (directory / "data").mkdir(mode=0o700)
        found = asyncio.run(record(directory / "data", read_clip(args.kbps), seconds))
        figures: dict[str, object] = {
            "recording": found.id,
            "recorded_s": found.duration_ms / 1000,
            "size_bytes": found.size_bytes,
            "took_s": round(time.perf_counter() - began, 1),
        }
        with run_server(directory, recording__min_free_bytes=0) as server:
            figures |= look(server, found, seconds)
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "streamd", "recordings", "verify", "--data-dir", str(server.data_dir)],
                capture_output=True, text=True, check=False, timeout=PLAYBACK_PATIENCE_S,
            )  # fmt: skip
            figures["verify"] = {"exit": done.returncode, "s": round(time.perf_counter() - began, 1)}
        print(json.dumps(figures, indent=1, default=str))


if __name__ == "__main__":
    main()
