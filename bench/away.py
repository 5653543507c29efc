"""What does a bucket cost that is away while twenty broadcasts are recorded, and how soon is all of it there?

Method: ``streamd serve`` records publishers of the load generator (``--rtmpload``, as for ``ingest.py``) to a real S3
server on loopback (SeaweedFS), which is killed for some minutes and started again on what it had. Both programs and the
generator share the machine. Of each time (before, away, catching up) it tells the server's memory, how late parts were
(``streamd_part_latency_seconds``, from the arrival of a part's last frame), and what waited; at the end every object's
SHA-256 is compared with the document of its recording.

An hour is made of minutes by the bit rate: what waits is bytes.

    python -m bench.away --rtmpload PATH --minutes 4
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore

from bench.figures import metric
from bench.machine import cpu_seconds, resident_bytes
from bench.publishing import write_clip
from tests.support.seaweed import run_seaweed
from tests.support.server import run_server

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.seaweed import SeaweedServer
    from tests.support.server import LiveServer

BEFORE_S = 40
CATCH_UP_S_MAX = 900
LOOK_S = 1.0
LATE_S = 0.02
_BUCKET = re.compile(r'^streamd_part_latency_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)


class Times:
    """What was seen of the server in one stretch of time."""

    def __init__(self, server: LiveServer) -> None:
        self._server = server
        self._began = time.monotonic()
        self._cpu_s = cpu_seconds(server.process.pid)
        self._parts = parts(server)
        self.resident: list[int] = []
        self.backlog: list[float] = []

    def look(self) -> None:
        """Take a sample."""
        self.resident.append(resident_bytes(self._server.process.pid))
        self.backlog.append(metric(self._server, "streamd_storage_backlog_bytes"))

    def figures(self) -> dict[str, object]:
        """All of it, as JSON."""
        took_s = time.monotonic() - self._began
        counts = {le: count - self._parts[le] for le, count in parts(self._server).items()}
        total = counts[float("inf")]
        late = total - max(count for le, count in counts.items() if le <= LATE_S)
        return {
            "s": round(took_s, 1),
            "parts": int(total),
            "parts_within_ms": {f"{1000 * le:g}": round(count / total, 5) for le, count in counts.items() if total},
            "parts_later_than_20_ms": int(late),
            "resident_mb": [round(each(self.resident) / 1e6, 1) for each in (min, max)],
            "backlog_mb_max": round(max(self.backlog) / 1e6, 1),
            "cpu_share": round((cpu_seconds(self._server.process.pid) - self._cpu_s) / took_s, 3),
            "load": round(os.getloadavg()[0], 1),
        }


def parts(server: LiveServer) -> dict[float, float]:
    """Parts by how late they were at most, seconds."""
    return {float(le): float(count) for le, count in _BUCKET.findall(server.admin_get("/metrics"))}


def through(server: LiveServer, seconds: float, until: float | None = None) -> dict[str, object]:
    """Look at a server for so long, or until no more than so many bytes wait."""
    times = Times(server)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        times.look()
        if until is not None and times.backlog[-1] <= until:
            break
        time.sleep(LOOK_S)
    return times.figures()


def compared(service: SeaweedServer, server: LiveServer) -> dict[str, object]:
    """Read every object of every recording, and compare it with the document of the end."""
    found = server.admin("GET", "/api/v1/recordings?limit=100")["recordings"]
    store = service.store()
    wrong, size_bytes, duration_s = 0, 0, []
    for recording in found:
        assert recording["state"] == "ready", recording
        prefix = f"live/{recording['path']}/"
        document: dict[str, Any] = json.loads(service.content(f"{prefix}events/recording-ended.json"))
        for file in document["files"]:
            digest = hashlib.sha256()
            for piece in obstore.get(store, prefix + file["path"]).stream():
                digest.update(piece)
                size_bytes += len(piece)
            wrong += digest.hexdigest() != file["sha256"]
        duration_s.append(recording["duration_s"])
    return {
        "recordings": len(found),
        "wrong": wrong,
        "mb": round(size_bytes / 1e6),
        "duration_s": [min(duration_s), max(duration_s)],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rtmpload", type=Path, required=True)
    parser.add_argument("--publishers", type=int, default=20)
    parser.add_argument("--kbps", type=int, default=2500)
    parser.add_argument("--minutes", type=float, default=4)
    args = parser.parse_args(arguments)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary, run_seaweed(Path(temporary) / "seaweed", 1024) as service:
        directory = Path(temporary)
        settings = service.settings(directory, recording__mode="all", recording__min_free_bytes=0)
        clip, keys = directory / "clip.flv", directory / "keys"
        write_clip(clip, args.kbps, "1280x720")
        with run_server(directory, recording__file_s=20, http__posters="false", **settings) as server:
            keys.write_text("".join(server.issue_key(f"bench{number}") + "\n" for number in range(args.publishers)))
            command = [
                str(args.rtmpload),
                "-H",
                "127.0.0.1",
                "-p",
                str(server.rtmp_port),
                "-a",
                "live",
                "-K",
                str(keys),
            ]
            command += ["-n", str(args.publishers), "-f", str(clip), "-d", "100000", "-r", "3"]
            load = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                time.sleep(BEFORE_S)
                usual = metric(server, "streamd_storage_backlog_bytes")
                figures["before"] = through(server, BEFORE_S)
                service.kill()
                figures["away"] = through(server, 60 * args.minutes)
                starting = threading.Thread(target=service.start)
                starting.start()
                begun = time.monotonic()
                figures["catching_up"] = through(server, CATCH_UP_S_MAX, max(usual, 40e6))
                figures["caught_up_s"] = round(time.monotonic() - begun, 1)
                starting.join()
            finally:
                load.terminate()
                load.wait()
            deadline = time.monotonic() + CATCH_UP_S_MAX
            while time.monotonic() < deadline:
                found = server.admin("GET", "/api/v1/recordings?limit=100")["recordings"]
                if all(each["state"] == "ready" for each in found):
                    break
                time.sleep(1)
            figures["compared"] = compared(service, server)
    json.dump(figures, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
