"""Looks for the inputs of a parser that take most of the processor's time for a byte, and keeps the ten worst.

    python -m tests.fuzz --time NAME [--runs N] [--seconds S]

An input is changed, timed, and stays among those that are changed further if it is one of the slowest so far.

What an input costs is what a call costs, and what its bytes do; a score that divides all of it by a few bytes would say
what the shortest input is, and nothing of the parser. So there are two figures. The score is nanoseconds for a byte of
inputs of 256 bytes or more, with all of the call in it: parsers are called once for a connection, a request or a tag,
for which a peer pays with a packet and its own limits. And ``call_ns`` is the dearest call of 32 bytes or less, which
no length excuses. Time is the thread's own, so that others on the machine count little; what seems slow is timed
again, and its best time counts.

``slowest/NAME.txt`` has the ten, in base64. Time is not asserted: ``work`` counts lines of Python, the same each time,
and a test holds the ten to a bound.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamd.clock import SystemClock
from tests.fuzz.parsers import PARSERS, Parser

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

CLOCK = SystemClock()
FOLDER = Path(__file__).parent / "slowest"
BYTES_MIN = 256
# What is short: a call, and hardly more.
SHORT_BYTES_MAX = 32
KEPT = 10
POOL = 48
# An input is timed again where it may come among the worst, and its best time counts.
REPEATS = 4
_PIECES = (b"\x00", b"\x01", b"\x05", b"\x7f", b"\x80", b"\xff", b"\x00\x00\x09", b"\x11\x0a", b"\xff\xff\xff\xff")


def cpu_ns(parser: Parser, data: bytes) -> int:
    """How long the processor is busy with an input, in a parser that is new."""
    take = parser.make()
    started_at = time.thread_time_ns()
    # Whether it is a documented one is the other fuzzer's question.
    with contextlib.suppress(Exception):
        take(data)
    return time.thread_time_ns() - started_at


def work(parser: Parser, data: bytes) -> int:
    """How many lines of Python an input makes a parser run that has been set up; compiled modules show none."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        if frame.f_code.co_name == "__del__":
            # When something is freed is the collector's affair, and it may be what an input before this one has left.
            return None
        if event == "line":
            lines += 1
        return trace

    parser.read(data)  # what is computed once for all inputs
    take = parser.make()
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with contextlib.suppress(Exception):
            take(data)
    finally:
        sys.settrace(before)
    return lines


def slowest(name: str) -> list[bytes]:
    """The inputs that were kept of a parser."""
    path = FOLDER / f"{name}.txt"
    return [base64.b64decode(line) for line in path.read_text().splitlines()] if path.exists() else []


def short_inputs(parser: Parser) -> list[bytes]:
    """The beginnings of what is known of a parser: inputs that cost what a call does."""
    known = [data for data in (*parser.seeds(), *slowest(parser.name)) if data]
    return sorted({data[:size] for data in known for size in (1, 4, 8, 16, SHORT_BYTES_MAX)})


def call_ns(parser: Parser) -> int:
    """How long the dearest of the short inputs takes, nanoseconds: the best of several times of each."""
    return max(min(cpu_ns(parser, data) for _ in range(REPEATS)) for data in short_inputs(parser))


