"""How fast do files of recordings go to a bucket, and what does each byte cost?

Files of a minute at 2.5 Mb/s go to a real S3 server on loopback (SeaweedFS), as many at once as the server sends. Both
programs share the machine, and the service takes five times the CPU of this one: the speed is the machine's; the CPU of
a byte is ours. It leaves out the reading of a disk, as the files are in the kernel's cache, and the network.

    python -m bench.uploads --files 30
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.machine import cpu_seconds
from streamd.services.storage.bucket import Bucket
from streamd.services.storage.place import Place, StorageOptions
from streamd.services.storage.uploads import UPLOADS_AT_ONCE
from tests.support.seaweed import BUCKET, KEY_ID, SECRET, run_seaweed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.seaweed import SeaweedServer

FILE_BYTES = 18_700_000


async def send(bucket: Bucket, file: Path, count: int, at_once: int) -> None:
    """Put a file under so many names."""
    turns = asyncio.Semaphore(at_once)

    async def put(number: int) -> None:
        async with turns:
            await bucket.put_file(f"bench/{number:06d}.m4s", file)

    await asyncio.gather(*(put(number) for number in range(count)))


def measured(service: SeaweedServer, directory: Path, count: int, at_once: int) -> dict[str, object]:
    """The figures of one run, behind one that opens all connections."""
    secret = directory / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    file = directory / "000000.m4s"
    file.write_bytes(os.urandom(FILE_BYTES))
    bucket = Bucket(
        StorageOptions(
            Place.parse(f"s3://{BUCKET}/live"),
            endpoint=service.endpoint,
            region="us-east-1",
            access_key_id=KEY_ID,
            secret_access_key_file=str(secret),
        )
    )
    assert service.process is not None
    service_pid = service.process.pid

    async def run() -> tuple[float, float, float]:
        await send(bucket, file, at_once, at_once)
        theirs, ours, began = cpu_seconds(service_pid), time.process_time(), time.perf_counter()
        await send(bucket, file, count, at_once)
        took_s = time.perf_counter() - began
        return took_s, time.process_time() - ours, cpu_seconds(service_pid) - theirs

    took_s, ours_s, theirs_s = asyncio.run(run())
    bucket.close()
    megabytes = count * FILE_BYTES / 1e6
    return {
        "name": "upload",
        "files_at_once": at_once,
        "mb_per_s": round(megabytes / took_s, 1),
        "cpu_ms_per_mb": round(1000 * ours_s / megabytes, 2),
        "service_cpu_ms_per_mb": round(1000 * theirs_s / megabytes, 2),
        "n": count,
        "load": round(os.getloadavg()[0], 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one JSON line a case."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=30)
    parser.add_argument("--at-once", type=int, nargs="+", default=[UPLOADS_AT_ONCE])
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary, run_seaweed(Path(temporary) / "seaweed") as service:
        for at_once in args.at_once:
            print(json.dumps(measured(service, Path(temporary), args.files, at_once)), flush=True)


if __name__ == "__main__":
    main()
