"""Hashes complete files of recordings in a process of its own.

SHA-256 is the dearest piece of a recording, 0.17 ms of a stream-second at 2.5 Mb/s: in the server's process it would be
done beside the loop on the same core wherever there is but one, and at the same rank. A worker that fails costs no
recording anything: its file is hashed here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
from typing import TYPE_CHECKING

from streamd.services.recording.file_hash import file_sha256

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

log = logging.getLogger(__name__)

# A minute at 50 Mb/s takes 0.2 s of a processor that has nothing else to do, and some seconds of one that is full.
ANSWER_TIMEOUT_S = 60.0
# A CMAF header, and the file of a broadcast that has just begun: to ask costs more than to hash.
HERE_BYTES_MAX = 64 * 1024
# After a failure so many files are hashed here before another worker is tried.
FILES_HERE = 60
_DIGEST_LINE_BYTES = 65


class HashProcess:
    """Hashes one file at a time; called by threads that may wait.

    Args:
        command: The worker and its arguments.
        environment: Its whole environment.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = tuple(command)
        self._environment = dict(environment)
        self._turn = threading.Lock()
        self._worker: subprocess.Popen[bytes] | None = None
        self._files_here = 0
        self._is_closed = False

    def file_sha256(self, path: Path) -> str:
        """The hash of a file's bytes, in hexadecimal digits.

        Raises:
            OSError: It cannot be read.
        """
        if path.stat().st_size <= HERE_BYTES_MAX:
            return file_sha256(path)
        with self._turn:
            digest = self._ask(path)
        return digest or file_sha256(path)

    def close(self) -> None:
        """End the worker; what is hashed from here on is hashed in this process."""
        self._is_closed = True
        with self._turn:
            self._end()

    def _ask(self, path: Path) -> str:
        """The worker's answer; empty where there is none."""
        if self._files_here or self._is_closed:
            self._files_here = max(0, self._files_here - 1)
            return ""
        try:
            if self._worker is None:
                self._worker = self._start()
            answer = _answer(self._worker, path)
        except OSError as exc:
            self._end()
            self._files_here = FILES_HERE
            log.warning("hash_worker.failed", extra={"reason": exc.strerror or str(exc)})
            return ""
        return answer.decode() if answer != b"-" else ""

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603  # a program of ours
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=self._environment,
            # A terminal's signals to the server's group are not for it: the server's last files are still to come.
            start_new_session=True,
        )

    def _end(self) -> None:
        worker, self._worker = self._worker, None
        if worker is None:
            return
        worker.kill()
        worker.wait()
        for pipe in (worker.stdin, worker.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _answer(worker: subprocess.Popen[bytes], path: Path) -> bytes:
    """Ask a worker, and read its line.

    Raises:
        OSError: It has ended, takes too long, or says something else.
    """
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(os.fsencode(path.absolute()) + b"\0")
    # One that hangs is ended, which ends its line, too.
    patience = threading.Timer(ANSWER_TIMEOUT_S, worker.kill)
    patience.start()
    try:
        # A line is shorter than what a pipe passes on whole (pipe(7), PIPE_BUF).
        line = os.read(worker.stdout.fileno(), _DIGEST_LINE_BYTES)
    finally:
        patience.cancel()
    if line != b"-\n" and (len(line) != _DIGEST_LINE_BYTES or not line.endswith(b"\n")):
        raise ConnectionError("it has ended")
    return line[:-1]