@dataclass
class Search:
    """A walk towards slow inputs.

    Args:
        parser: Whose.
        seed: Of the walk.
        cost: Of an input.
    """

    parser: Parser
    seed: int = 0
    cost: Callable[[Parser, bytes], int] = cpu_ns
    pool: list[tuple[float, bytes]] = field(default_factory=list)
    """Nanoseconds a byte, and the input; the slowest first."""
    executions: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._seeds = [data for data in (*self.parser.seeds(), *slowest(self.parser.name)) if data]
        for data in self._seeds:
            self._try(self._sized(data))

    def run(self, executions: int, seconds: float) -> None:
        """Walk on, for so many executions or so long."""
        until = CLOCK.monotonic() + seconds
        gc.disable()
        try:
            while self.executions < executions and (self.executions % 64 or CLOCK.monotonic() < until):
                self._try(self._changed())
                if self.executions % 4096 == 0:
                    gc.collect()
                    # What was slow because somebody else was there leaves.
                    self.pool = sorted(((self._best(data), data) for _, data in self.pool), reverse=True)
        finally:
            gc.enable()

    def _try(self, data: bytes) -> None:
        self.executions += 1
        score = self.cost(self.parser, data) / len(data)
        if len(self.pool) == POOL and score < self.pool[-1][0]:
            return
        score = min(score, self._best(data))
        if len(self.pool) == POOL and score <= self.pool[-1][0]:
            return
        if any(data == other for _, other in self.pool):
            return
        self.pool.append((score, data))
        self.pool.sort(key=lambda each: -each[0])
        del self.pool[POOL:]

    def _best(self, data: bytes) -> float:
        """The least of several times, in ns a byte."""
        return min(self.cost(self.parser, data) for _ in range(REPEATS)) / len(data)

    def _changed(self) -> bytes:
        draw = self._random
        # The slowest most often; now and then from the start.
        if draw.random() < 0.15:
            data = draw.choice(self._seeds)
        else:
            data = self.pool[min(int(draw.expovariate(0.15)), len(self.pool) - 1)][1]
        for _ in range(draw.randint(1, 4)):
            data = self._step(data)
        return self._sized(data)

    def _step(self, data: bytes) -> bytes:
        draw = self._random
        start = draw.randrange(len(data) + 1)
        end = min(len(data), start + draw.choice((1, 2, 4, 8, 16, 64, 256)))
        match draw.randrange(8):
            case 0:
                return data[:start] + draw.randbytes(min(4, end - start)) + data[start + min(4, end - start) :]
            case 1:
                return data[:start] + draw.randbytes(draw.randint(1, 8)) + data[start:]
            case 2:
                return data[:start] + data[end:]
            case 3 | 4:
                # What is slow once is slow often.
                return data[:end] + data[start:end] * draw.choice((1, 3, 15, 63, 255)) + data[end:]
            case 5:
                other = draw.choice(self._seeds)
                at = draw.randrange(len(other))
                return data[:start] + other[at : at + draw.choice((4, 16, 64, 256))] + data[end:]
            case 6:
                return data[:start] + draw.choice(_PIECES) * draw.choice((1, 2, 8, 64)) + data[end:]
            case _:
                number = draw.choice((0, 1, len(data), len(data) - start, 0xFF, 0xFFFF, draw.randrange(65536)))
                field_bytes = draw.choice((1, 2, 3, 4))
                written = (number & (1 << 8 * field_bytes) - 1).to_bytes(field_bytes, "big")
                return data[:start] + written + data[start + field_bytes :]

    def _sized(self, data: bytes) -> bytes:
        """No longer than is read, and no shorter than counts: it is repeated up to there."""
        data = data or b"\0"
        if len(data) < BYTES_MIN:
            data = data * (BYTES_MIN // len(data) + 1)
        return data[: max(BYTES_MIN, self.parser.bytes_max)]

    def worst(self) -> list[tuple[float, bytes]]:
        """The ten that take most time a byte, of different work."""
        found: dict[float, tuple[float, bytes]] = {}
        # Once more, for what the machine did meanwhile.
        self.pool = [(self._best(data), data) for _, data in self.pool]
        self.pool.sort(key=lambda each: -each[0])
        for score, data in self.pool:
            found.setdefault(round(work(self.parser, data) / len(data), 1), (score, data))
        rest = [each for each in self.pool if each not in found.values()]
        return sorted([*found.values(), *rest][:KEPT], key=lambda each: -each[0])

    def keep(self) -> None:
        """Write the ten worst where they are kept."""
        FOLDER.mkdir(exist_ok=True)
        lines = sorted(base64.b64encode(data).decode() for _, data in self.worst())
        (FOLDER / f"{self.parser.name}.txt").write_text("".join(f"{line}\n" for line in lines))


def main(names: list[str], runs: int, seconds: float, seed: int) -> int:
    """Look for slow inputs of some parsers, one after the other; says the worst of each in ns a byte."""
    for name in names:
        search = Search(PARSERS[name], seed)
        search.run(runs if runs > 0 else sys.maxsize, seconds)
        search.keep()
        worst_ns, data = search.pool[0]
        lines = work(search.parser, data) / len(data)
        sys.stdout.write(
            f"{name}: {search.executions} executions, worst {worst_ns:.0f} ns a byte "
            f"({len(data)} bytes, {lines:.1f} lines a byte), a call {call_ns(search.parser) / 1000:.0f} us\n"
        )
        sys.stdout.flush()
    return 0
