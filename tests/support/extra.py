"""Packages of extras that a test needs."""

from __future__ import annotations

import importlib.util

import pytest

# What looks at pictures; pdqhash is built from source, and may be what is missing.
_LOOKING = ("numpy", "pdqhash", "onnxruntime", "nudenet", "cv2", "rapidocr")
_missing = [name for name in _LOOKING if importlib.util.find_spec(name) is None]

needs_moderation = pytest.mark.skipif(
    bool(_missing), reason=f"needs {', '.join(_missing)} of pip install 'streamd[moderation]'"
)
