"""Which tests are about modules that are compiled, and so are worth a second run with Python alone.

A module with a ``.pxd`` beside it has two forms, and every test runs with the compiled one. What other modules do is
Python either way. So the tests that import such a module themselves run again without it. What a test is about, it
imports itself; ``tests/support`` makes what else it needs.
"""

from __future__ import annotations

import ast
import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Who loads modules by a name that is not written there may load any.
LOADERS = {"importlib", "pkgutil", "runpy"}
# It tells which form the modules have.
TELLER = "streamd.process.compiled"


@functools.cache
def twins(root: Path) -> frozenset[str]:
    """The modules of the source tree that are compiled, with dots in their names."""
    modules = (path.with_suffix(".py") for path in (root / "streamd").rglob("*.pxd"))
    return frozenset(_name(path, root) for path in modules if path.exists())


@functools.cache
def is_about_a_twin(path: Path, root: Path) -> bool:
    """Whether a file of tests imports a module that is compiled, itself or in those of its folder's helpers."""
    seen, left = set[str](), [_name(path, root)]
    while left:
        name = left.pop()
        file = _file(name, root)
        if name in seen or file is None:
            continue
        seen.add(name)
        imported = set(imports(file))
        if imported & (twins(root) | LOADERS | {TELLER}):
            return True
        left += [each for each in imported if each.startswith("tests.") and not each.startswith("tests.support")]
    return False


def _name(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts)


def _file(name: str, root: Path) -> Path | None:
    path = root.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)


def imports(file: Path) -> Iterator[str]:
    """All that it imports anywhere; of what comes from a package, both the package and what might be a module of it."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)
