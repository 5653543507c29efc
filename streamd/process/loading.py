"""Loading what a program is made of, without looking for garbage meanwhile.

Modules make some 200,000 objects that stay, and the collector walks them all again and again while they become more: a
seventh of a server's start, and more of a command's.
"""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Collect no garbage in the block; afterwards it is as it was before."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
