"""How sure is the machine that looks at pictures, and what does it cost?

    python -m bench.sight [--pictures 10000] [--channels 100] [--listed 200] [--case KIND]

Method, kind by kind, with pictures that are made (``tests/support/pictures.py``: gradients and two dozen shapes):

- ``found``: pictures at 1280 x 720 are hashed into a list; each is scaled to 854 x 480, written as JPEG of 30 %
  quality, read, and given to the machine as a scan gives it (320 pixels wide). How many are found, and how far
  off at most.
- ``false``: as many other pictures, none alike. How many are taken for one of the list, and how near the nearest is.
- ``scan``: channels with a 720p keyframe each, decoded and looked at by the server's own classes and processes with
  ``nudenet`` and the list; processor time of every process, by the kernel's account, for one picture of each, and what
  that is of a core at one picture each ten seconds. The least of three rounds.

What it leaves out: photographs (there are none here; PDQ was made for them and has its own published figures), words,
other codecs than H.264, and the memory bandwidth that 100 live channels take from it meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.machine import resident_bytes
from streamd.clock import SystemClock
from streamd.media.pixels import SIZE
from streamd.media.sight.fingerprint import fingerprint
from streamd.process.workers.commands import PICTURE_COMMAND, SIGHT_COMMAND, sight_environment, worker_environment
from streamd.services.moderation.machine.assistance import SCAN_BOX
from streamd.services.moderation.machine.hash_lists import DISTANCE_MAX, QUALITY_MIN, distance
from streamd.services.moderation.machine.sight import SightOptions, Wanted
from streamd.services.moderation.machine.sight_process import SightProcess
from streamd.services.posters.picture_process import PictureProcess
from tests.support.pictures import keyframe_of, reencoded, scene

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 3
EVERY_S = 10.0
# With it a keyframe has as many bytes as one of a stream of 2.5 Mb/s with two seconds between them.
GRAIN = 12.0
# Numbers of scenes: of the list, and behind them those that are on none.
OTHERS_FROM = 1_000_000
OTHERS_HEIGHT = 180


@dataclass(frozen=True)
class Case:
    """One figure."""

    name: str
    value: float
    unit: str
    n: int


def scan_size(picture: Any) -> Any:
    """A picture as a scan has it scaled."""
    from streamd.media.pixels import scale

    height, width = picture.shape[:2]
    return scale(picture, SCAN_BOX.width, round(height * SCAN_BOX.width / width / 2) * 2)


def pixels_of(picture: Any) -> bytes:
    """A picture as the machine is given it."""
    height, width = picture.shape[:2]
    return bytes(SIZE.pack(width, height) + picture.tobytes())


def listed_hashes(count: int) -> list[bytes]:
    """The hashes of the list, of pictures whose hash says something."""
    hashes = []
    for number in range(count):
        found, quality = fingerprint(scene(number, 1280, 720))
        assert quality >= QUALITY_MIN
        hashes.append(found)
    return hashes


async def recognise(listed: int, pictures: int, directory: Path) -> list[Case]:
    """Measure ``found`` and ``false``."""
    hashes = listed_hashes(listed)
    (directory / "known.txt").write_text("\n".join(each.hex() for each in hashes))
    options = SightOptions((str(directory / "known.txt"),))
    process = SightProcess(SIGHT_COMMAND, sight_environment(os.environ), SystemClock(), options)
    found, furthest = 0, 0
    for number, known in enumerate(hashes):
        again = reencoded(scene(number, 1280, 720), 854, 480, 30)
        look = await process.look(pixels_of(scan_size(again)), Wanted(0))
        found += any(match.hash == known.hex() for match in look.matches)
        furthest = max(furthest, distance(bytes.fromhex(look.hash), known))
    false, nearest, comparable = 0, 256, 0
    for number in range(pictures):
        look = await process.look(pixels_of(scene(OTHERS_FROM + number, SCAN_BOX.width, OTHERS_HEIGHT)), Wanted(0))
        comparable += look.is_comparable
        false += bool(look.matches)
        if look.is_comparable:
            wanted = int(look.hash, 16)
            nearest = min(nearest, *((int.from_bytes(known) ^ wanted).bit_count() for known in hashes))
    await process.close()
    return [
        Case("listed pictures found at 480p, 30 %", found / listed * 100, "%", listed),
        Case("furthest of these", furthest, "bits", listed),
        Case(f"false at {DISTANCE_MAX}", false, "pictures", pictures),
        Case("nearest other picture", nearest, "bits", pictures),
        Case("other pictures with a hash that says something", comparable, "pictures", pictures),
    ]


def used_s(pid: int) -> float:
    """Processor time of a process and of those copies of it that have ended, by the kernel's account."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    # utime, stime, cutime, cstime: 14 to 17 in proc(5), which counts from 1 and the name as one.
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


