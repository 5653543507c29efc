"""The picture worker as a process, and what becomes of workers that a picture has broken."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from streamd.clock import ManualClock
from streamd.errors import PictureError, PictureWorkerRestsError
from streamd.media.picture import ORDER_BYTES_MAX
from streamd.media.pixels import PIXELS_BYTES_MAX, SIZE
from streamd.media.storyboard import CellSize
from streamd.process.workers import picture_worker
from streamd.process.workers.commands import PICTURE_COMMAND, WORKER_VARIABLES, worker_environment
from streamd.services.posters.picture_process import REST_S, REST_S_MAX, PictureProcess
from streamd.services.sandbox import Layer, landlock
from streamd.services.sandbox.system_calls import MACHINES
from tests.media.test_picture import CLIPS, Clip, read_jpeg

WORKER = PICTURE_COMMAND
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


def process_of(
    command: tuple[str, ...] = WORKER, draw_timeout_s: float = PATIENT_S, clock: ManualClock | None = None
) -> PictureProcess:
    return PictureProcess(command, ENVIRONMENT, clock or ManualClock(), draw_timeout_s)


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

        with_process(process_of(), use)

    def test_waits_for_its_turn(self) -> None:
        async def use(process: PictureProcess) -> None:
            header, fragment = Clip().fragmented()
            other = Clip(width=64, height=64).fragmented()
            first, second = await asyncio.gather(process.draw(header, fragment), process.draw(*other))
            assert first is not None
            assert second is not None
            assert (read_jpeg(first)[:2], read_jpeg(second)[:2]) == ((320, 180), (64, 64))

        with_process(process_of(), use)

    @pytest.mark.parametrize("clip", CLIPS.values(), ids=CLIPS)
    def test_draws_every_codec_with_all_that_this_kernel_can_hold_it_by(
        self, clip: Clip, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def use(process: PictureProcess) -> None:
            for _ in range(2):
                jpeg = await process.draw(*clip.fragmented())
                assert jpeg is not None
                assert read_jpeg(jpeg)[:2] == (320, 180)

        caplog.set_level(logging.INFO)
        with_process(process_of(), use)
        (record,) = [record for record in caplog.records if record.msg == "picture_worker.locked"]
        assert record.__dict__["layers"] == layers_of_this_kernel().words

    def test_has_nothing_of_our_environment_and_little_of_the_machine(self) -> None:
        """Who takes over the process that takes orders finds no secret."""
        probe = """
import os, resource, sys
import streamd.process.workers.picture_worker as worker
from streamd.media.picture import ANSWER, ORDER
worker._limit()
os.read(0, ORDER.size)
names = sorted(name for name in os.environ if name != "LC_CTYPE")
said = repr(names).encode()
os.write(1, ANSWER.pack(0, len(said)) + said)
"""

        async def use(process: PictureProcess) -> None:
            said = await process.draw(b"", b"")
            assert said is not None
            assert eval(said) == ["PYTHONPATH"]

        with_process(process_of(python(probe)), use)

    def test_is_not_looked_for_where_we_were_started(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever can write to that directory would have their module run as the server's user."""
        for name in ("av", "streamd"):
            (tmp_path / f"{name}.py").write_text("raise SystemExit('another module of this name')")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("STREAMD_ADMIN__TOKEN", "t0ken-t0ken-t0ken-t0ken")
        environment = worker_environment(os.environ)
        assert environment.keys() <= set(WORKER_VARIABLES)

        async def use(process: PictureProcess) -> None:
            assert await process.draw(*Clip().fragmented()) is not None

        with_process(PictureProcess(PICTURE_COMMAND, environment, ManualClock(), PATIENT_S), use)

    def test_stands_behind_all_that_is_about_live_media(self) -> None:
        async def use(process: PictureProcess) -> None:
            assert await process.draw(*Clip().fragmented()) is not None
            assert process._process is not None
            niceness = os.getpriority(os.PRIO_PROCESS, process._process.pid)
            assert niceness == min(19, os.nice(0) + picture_worker.NICENESS)
            assert oom_score_adj_of(process._process.pid) == picture_worker.OOM_SCORE_ADJ_MAX

        with_process(process_of(), use)

    def test_says_what_holds_it_where_some_of_it_is_missing(self, caplog: pytest.LogCaptureFixture) -> None:
        """A kernel without Landlock and seccomp; the rest holds."""
        weaker = """
from streamd.services.sandbox import Layer
from streamd.services.sandbox import landlock
from streamd.services.sandbox import seccomp
landlock.refuse_everything = lambda: Layer(0)
seccomp.allow_little = lambda **_: False
from streamd.process.workers.picture_worker import main
main()
"""

        async def use(process: PictureProcess) -> None:
            for _ in range(2):
                assert await process.draw(*Clip().fragmented()) is not None

        with_process(process_of(python(weaker)), use)
        (record,) = [record for record in caplog.records if record.msg == "picture_worker.locked"]
        assert record.levelno == logging.WARNING
        assert record.__dict__["layers"] == "limits, user"
        assert record.__dict__["missing"] == "files, network, signals, calls"


