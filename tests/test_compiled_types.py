"""What the compiler is told of a class, held against the class: a build finds out too late, and on few machines."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DECLARATIONS = sorted(path for path in (ROOT / "streamd").rglob("*.pxd") if path.with_suffix(".py").exists())


def declared(pxd: str) -> dict[str, set[str]]:
    """Names of attributes by class: ``cdef readonly list pieces``."""
    found: dict[str, set[str]] = {}
    attributes: set[str] = set()
    for line in pxd.splitlines():
        if match := re.match(r"cdef class (\w+)", line):
            attributes = found.setdefault(match[1], set())
        elif (match := re.fullmatch(r"    cdef (?:[\w.:\[\]]+ )+(\w+)", line)) and match[1] != "__weakref__":
            attributes.add(match[1])
    return found


def assigned(module: ast.Module) -> dict[str, set[str]]:
    """Names of attributes by class: fields, and those of ``self`` that are assigned to."""
    found: dict[str, set[str]] = {}
    for owner in (node for node in module.body if isinstance(node, ast.ClassDef)):
        names = found.setdefault(owner.name, set())
        for node in ast.walk(owner):
            match node:
                case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                    names.add(name)
                case ast.AnnAssign(target=ast.Name(id=name)) if node in owner.body:
                    names.add(name)
    return found


@pytest.mark.parametrize("path", DECLARATIONS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_class_has_the_attributes_that_the_compiler_is_told_of(path: Path) -> None:
    classes = declared(path.read_text("utf-8"))
    attributes = assigned(ast.parse(path.with_suffix(".py").read_text("utf-8")))
    assert {name: attributes.get(name) for name in classes} == classes


def test_there_are_classes_to_compile() -> None:
    assert len(DECLARATIONS) > 10


def test_what_is_written_in_c_is_written_in_python_too() -> None:
    c_functions = (ROOT / "streamd" / "formats" / "memory_c.pxd").read_text("utf-8")
    in_c = re.findall(r"^    (?:int|bytes|bytearray|void) (\w+) \"", c_functions, re.MULTILINE)
    module = ast.parse((ROOT / "streamd" / "formats" / "memory.py").read_text("utf-8"))
    assert sorted(in_c) == sorted(node.name for node in module.body if isinstance(node, ast.FunctionDef))
