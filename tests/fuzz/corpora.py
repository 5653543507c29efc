"""The fuzz targets, and the inputs that are kept of each: what a fuzzer found to reach new code, and what once failed.

``corpora/NAME.txt`` has an input a line, in base64: a diff shows what came and went. ``found/NAME.txt`` has what failed
once, for good.
"""

from __future__ import annotations

import base64
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FOLDER = Path(__file__).parent / "corpora"
FOUND = Path(__file__).parent / "found"
TARGETS = sorted(path.stem for path in (Path(__file__).parent / "targets").glob("*.py"))
# Longer inputs reach nothing that these do not, and make every run slow. A target that is slow has a bound of its own.
BYTES_MAX = 4096
# Of all inputs of a target together: short ones first, for they say more in a diff and a second of tests.
CORPUS_BYTES_MAX = 48 * 1024


@dataclass(frozen=True)
class Target:
    """One parser of bytes from outside."""

    name: str
    run: Callable[[bytes], None]
    """Takes any bytes; raises for none of them."""
    seeds: Callable[[], list[bytes]]
    """Inputs that reach far, made by a writer of ours or by an encoder."""
    bytes_max: int
    """Of an input that a fuzzer makes."""

    @classmethod
    def load(cls, name: str) -> Target:
        module = importlib.import_module(f"tests.fuzz.targets.{name}")
        return cls(name, module.run, module.seeds, getattr(module, "BYTES_MAX", BYTES_MAX))


def kept(name: str) -> list[bytes]:
    """The inputs that are kept of a target, those that failed once among them."""
    paths = [folder / f"{name}.txt" for folder in (FOLDER, FOUND)]
    return [base64.b64decode(line) for path in paths if path.exists() for line in path.read_text().splitlines()]


def keep(name: str, inputs: Iterable[bytes]) -> None:
    """Keep these of a target, as many as there is room for, and no others."""
    room = CORPUS_BYTES_MAX
    lines: set[str] = set()
    for each in sorted(inputs, key=len):
        room -= len(each)
        if room < 0 or len(each) > BYTES_MAX:
            break
        lines.add(base64.b64encode(each).decode())
    (FOLDER / f"{name}.txt").write_text("".join(f"{line}\n" for line in sorted(lines)))