def oom_score_adj_of(pid: int) -> str:
    """How gladly the kernel ends a process where memory runs out."""
    return Path(f"/proc/{pid}/oom_score_adj").read_text().strip()


def layers_of_this_kernel() -> Layer:
    layers = Layer.LIMITS | Layer.USER
    if version := landlock.version():
        layers |= landlock.ruleset(version)[1]
    return layers | (Layer.CALLS if os.uname().machine in MACHINES else Layer(0))


# What a decoder that a publisher has taken over does in place of decoding; what it writes is the picture.
TAKEN_OVER = """
import ctypes, os, signal, socket, sys, threading
import streamd.process.workers.picture_worker as worker
def draw_picture(cmaf_header, fragment):
{body}
worker.draw_picture = draw_picture
worker.main()
"""


def taken_over(body: str) -> PictureProcess:
    indented = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return process_of(python(TAKEN_OVER.format(body=indented)))


class TestATakenOverDecoder:
    """Code of a publisher's in place of the decoder's: the sandbox itself is ``tests/sandbox``."""

    def test_has_its_pipe_and_no_other_descriptor(self) -> None:
        body = """
open_ones = []
for descriptor in range(64):
    try:
        os.close(descriptor) if descriptor != 1 else os.write(1, b"")
    except OSError:
        continue
    open_ones.append(descriptor)
return repr(open_ones).encode()
"""

        async def use(process: PictureProcess) -> None:
            assert await process.draw(b"", b"") == b"[1]"

        with_process(taken_over(body), use)

    @pytest.mark.skipif(os.uname().machine not in MACHINES, reason="the filter knows no numbers of this machine")
    def test_reaches_neither_files_nor_sockets_nor_programs_nor_processes(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("secret")
        for path in (tmp_path, *tmp_path.parents[:2]):
            path.chmod(0o755)
        body = f"""
refused = 0
for attempt in (
    lambda: open({str(tmp_path / "secret")!r}),
    lambda: os.unlink({str(tmp_path / "secret")!r}),
    lambda: socket.socket(),
    lambda: os.fork() or os._exit(0),
    lambda: os.execv("/bin/true", ["true"]),
    lambda: os.kill(os.getppid(), signal.SIGKILL),
    lambda: os.pipe(),
):
    try:
        attempt()
    except PermissionError:
        refused += 1
return str(refused).encode()
"""

        async def use(process: PictureProcess) -> None:
            assert await process.draw(b"", b"") == b"7"

        with_process(taken_over(body), use)
        assert (tmp_path / "secret").read_text() == "secret"

    @pytest.mark.parametrize(
        "body",
        [
            "os._exit(1)",
            "ctypes.string_at(0)",
            "bytearray(1 << 40)",
            "[bytearray(1 << 20) for _ in range(1 << 20)]",
            "os.write(1, bytes(2 << 20))",
            "raise RuntimeError",
        ],
        ids=["ends", "crashes", "wants too much", "wants more and more", "says too much", "raises"],
    )
    def test_costs_its_own_picture_and_nothing_of_the_next(self, body: str) -> None:
        async def use(process: PictureProcess) -> None:
            assert await process.draw(b"bad", b"") is None
            worker = process._process
            assert await process.draw(b"good", b"") == b"good"
            assert process._process is worker, "it was not even started anew"

        with_process(taken_over(f"if cmaf_header == b'good': return b'good'\n{body}"), use)

    def test_that_computes_for_ever_is_ended_by_its_processor_time(self) -> None:
        body = "if cmaf_header == b'good': return b'good'\nwhile True: pass"
        program = f"import streamd.process.workers.picture_worker as worker; worker.CPU_SECONDS_MAX = 1\n{TAKEN_OVER}"
        indented = "\n".join(f"    {line}" for line in body.splitlines())

        async def use(process: PictureProcess) -> None:
            assert await process.draw(b"bad", b"") is None
            assert await process.draw(b"good", b"") == b"good"

        with_process(process_of(python(program.format(body=indented))), use)

    def test_cannot_answer_for_the_next_picture(self) -> None:
        """What it writes beyond its own answer is not there when another publisher's picture is asked for."""
        body = "if cmaf_header == b'good': return b'good'\nos.write(1, bytes(9) + b'forged')"

        async def use(process: PictureProcess) -> None:
            assert await process.draw(b"bad", b"") == bytes(9) + b"forged"
            assert await process.draw(b"good", b"") == b"good"

        with_process(taken_over(body), use)

    @pytest.mark.skipif(
        not hasattr(os, "pidfd_open"), reason="the death of a process that is none of ours is told by one"
    )
    def test_that_waits_for_ever_is_ended_with_what_it_is_a_copy_of(self, tmp_path: Path) -> None:
        number = tmp_path / "number"
        number.write_bytes(bytes(4))
        # Memory that it shares with us, from before it was locked, is how we know which process it is.
        body = "shared[:] = os.getpid().to_bytes(4, 'big')\n    threading.Event().wait()"
        shared = f"shared = mmap.mmap(os.open({str(number)!r}, os.O_RDWR), 4)"
        program = f"import mmap, os\n{shared}\n{TAKEN_OVER.format(body=f'    {body}')}"

        async def use(process: PictureProcess) -> None:
            with pytest.raises(PictureError, match="TimeoutError"):
                await process.draw(b"bad", b"")

        with_process(process_of(python(program), 3.0), use)
        pid = int.from_bytes(number.read_bytes(), "big")
        assert pid
        with contextlib.suppress(ProcessLookupError):
            ended = select.poll()
            ended.register(os.pidfd_open(pid), select.POLLIN)
            assert ended.poll(PATIENT_S * 1000)


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

        with_process(process_of(command), use)

    def test_that_hangs_is_ended_and_the_next_picture_has_another(self) -> None:
        async def use(process: PictureProcess) -> None:
            with pytest.raises(PictureError, match="TimeoutError"):
                await process.draw(b"header", b"fragment")

        # It never answers, so that any limit is right.
        with_process(process_of(python("import time; time.sleep(3600)"), 0.2), use)

    def test_is_replaced(self) -> None:
        dies_after_one = """
import sys
from streamd.media.picture import ANSWER, ORDER
sys.stdin.buffer.read(ORDER.size + 2)
sys.stdout.buffer.write(ANSWER.pack(0, 1) + b"1")
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

        with_process(process_of(python(dies_after_one)), use)

    def test_is_left_alone_for_longer_and_longer(self) -> None:
        clock = ManualClock()

        async def use(process: PictureProcess) -> None:
            with pytest.raises(PictureError, match="no picture from the worker"):
                await process.draw(b"1", b"2")
            rest_s = REST_S
            for _ in range(10):
                with pytest.raises(PictureError, match="no picture from the worker"):
                    await process.draw(b"1", b"2")
                with pytest.raises(PictureWorkerRestsError) as resting:
                    await process.draw(b"1", b"2")
                assert resting.value.rest_s == pytest.approx(rest_s)
                clock.advance(rest_s)
                rest_s = min(rest_s * 2, REST_S_MAX)

        with_process(process_of(python("raise SystemExit(1)"), clock=clock), use)

    def test_is_started_anew_when_something_else_ended_it(self) -> None:
        async def use(process: PictureProcess) -> None:
            for _ in range(3):
                assert await process.draw(*Clip().fragmented()) is not None
                assert process._process is not None
                process._process.send_signal(signal.SIGKILL)
                await process._process.wait()

        with_process(process_of(), use)

    def test_is_not_sent_what_is_longer_than_any_keyframe(self) -> None:
        async def use(process: PictureProcess) -> None:
            with pytest.raises(PictureError, match="too long to be drawn"):
                await process.draw(b"1", bytes(ORDER_BYTES_MAX))
            assert process._process is None

        with_process(process_of(), use)


class TestAStoryboard:
    """Cells of a recording's keyframes, and sheets of them."""

    def test_is_drawn_with_all_that_this_kernel_can_hold_it_by(self, caplog: pytest.LogCaptureFixture) -> None:
        async def use(process: PictureProcess) -> None:
            size = CellSize.of(320, 180)
            cells = [await process.draw_cell(*clip.fragmented(), size) for clip in CLIPS.values()]
            assert all(cell is not None and len(cell) == size.bytes for cell in cells)
            jpeg = await process.draw_sheet(b"".join(filter(None, cells)), size)
            assert jpeg is not None
            assert read_jpeg(jpeg)[:2] == (160 * len(CLIPS), 90)

        caplog.set_level(logging.INFO)
        with_process(process_of(), use)
        (record,) = [record for record in caplog.records if record.msg == "picture_worker.locked"]
        assert record.__dict__["layers"] == layers_of_this_kernel().words

    def test_goes_on_behind_a_keyframe_that_does_not_decode(self) -> None:
        async def use(process: PictureProcess) -> None:
            size = CellSize(160, 90)
            header, fragment = Clip().fragmented()
            assert await process.draw_cell(header, b"no fragment", size) is None
            assert await process.draw_sheet(b"no cells", size) is None
            assert await process.draw_cell(header, fragment, size) is not None
            assert await process.draw(header, fragment) is not None

        with_process(process_of(), use)

    def test_is_not_made_of_what_is_no_cell(self) -> None:
        """A decoder that a publisher has taken over answers with other bytes than were asked for."""
        probe = """
import os
from streamd.media.picture import ANSWER, ORDER
os.read(0, ORDER.size)
os.write(1, ANSWER.pack(0, 5) + b"cells")
os.read(0, 1 << 20)
"""

        async def use(process: PictureProcess) -> None:
            assert await process.draw_cell(b"", b"", CellSize(160, 90)) is None

        with_process(process_of(python(probe)), use)


class TestPixels:
    def test_are_drawn_of_a_keyframe_and_of_its_picture(self) -> None:
        async def use(process: PictureProcess) -> None:
            header, fragment = Clip().fragmented()
            jpeg = await process.draw(header, fragment)
            assert jpeg is not None
            of_keyframe = await process.draw_pixels(header, fragment, CellSize(160, 160))
            of_picture = await process.draw_pixels(b"", jpeg, CellSize(160, 160))
            assert of_keyframe is not None
            assert of_picture is not None
            assert len(of_keyframe) == len(of_picture) == SIZE.size + 160 * 90 * 3
            assert await process.draw_pixels(b"", b"\xff\xd8\xff nothing", CellSize(160, 160)) is None

        with_process(process_of(), use)

    def test_of_the_largest_picture_come_through(self) -> None:
        async def use(process: PictureProcess) -> None:
            pixels = await process.draw_pixels(*Clip(width=1024, height=1024).fragmented(), CellSize(960, 960))
            assert pixels is not None
            assert len(pixels) == PIXELS_BYTES_MAX

        with_process(process_of(), use)
