"""Packages of the extra ``moderation``, which look at pictures: half a gigabyte that not every developer has.

A test that needs them is skipped where one is missing; where ``CI=true`` says that all are there, it runs and fails.
"""

from __future__ import annotations

import importlib.util
import os

import pytest

# pdqhash is built from source, and may be what is missing.
LOOKING = ("numpy", "pdqhash", "onnxruntime", "nudenet", "cv2", "rapidocr")


def _missing(*names: str) -> list[str]:
    if os.environ.get("CI") == "true":
        return []
    return [name for name in names if importlib.util.find_spec(name) is None]


def _reason(missing: list[str]) -> str:
    return f"needs {', '.join(missing)} of pip install 'streamd[moderation]'"


def require(*names: str) -> None:
    """Skip the module that is being imported where a package is missing, and not in CI."""
    if missing := _missing(*names):
        pytest.skip(_reason(missing), allow_module_level=True)


needs_moderation = pytest.mark.skipif(bool(_missing(*LOOKING)), reason=_reason(_missing(*LOOKING)))
