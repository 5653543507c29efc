"""The process that looks at pictures: what it says, what it lacks, and what becomes of one that breaks."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from streamd.clock import ManualClock
from streamd.errors import PictureError, PictureWorkerRestsError
from streamd.media.pixels import SIZE
from streamd.process.workers import sight_worker
from streamd.process.workers.commands import SIGHT_COMMAND, sight_environment
from streamd.services.moderation.categories import Category
from streamd.services.moderation.machine import sight_process
from streamd.services.moderation.machine.hash_lists import DISTANCE_MAX, QUALITY_MIN
from streamd.services.moderation.machine.sight import SAID_BYTES_MAX, Look, SightOptions, Wanted
from streamd.services.moderation.machine.sight_process import SightProcess
from tests.services.posters.test_picture_process import layers_of_this_kernel
from tests.support.extra import needs_moderation
from tests.support.onnx_file import colour_model
from tests.support.pictures import reencoded, scene

ENVIRONMENT = sight_environment(os.environ) | {"PYTHONPATH": os.pathsep.join(sys.path)}
# Longer than any machine is slow.
PATIENT_S = 120.0
PIXELS = SIZE.pack(64, 64) + bytes(64 * 64 * 3)
BOTH = Wanted.SCORES | Wanted.WORDS


def with_process(process: SightProcess, use: Callable[[SightProcess], Awaitable[None]]) -> None:
    async def run() -> None:
        try:
            await use(process)
        finally:
            await process.close()

    asyncio.run(run())


def process_of(
    options: SightOptions = SightOptions(),  # noqa: B008 - frozen
    command: tuple[str, ...] = SIGHT_COMMAND,
    look_timeout_s: float = PATIENT_S,
    clock: ManualClock | None = None,
) -> SightProcess:
    return SightProcess(command, ENVIRONMENT, clock or ManualClock(), options, look_timeout_s)


def pixels_of(picture: Any) -> bytes:
    height, width = picture.shape[:2]
    return bytes(SIZE.pack(width, height) + picture.tobytes())


# A process that says what it is told to, in place of looking.
SAYS = """
import sys
from streamd.media.pixels import SIZE
from streamd.services.moderation.machine.sight import LENGTH, LOOK, packed
READY = {"layers": 63, "hash_fault": "", "classifier_fault": "", "words_fault": "", "labels": [], "lists": []}
LOOKED = {"hash": "", "quality": 0, "matches": [], "scores": {}, "words": [], "fault": ""}
read, write = sys.stdin.buffer.read, lambda data: (sys.stdout.buffer.write(data), sys.stdout.buffer.flush())
(length,) = LENGTH.unpack(read(LENGTH.size))
setup = read(length).decode()
"""
BEGINS = f"{SAYS}\nwrite(packed(READY))\n"


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


class TestWithoutTheExtra:
    """Packages that are not there: the process runs, and says what it lacks."""

    WITHOUT = """
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Without())
from streamd.process.workers.sight_worker import main
main()
"""

    def test_it_sees_nothing_and_says_what_is_to_be_installed(self, caplog: pytest.LogCaptureFixture) -> None:
        missing = ("numpy", "pdqhash", "onnxruntime", "nudenet", "cv2", "rapidocr")

        async def use(process: SightProcess) -> None:
            look = await process.look(PIXELS, BOTH)
            assert look == Look(fault="numpy is not installed: pip install 'streamd[moderation]'")

        options = SightOptions(classifier="nudenet", words=True)
        with_process(process_of(options, python(self.WITHOUT.format(missing=missing))), use)
        told = [record.__dict__ for record in caplog.records if record.msg == "sight.missing"]
        assert [record["part"] for record in told] == ["hashes", "classifier", "words"]
        assert all("pip install 'streamd[moderation]'" in record["reason"] for record in told)

    @needs_moderation
    def test_it_scores_where_fingerprints_alone_are_missing(self, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").write_bytes(colour_model())

        async def use(process: SightProcess) -> None:
            look = await process.look(PIXELS, BOTH)
            assert (look.hash, dict(look.scores)) == ("", {"red": 0.0, "green": 0.0, "blue": 0.0})
            assert look.fault.startswith("pdqhash is not installed")

        options = SightOptions(classifier=str(tmp_path / "model.onnx"))
        with_process(process_of(options, python(self.WITHOUT.format(missing=("pdqhash",)))), use)


@needs_moderation
class TestTheWorker:
    def test_knows_a_picture_of_a_list_encoded_anew_and_no_other(self, tmp_path: Path) -> None:
        """The figure of the page, in little: ``bench/sight.py`` takes 10,000 pictures."""
        import pdqhash

        listed = scene(1, 1280, 720)
        bits, quality = pdqhash.compute(listed)
        assert quality >= QUALITY_MIN
        text = f"{int(''.join(map(str, bits)), 2):064x}"
        (tmp_path / "known.txt").write_text(f"# category: PROTECTION_OF_MINORS\n{'0' * 64}\nnot a hash\n{text}\n")

        async def use(process: SightProcess) -> None:
            look = await process.look(pixels_of(reencoded(listed, 854, 480, 30)), Wanted(0))
            (match,) = look.matches
            assert (match.list_name, match.category, match.hash) == ("known.txt", Category.PROTECTION_OF_MINORS, text)
            assert match.distance <= DISTANCE_MAX
            for number in range(2, 40):
                other = await process.look(pixels_of(scene(number, 320, 180)), Wanted(0))
                assert other.is_comparable
                assert other.matches == ()
            assert process.ready is not None
            (known,) = process.ready.lists
            assert (known.hashes, known.bad_lines) == (2, 1)

        with_process(process_of(SightOptions((str(tmp_path / "known.txt"),))), use)

    def test_compares_nothing_with_the_hash_of_a_blank_picture(self) -> None:
        async def use(process: SightProcess) -> None:
            blank = await process.look(PIXELS, Wanted(0))
            assert blank.quality < QUALITY_MIN
            process.options = SightOptions(hashes=(blank.hash,))
            assert (await process.look(PIXELS, Wanted(0))).matches == ()

        with_process(process_of(), use)

    def test_is_held_by_all_that_this_kernel_has_and_knows_no_secret(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STREAMD_ADMIN__TOKEN", "t0ken-t0ken-t0ken-t0ken")
        assert not [name for name in sight_environment(os.environ) if "TOKEN" in name]

        async def use(process: SightProcess) -> None:
            await process.look(PIXELS, BOTH)
            assert process._process is not None
            assert os.getpriority(os.PRIO_PROCESS, process._process.pid) >= sight_worker.NICENESS

        caplog.set_level(logging.INFO)
        with_process(process_of(SightOptions(classifier="nudenet")), use)
        (record,) = [record for record in caplog.records if record.msg == "sight_worker.locked"]
        assert record.__dict__["layers"] == layers_of_this_kernel().words

    def test_reads_words_and_scores_within_its_walls(self) -> None:
        import cv2
        import numpy

        picture = numpy.full((540, 960, 3), 40, dtype=numpy.uint8)
        cv2.putText(picture, "FREE MONEY", (60, 200), cv2.FONT_HERSHEY_SIMPLEX, 2, (255, 255, 255), 4)

        async def use(process: SightProcess) -> None:
            for _ in range(2):
                look = await process.look(pixels_of(picture), BOTH)
                assert [line.replace(" ", "") for line in look.words] == ["FREEMONEY"]
                assert len(look.scores) == 18
                assert look.fault == ""
            assert (await process.look(pixels_of(picture), Wanted(0))).words == ()

        with_process(process_of(SightOptions(classifier="nudenet", words=True)), use)

    @pytest.mark.parametrize("content", [b"", b"<html>404</html>", bytes(100_000)], ids=["empty", "a page", "zeros"])
    def test_goes_on_without_a_classifier_that_is_none(
        self, content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "model.onnx").write_bytes(content)

        async def use(process: SightProcess) -> None:
            look = await process.look(pixels_of(scene(1, 320, 180)), BOTH)
            assert look.is_comparable
            assert look.scores == ()

        with_process(process_of(SightOptions(classifier=str(tmp_path / "model.onnx"))), use)
        (record,) = [record for record in caplog.records if record.msg == "sight.missing"]
        assert record.__dict__["part"] == "classifier"
        assert "no ONNX model" in record.__dict__["reason"]

    def test_takes_new_hashes_and_changed_files_with_the_next_picture(self, tmp_path: Path) -> None:
        known = tmp_path / "known.txt"
        known.write_text("")

        async def use(process: SightProcess) -> None:
            pixels = pixels_of(scene(1, 320, 180))
            look = await process.look(pixels, Wanted(0))
            assert look.matches == ()
            process.options = SightOptions((str(known),), (look.hash,))
            (match,) = (await process.look(pixels, Wanted(0))).matches
            assert (match.list_name, match.distance) == ("blocks", 0)
            known.write_text(look.hash)
            worker = process._process
            assert len((await process.look(pixels, Wanted(0))).matches) == 1
            assert process._process is worker
            process.reload()
            assert {each.list_name for each in (await process.look(pixels, Wanted(0))).matches} == {
                "blocks",
                "known.txt",
            }

        with_process(process_of(SightOptions((str(known),))), use)


class TestABrokenWorker:
    @pytest.mark.parametrize(
        "code",
        [
            "raise SystemExit(1)",
            "import os; os.kill(os.getpid(), 11)",
            f"{SAYS}\nwrite(packed({{}}))",
            f"{SAYS}\nwrite(b'<html>')",
            f"{SAYS}\nwrite(LENGTH.pack(1 << 31))",
            f"{BEGINS}\nwrite(packed([]))",
            f"{BEGINS}\nwrite(packed({{**LOOKED, 'scores': {{'a': 7}}}}))",
            f"{BEGINS}\nwrite(LENGTH.pack({SAID_BYTES_MAX + 1}))",
            f"{BEGINS}\nwrite(LENGTH.pack(10) + b'12345')",
            f"{BEGINS}\nread(10)",
        ],
    )
    def test_is_an_error_and_no_more(self, code: str) -> None:
        async def use(process: SightProcess) -> None:
            with pytest.raises(PictureError):
                await process.look(PIXELS, BOTH)

        with_process(process_of(command=python(code)), use)

    @pytest.mark.parametrize("code", [SAYS, BEGINS], ids=["at its start", "at a picture"])
    def test_that_hangs_is_ended_and_rests_when_it_does_so_again(
        self, code: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # It never answers, so that any limit is right.
        monkeypatch.setattr(sight_process, "START_TIMEOUT_S", 0.3 if code is SAYS else PATIENT_S)

        async def use(process: SightProcess) -> None:
            for _ in range(2):
                with pytest.raises(PictureError, match="TimeoutError"):
                    await process.look(PIXELS, BOTH)
                assert process._process is None
            with pytest.raises(PictureWorkerRestsError):
                await process.look(PIXELS, BOTH)

        with_process(process_of(command=python(f"{code}\nimport time; time.sleep(3600)"), look_timeout_s=0.3), use)

    def test_is_replaced_after_it_died_between_two_pictures(self) -> None:
        answers = f"{BEGINS}\nread(LOOK.size + {len(PIXELS)})\nwrite(packed(LOOKED))"

        async def use(process: SightProcess) -> None:
            assert await process.look(PIXELS, BOTH) == Look()
            assert process._process is not None
            await process._process.wait()
            assert await process.look(PIXELS, BOTH) == Look()

        with_process(process_of(command=python(answers)), use)


@pytest.mark.parametrize(
    "pixels", [b"", b"\0", SIZE.pack(64, 64), PIXELS[:-1], PIXELS + b"\0", SIZE.pack(65535, 65535), bytes(4_000_000)]
)
def test_what_are_no_pixels_is_not_looked_at(pixels: bytes) -> None:
    async def use(process: SightProcess) -> None:
        with pytest.raises(PictureError, match="pixels"):
            await process.look(pixels, BOTH)
        assert process._process is None

    with_process(process_of(), use)


def test_the_setup_is_told_once_and_whole() -> None:
    options = SightOptions(("/lists/ü.txt",), ("ab" * 32,) * 10_000, "nudenet", words=True)
    code = f"{SAYS}\nwrite(packed({{**READY, 'labels': [setup[:400]]}}))\nread(LOOK.size + {len(PIXELS)})\n"

    async def use(process: SightProcess) -> None:
        await process.look(PIXELS, BOTH)
        assert process.ready is not None
        assert json.loads(options.order()[4:])["lists"] == ["/lists/ü.txt"]
        assert process.ready.labels[0].startswith('{"lists":["/lists/')

    with_process(process_of(options, python(f"{code}\nwrite(packed(LOOKED))\nread(1)")), use)
