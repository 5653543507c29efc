"""Takes every right that its work does not need from a process, before it reads hostile bytes.

Each layer stands for itself: where a kernel lacks one, the others hold, and ``Sandbox.lock`` names them.
"""

from __future__ import annotations

from streamd.services.sandbox.layer import Layer
from streamd.services.sandbox.sandbox import Sandbox

__all__ = ["Layer", "Sandbox"]
