"""Publishes a test picture to a server from a process of its own, as ffmpeg would."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
from typing import TYPE_CHECKING

from streamd.process.workers.testcard import Order
from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator


class RunningPublisher:
    """A broadcast on its way."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def stop(self) -> int:
        """End the broadcast as an encoder's stop button does."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.wait()

    def kill(self) -> None:
        """End it without a goodbye."""
        self.process.kill()
        self.process.wait()

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        return self.process.wait(timeout_s)


@contextlib.contextmanager
def publish(rtmp_url: str, stream_key: str, **order: object) -> Iterator[RunningPublisher]:
    """Broadcast until the block is left; ``order`` are fields of ``streamd.process.workers.testcard.Order``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "streamd.process.workers.testcard"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    values = dataclasses.asdict(Order(rtmp_url, stream_key, **order))  # type: ignore[arg-type]
    process.stdin.write(json.dumps(values).encode() + b"\n")
    process.stdin.close()
    publisher = RunningPublisher(process)
    try:
        yield publisher
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                publisher.kill()