async def scan(channels: int, directory: Path) -> list[Case]:
    """Measure ``scan``."""
    keyframes = [keyframe_of(scene(number, 1280, 720, GRAIN), 1280, 720) for number in range(channels)]
    (directory / "known.txt").write_text("\n".join(each.hex() for each in listed_hashes(20)))
    options = SightOptions((str(directory / "known.txt"),), classifier="nudenet")
    clock = SystemClock()
    artist = PictureProcess(PICTURE_COMMAND, worker_environment(os.environ), clock)
    eye = SightProcess(SIGHT_COMMAND, sight_environment(os.environ), clock, options)

    async def look(header: bytes, fragment: bytes) -> None:
        pixels = await artist.draw_pixels(header, fragment, SCAN_BOX)
        assert pixels is not None
        assert (await eye.look(pixels, Wanted.SCORES)).scores

    await look(*keyframes[0])
    assert artist._process is not None
    assert eye._process is not None
    pids = {"decoding": artist._process.pid, "looking": eye._process.pid}
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        before = {name: used_s(pid) for name, pid in pids.items()}
        own, wall = time.process_time(), time.perf_counter()
        for keyframe in keyframes:
            await look(*keyframe)
        spent = {name: used_s(pid) - before[name] for name, pid in pids.items()}
        spent |= {"the server's process": time.process_time() - own}
        print(f"round: {spent}, {time.perf_counter() - wall:.2f} s", file=sys.stderr)
        best = {name: min(value, best.get(name, value)) for name, value in spent.items()}
    mean_bytes = sum(len(fragment) for _, fragment in keyframes) / channels
    resident = resident_bytes(pids["looking"])
    await artist.close()
    await eye.close()
    cases = [Case(f"{name}, a picture", value / channels * 1000, "ms", channels) for name, value in best.items()]
    cases.append(Case("scan, one picture each 10 s", sum(best.values()) / EVERY_S * 100, "% of a core", channels))
    cases.append(
        Case("of that the server's process", best["the server's process"] / EVERY_S * 100, "% of a core", channels)
    )
    cases.append(Case("a keyframe, mean", mean_bytes / 1000, "kB", channels))
    cases.append(Case("memory of what looks", resident / 1e6, "MB", channels))
    return cases


async def measure(arguments: argparse.Namespace) -> list[Case]:
    """Measure what is asked for."""
    cases = []
    with tempfile.TemporaryDirectory() as directory:
        if arguments.case in (None, "recognise"):
            cases += await recognise(arguments.listed, arguments.pictures, Path(directory))
        if arguments.case in (None, "scan"):
            cases += await scan(arguments.channels, Path(directory))
    return cases


def lines(cases: list[Case]) -> Iterator[str]:
    """One JSON object a case."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    machine = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "",
    )
    for case in cases:
        yield json.dumps(
            {"bench": "sight", "name": case.name, "value": round(case.value, 3), "unit": case.unit, "n": case.n}
            | {"python": sys.version.split()[0], "cpu": machine, "at": when}
        )


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--channels", type=int, default=100)
    parser.add_argument("--listed", type=int, default=200)
    parser.add_argument("--case", choices=["recognise", "scan"])
    cases = asyncio.run(measure(parser.parse_args()))
    for line in lines(cases):
        print(line)
    for case in cases:
        print(f"{case.name:50} {case.value:10.2f} {case.unit}", file=sys.stderr)


if __name__ == "__main__":
    main()
