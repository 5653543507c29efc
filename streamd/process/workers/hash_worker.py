"""Hashes files of recordings, behind everything that is about live media.

It is ``python -m streamd.process.workers.hash_worker``, and ``recording.hash_process`` starts it: paths come over
standard input, each with a NUL behind it, and a line goes out for each: the SHA-256, or ``-`` where the file cannot be
read. It ends with its input. It loads hashlib and little else: 12 MB.
"""

from __future__ import annotations

import os
from pathlib import Path

from streamd.services.recording.file_hash import file_sha256

# The loop that takes publishers' media goes first where there is one processor for both. No further back than this: a
# machine that is full of publishers hashes 300 MB/s in what is left of a core, and nine hundred of them make that.
NICENESS = 5
_PATHS_BYTES = 64 * 1024


def main() -> None:
    """Hash until the input ends."""
    os.nice(NICENESS)
    waiting = b""
    while data := os.read(0, _PATHS_BYTES):
        *paths, waiting = (waiting + data).split(b"\0")
        for path in paths:
            try:
                answer = file_sha256(Path(os.fsdecode(path)))
            except OSError:
                answer = "-"
            os.write(1, answer.encode() + b"\n")


if __name__ == "__main__":
    main()
