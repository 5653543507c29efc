"""The picture worker as a process, and what becomes of workers that a picture has broken."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

import pytest

from streamd.errors import PictureError
from streamd.live.picture_process import PictureProcess
from tests.media.test_picture import Clip, read_jpeg

WORKER = (sys.executable, "-m", "streamd.picture_worker")
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(sys.path)}
# Longer than any machine is slow: what hangs is told by its output, not by a short time limit.
PATIENT_S = 60.0


def with_process(process: PictureProcess, use: Callable[[PictureProcess], Awaitable[None]]) -> None:
    async def run() -> None:
        try:
            await use(process)
        finally:
            await process.close()

    asyncio.run(run())


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


class TestTheWorker:
    def test_draws_one_picture_after_another_and_outlives_what_is_none(self) -> None:
        async def use(process: PictureProcess) -> None:
            header, fragment = Clip().fragmented()
            for _ in range(2):
                jpeg = await process.draw(header, fragment)
                assert jpeg is not None
                assert read_jpeg(jpeg)[:2] == (320, 180)
                assert await process.draw(b"no header", b"no fragment") is None

        with_process(PictureProcess(WORKER, ENVIRONMENT, PATIENT_S), use)

    def test_waits_for_its_turn(self) -> None:
        async def use(process: PictureProcess) -> None:
            header, fragment = Clip().fragmented()
            other = Clip(width=64, height=64).fragmented()
            first, second = await asyncio.gather(process.draw(header, fragment), process.draw(*other))
            assert first is not None
            assert second is not None
            assert (read_jpeg(first)[:2], read_jpeg(second)[:2]) == ((320, 180), (64, 64))

        with_process(PictureProcess(WORKER, ENVIRONMENT, PATIENT_S), use)

    def test_has_nothing_of_our_environment_and_little_of_the_machine(self) -> None:
        """A decoder that a publisher has taken over finds no secret and writes no file."""
        probe = """
import os, resource, sys
import streamd.picture_worker as worker
from streamd.media.picture import ANSWER, ORDER
worker._limit()
sys.stdin.buffer.read(ORDER.size)
limits = [resource.getrlimit(each)[0] for each in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE)]
said = repr((sorted(name for name in os.environ if name != "LC_CTYPE"), limits, os.nice(0))).encode()
sys.stdout.buffer.write(ANSWER.pack(len(said)) + said)
"""

        async def use(process: PictureProcess) -> None:
            said = await process.draw(b"", b"")
            assert said is not None
            names, limits, niceness = eval(said)
            assert names == ["PYTHONPATH"]
            assert limits == [1024**3, 0, 0]
            assert niceness >= min(19, os.nice(0) + 10)

        with_process(PictureProcess(python(probe), ENVIRONMENT, PATIENT_S), use)


class TestABrokenWorker:
    @pytest.mark.parametrize(
        "command",
        [
            ("/nonexistent/python",),
            python("raise SystemExit(1)"),
            python("import os; os.kill(os.getpid(), 11)"),
            python("import sys; sys.stdin.buffer.read(8); sys.stdout.buffer.write(bytes(2))"),
            python(
                "import sys; sys.stdin.buffer.read(8); sys.stdout.buffer.write(b'\\x7f\\xff\\xff\\xff' + bytes(99))"
            ),
            python("import sys; sys.stdin.buffer.read(8); sys.stdout.buffer.write(b'\\0\\0\\0\\x09' + bytes(8))"),
        ],
        ids=["not there", "ends", "crashes", "half an answer", "an answer too long", "less than it said"],
    )
    def test_is_an_error_and_no_more(self, command: tuple[str, ...]) -> None:
        async def use(process: PictureProcess) -> None:
            for _ in range(2):
                with pytest.raises(PictureError):
                    await process.draw(b"header", bytes(1_000_000))

        with_process(PictureProcess(command, ENVIRONMENT, PATIENT_S), use)

    def test_that_hangs_is_ended_and_the_next_picture_has_another(self) -> None:
        async def use(process: PictureProcess) -> None:
            with pytest.raises(PictureError, match="TimeoutError"):
                await process.draw(b"header", b"fragment")

        # It never answers, so that any limit is right.
        with_process(PictureProcess(python("import time; time.sleep(3600)"), ENVIRONMENT, 0.2), use)

    def test_is_replaced(self) -> None:
        dies_after_one = """
import sys
from streamd.media.picture import ANSWER, ORDER
sys.stdin.buffer.read(ORDER.size + 2)
sys.stdout.buffer.write(ANSWER.pack(1) + b"1")
"""

        async def use(process: PictureProcess) -> None:
            answers = []
            for _ in range(4):
                try:
                    answers.append(await process.draw(b"1", b"2"))
                except PictureError:
                    answers.append(None)
            # Whether its end was seen before the next order is a matter of time.
            assert answers.count(b"1") >= 2

        with_process(PictureProcess(python(dies_after_one), ENVIRONMENT, PATIENT_S), use)
