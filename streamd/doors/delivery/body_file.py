"""Bodies that many viewers want, as files in memory: the kernel sends their pages without copying them.

Linux alone has these files (memfd_create(2)); elsewhere bodies are written like all else. Measured on
loopback: a segment of 625 kB costs 125 µs of a core, where a write costs 235.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamd.doors.delivery.answer import Answer

# Below this, what is saved in copying is lost in making the file and in one system call more a viewer.
FILE_BYTES_MIN = 32 * 1024
# A body that has been sent so often will be sent more often: media is asked for by all viewers within seconds.
SENT_BEFORE = 3
# Each is a file descriptor. 64 streams with a crowd and 8 popular bodies each; the rest is written.
FILES_MAX = 512


class BodyFiles:
    """The files of one door's answers. A file lasts as long as its answer, which is as long as the media.

    Args:
        files_max: Open files at most.
    """

    def __init__(self, files_max: int = FILES_MAX) -> None:
        self._files_max = files_max if hasattr(os, "memfd_create") else 0
        self._open = 0

    def find(self, answer: Answer) -> int | None:
        """The file descriptor of a file with the answer's body, from its first byte on; None where it has no file.

        Made when an answer has been sent ``SENT_BEFORE`` times, each of which calls this once.
        """
        if answer.body_file is not None:
            return answer.body_file
        answer.times_sent += 1
        if answer.times_sent <= SENT_BEFORE or self._open >= self._files_max or answer.body_bytes < FILE_BYTES_MIN:
            return None
        try:
            file = os.memfd_create("streamd-media", os.MFD_CLOEXEC)
        except OSError:
            # No file descriptor is left, say. The body is there all the same.
            return None
        try:
            written = os.writev(file, answer.body)
        except OSError:
            written = 0
        if written != answer.body_bytes:
            os.close(file)
            return None
        self._open += 1
        answer.body_file = file
        weakref.finalize(answer, self._close, file)
        return file

    def _close(self, file: int) -> None:
        os.close(file)
        self._open -= 1
