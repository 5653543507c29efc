"""How long does a page of 100,000 recordings take, and of the worst lists that there may be of them?

Method: an index of so many recordings is written, a server started on it, and pages asked for over HTTP, one after the
other; latencies are those of whole answers as the asker has them. Nothing is live. ``deleted`` are recordings that
stand before what is asked for: those of one user who has deleted all but the oldest, and whose pages are looked
through.

Left out: other requests at the same time; files.

    python -m bench.listing --recordings 100000
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert

from bench.figures import report
from streamd.services.keys.key_store import KeyStore
from streamd.services.recording.recording_id import new_recording_id
from streamd.services.recording.records import RecordingRecord, RecordingState, Visibility
from streamd.services.store.schema import recordings
from tests.support.server import run_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.server import LiveServer

BATCH = 1000
ASKED = 200
USERS = 100
LIMIT = 100


def records(count: int) -> Iterator[dict[str, Any]]:
    """Recordings, the oldest first: half of them of one user, and of those that user has deleted all but the first."""
    began = datetime.now(UTC) - timedelta(minutes=count)
    for number in range(count):
        at = began + timedelta(minutes=number)
        recording_id = new_recording_id(at)
        is_big = number % 2
        user = "big" if is_big else f"user{number // 2 % USERS}"
        state = RecordingState.DELETED if is_big and number > 2 * LIMIT else RecordingState.READY
        if number % 5000 == 0:
            state = RecordingState.FAILED
        hidden = number % 10 == 0
        yield asdict(
            RecordingRecord(
                id=recording_id,
                user=user,
                state=state,
                started_at=at,
                ended_at=at + timedelta(minutes=1),
                path=f"{user}/2026/03/01/{recording_id}",
                duration_ms=60_000,
                size_bytes=18_000_000,
                visibility=Visibility.PRIVATE if hidden else Visibility.PUBLIC,
            )
        )


async def fill(data_dir: Path, count: int) -> None:
    """Write the index."""
    store = KeyStore(f"sqlite+aiosqlite:///{data_dir / 'streamd.db'}")
    await store.start()
    batch: list[dict[str, Any]] = []
    for record in records(count):
        batch.append(record)
        if len(batch) == BATCH:
            async with store.database.writing() as connection:
                await connection.execute(insert(recordings), batch)
            batch.clear()
    await store.close()


def timed(port: int, path: str, headers: dict[str, str], *, pages: bool) -> list[float]:
    """Milliseconds that each answer took; of a list page after page where it is asked for."""
    took = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    before = ""
    for _ in range(ASKED):
        began = time.perf_counter()
        connection.request("GET", f"{path}&before={before}" if before else path, headers=headers)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        took.append((time.perf_counter() - began) * 1000)
        assert answer.status == 200, body
        before = (body.get("next_before") or "") if pages else ""
    connection.close()
    return took


def look(server: LiveServer, count: int) -> None:
    """Ask for each list."""
    admin = int(server.admin_url.rpartition(":")[2])
    token = {"Authorization": f"Bearer {server.admin_token}"}
    lists = {
        "the newest": ("", False),
        "page after page": ("", True),
        "of one user": ("&user=user7", True),
        "of a state": ("&state=failed", False),
        "of a user whose newer ones are deleted": ("&user=big", False),
        "of a user and a state": ("&user=big&state=failed", False),
        "deleted ones": ("&state=deleted", True),
    }
    for name, (query, pages) in lists.items():
        report("listing", name, timed(admin, f"/api/v1/recordings?limit={LIMIT}{query}", token, pages=pages), "ms",
               recordings=count)  # fmt: skip
    for user in ("user7", "big"):
        took = timed(server.http_port, f"/api/v1/streams/{user}/recordings", {}, pages=False)
        report("listing", f"public, of {user}", took, "ms", recordings=count)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one JSON line a list."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recordings", type=int, default=100_000)
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        (Path(temporary) / "data").mkdir(mode=0o700)
        asyncio.run(fill(Path(temporary) / "data", args.recordings))
        with run_server(Path(temporary), recording__keep_days=36500, recording__min_free_bytes=0) as server:
            look(server, args.recordings)


if __name__ == "__main__":
    main()
