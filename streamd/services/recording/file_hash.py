"""The SHA-256 of a file that is complete.

A media file is hashed once it is complete, out of the page cache, and not while it grows: a hash beside each part would
give the interpreter up with each, and take it back from the loop.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# A minute at 2.5 Mb/s is 18 reads; a thread that hashes holds no more memory than this.
_READ_BYTES = 1024 * 1024


def file_sha256(path: Path) -> str:
    """The hash of a file's bytes, in hexadecimal digits.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    buffer = bytearray(_READ_BYTES)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while size_bytes := file.readinto(buffer):
            digest.update(view[:size_bytes])
    return digest.hexdigest()
