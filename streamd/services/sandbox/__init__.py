"""Takes from a process whatever its work does not need, before it reads what somebody hostile may have written.

Each layer stands for itself: where a kernel lacks one, the others hold, and ``Sandbox.lock`` says which do.
"""

from __future__ import annotations

from streamd.services.sandbox.layer import Layer
from streamd.services.sandbox.sandbox import Sandbox

__all__ = ["Layer", "Sandbox"]
