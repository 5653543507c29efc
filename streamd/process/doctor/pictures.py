"""The walls around the picture worker on this machine: it decodes publishers' frames, and is started here and asked."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamd.media.picture import ANSWER, ORDER, PictureKind
from streamd.process.doctor.check_result import CheckResult, ok, warning
from streamd.process.workers.commands import PICTURE_COMMAND, worker_environment
from streamd.services.sandbox import Layer

if TYPE_CHECKING:
    from streamd.process.config import Config

# It takes 0.2 s of a processor to start.
ANSWER_TIMEOUT_S = 20.0
_DO_WITHOUT = "or do without pictures: [http] posters = false"


@dataclass(frozen=True, slots=True)
class _Wall:
    """A layer, and what an operator is told of it."""

    check: str
    holds: str
    is_missing: str
    advice: str


_WALLS = {
    Layer.CALLS: _Wall(
        "pictures: system calls",
        "seccomp lets the picture worker compute and write to its pipe, and nothing else",
        "seccomp does not hold the picture worker: not in this kernel, container or kind of processor",
        f"let the container use seccomp, on x86-64 or aarch64; {_DO_WITHOUT}",
    ),
    Layer.FILES: _Wall(
        "pictures: files",
        "Landlock keeps the picture worker from every file",
        "this kernel has no Landlock to keep the picture worker from files",
        'Linux 5.13 or newer, with "landlock" in lsm= where its command line has that',
    ),
    Layer.NETWORK: _Wall(
        "pictures: network",
        "Landlock keeps the picture worker from every TCP port",
        "Landlock keeps nothing from TCP ports in this kernel",
        "Linux 6.7 or newer",
    ),
    Layer.SIGNALS: _Wall(
        "pictures: processes",
        "Landlock keeps the picture worker from signals and abstract sockets of others",
        "Landlock keeps nothing from other processes in this kernel",
        "Linux 6.12 or newer",
    ),
    Layer.USER: _Wall(
        "pictures: user",
        "the picture worker is not root, and cannot become it",
        "the picture worker stays root: there is no other user here that it could become",
        "run the server as a user of its own",
    ),
    Layer.LIMITS: _Wall(
        "pictures: limits",
        "memory, processor time and descriptors of the picture worker are bounded",
        "memory and processor time of the picture worker are not bounded",
        _DO_WITHOUT,
    ),
}
# Where seccomp refuses the calls, Landlock's part of them is refused twice: newer kernels are no reason for a warning.
_DOUBLED = Layer.NETWORK | Layer.SIGNALS


def check_pictures(config: Config) -> Iterator[CheckResult]:
    """Start a picture worker as the server would, and see what holds it."""
    if not config.http.posters:
        yield ok("pictures", "are not drawn: nothing of publishers is decoded here")
        return
    try:
        worker = subprocess.run(  # noqa: S603  # our own worker
            PICTURE_COMMAND,
            # An order for an empty picture: the answer has no picture, and names the layers that held the copy.
            input=ORDER.pack(PictureKind.POSTER, 0, 0, 0, 0),
            env=worker_environment(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=ANSWER_TIMEOUT_S,
            check=True,
        )
        (layers, _) = ANSWER.unpack(worker.stdout)
    except (OSError, subprocess.SubprocessError, struct.error) as exc:
        yield warning("pictures", f"the picture worker does not work here: {exc}", _DO_WITHOUT)
        return
    yield from describe(Layer(layers))


def describe(layers: Layer) -> Iterator[CheckResult]:
    """One finding for each layer, whether it holds or not."""
    for layer, wall in _WALLS.items():
        if layer in layers:
            yield ok(wall.check, wall.holds)
        elif layer in _DOUBLED and Layer.CALLS in layers:
            yield ok(wall.check, f"{wall.is_missing} ({wall.advice}); seccomp does")
        else:
            yield warning(wall.check, wall.is_missing, wall.advice)
