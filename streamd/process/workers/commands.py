"""The commands that start the workers, and the environments that they get.

They stand apart from the workers, which load libav, decoders and models: the server starts them and has none of that.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# -P: a directory that we were started in, and that others may write to, is no place to find modules.
_PYTHON: Final = (sys.executable, "-P", "-m")
PICTURE_COMMAND: Final = (*_PYTHON, "streamd.process.workers.picture_worker")
EXPORT_COMMAND: Final = (*_PYTHON, "streamd.process.workers.export_worker")
HASH_COMMAND: Final = (*_PYTHON, "streamd.process.workers.hash_worker")
TESTCARD_COMMAND: Final = (*_PYTHON, "streamd.process.workers.testcard")
SIGHT_COMMAND: Final = (*_PYTHON, "streamd.process.workers.sight_worker")

# A Python process needs these of our environment to start. The rest may hold secrets, ours and other programs'.
WORKER_VARIABLES: Final = ("LD_LIBRARY_PATH", "LD_PRELOAD", "PATH", "PYTHONHOME", "PYTHONPATH", "SYSTEMROOT")
# Threads of libraries, begun before the sandbox is locked, would be outside of half of it.
ONE_THREAD: Final = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
}


def worker_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """All of a worker's environment: it is found where we were found, and knows nothing else.

    Args:
        environ: Ours.
    """
    environment = {name: environ[name] for name in WORKER_VARIABLES if name in environ}
    places = (str(Path(__file__).parents[3]), environment.get("PYTHONPATH", ""))
    return environment | {"PYTHONPATH": os.pathsep.join(filter(None, places))}


def sight_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """All of the environment of what looks at pictures.

    Args:
        environ: Ours.
    """
    return worker_environment(environ) | ONE_THREAD
