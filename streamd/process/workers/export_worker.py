"""Makes one progressive MP4 of a recording, confined to that.

It is ``python -m streamd.process.workers.export_worker``, and ``recording.exports`` starts it: standard input, and
another descriptor where the sound is apart, are pipes with fragmented MP4; standard output is the file, which can be
read, too.
It opens nothing, and a recording whose bytes break libavformat has the time, the memory and the file of one export.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path

from streamd.errors import ExportError
from streamd.media.remux import remux, remux_own
from streamd.services.sandbox import Sandbox

# The index of 12 hours has 3.3 million samples: 300 MB here and as much in what is read; Python and libav are 150 MB
# of addresses.
ADDRESS_SPACE_BYTES_MAX = 3 * 1024**3
OPEN_FILES_MAX = 8
# Behind everything that is about live media, and behind pictures.
NICENESS = 15
OOM_SCORE_ADJ = Path("/proc/self/oom_score_adj")
OOM_SCORE_ADJ_MAX = "1000"

_STDOUT = 1
_SOUND = 3
# Exit statuses of the process.
OK, NO_MEDIA, NO_ROOM, NO_MEMORY = 0, 10, 11, 12


def main(arguments: list[str]) -> int:
    """Write the file.

    Args:
        arguments: Bytes that it may have, seconds of processor time, how many inputs there are, and of a second one the
            descriptor.

    Returns:
        How it ended.
    """
    file_bytes, cpu_s, inputs, *sound = map(int, arguments)
    if sound and sound[0] != _SOUND:
        os.dup2(sound[0], _SOUND)
    os.chdir("/")
    with contextlib.suppress(OSError):
        OOM_SCORE_ADJ.write_text(OOM_SCORE_ADJ_MAX, encoding="ascii")
    os.nice(NICENESS)
    remux_own(_STDOUT)
    Sandbox(
        memory_bytes=ADDRESS_SPACE_BYTES_MAX,
        cpu_s=cpu_s,
        open_files=OPEN_FILES_MAX,
        file_bytes=file_bytes,
        inputs=inputs - 1,
    ).lock()
    sources = [io.FileIO(descriptor, "r") for descriptor in (0, _SOUND)[:inputs]]
    try:
        remux(sources, _STDOUT)
    except ExportError:
        return NO_MEDIA
    except MemoryError:
        return NO_MEMORY
    except OSError:
        return NO_ROOM
    return OK


if __name__ == "__main__":
    sys.stdout = sys.stderr = None
    os._exit(main(sys.argv[1:]))
