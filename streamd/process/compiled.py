"""The modules of streamd that run compiled, and the reason why the others do not.

A wheel's build leaves ``build.json`` beside this file: which modules it compiled, or why it could not. In a source
tree, where no such file is, a module with a ``.pxd`` beside it is one that could be compiled.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Literal

PACKAGE = Path(__file__).parents[1]
BUILD_FILE = Path(__file__).with_name("build.json")
"""The report of the wheel's build: ``{"modules": [names], "fault": text, "chosen": bool}``."""

FROM_SOURCE = "it runs from a source tree"
OTHER_PYTHON = "the compiled modules beside them are for another Python"


@dataclass(frozen=True, slots=True)
class Compiled:
    """How much of the way of a frame is compiled."""

    is_compiled: Literal[True, False, "partly"]
    python_modules: tuple[str, ...]
    """Those that could be compiled and run as Python, by their full names."""
    why: str
    """Why these run as Python: a line for people, which may be the compiler's; empty where none does."""
    is_fault: bool
    """Whether nobody wanted it so: a compilation failed, or its modules cannot be loaded."""


def look(build_file: Path = BUILD_FILE, package: Path = PACKAGE) -> Compiled:
    """See what is compiled; no module is imported but the packages that modules are in.

    Args:
        build_file: The report of the build; a missing one means a source tree.
        package: The folder ``streamd``, whose ``.pxd`` files tell where there is no such file.
    """
    if build_file.is_file():
        build = json.loads(build_file.read_text("utf-8"))
        modules, why, is_fault = build["modules"], _telling_line(build["fault"]), not build["chosen"]
    else:
        pxds = sorted(path.relative_to(package.parent) for path in package.rglob("*.pxd"))
        sources = [path.with_suffix(".py") for path in pxds]
        modules = [".".join(path.with_suffix("").parts) for path in sources if (package.parent / path).exists()]
        why, is_fault = FROM_SOURCE, False
    python = tuple(name for name in modules if not _is_extension(name))
    if not python:
        return Compiled(True, (), "", False)
    if not why:
        # The build compiled all of them, and Python passes their extension modules by.
        why, is_fault = OTHER_PYTHON, True
    return Compiled("partly" if len(python) < len(modules) else False, python, why, is_fault)


def _is_extension(module: str) -> bool:
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.origin is not None and spec.origin.endswith(tuple(EXTENSION_SUFFIXES))


def _telling_line(fault: str) -> str:
    """The line of a compiler's last ones that names the fault: the first that says "error", else the last."""
    lines = [line.strip() for line in fault.splitlines() if line.strip()]
    return next((line for line in lines if "error:" in line), lines[-1] if lines else "")
