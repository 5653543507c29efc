"""What is told of a build: from a folder that stands for an installed one."""

from __future__ import annotations

import json
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from typing import TYPE_CHECKING

import pytest

from streamd.process.compiled import FROM_SOURCE, OTHER_PYTHON, Compiled, look

if TYPE_CHECKING:
    from pathlib import Path

MODULES = ["told_of.first", "told_of.second"]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of two modules, which Python finds."""
    folder = tmp_path / "told_of"
    folder.mkdir()
    for name in ("__init__", "first", "second"):
        (folder / f"{name}.py").write_text("", "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "told_of", raising=False)
    return folder


def built(package: Path, fault: str = "", *, is_chosen: bool = False) -> Path:
    note = package / "build.json"
    note.write_text(json.dumps({"modules": MODULES, "fault": fault, "chosen": is_chosen}), "utf-8")
    return note


def compile_module(package: Path, name: str, suffix: str = EXTENSION_SUFFIXES[0]) -> None:
    """Lay an extension module beside its source; it is looked for, never loaded."""
    (package / f"{name}{suffix}").write_bytes(b"")


class TestAWheel:
    def test_of_compiled_modules(self, package: Path) -> None:
        for name in ("first", "second"):
            compile_module(package, name)
        assert look(built(package), package) == Compiled(True, (), "", False)

    def test_without_one_of_them(self, package: Path) -> None:
        compile_module(package, "first")
        assert look(built(package), package) == Compiled("partly", (MODULES[1],), OTHER_PYTHON, True)

    def test_whose_modules_are_for_another_python(self, package: Path) -> None:
        for name in ("first", "second"):
            compile_module(package, name, ".cpython-37-x86_64-linux-gnu.so")
        assert look(built(package), package) == Compiled(False, tuple(MODULES), OTHER_PYTHON, True)

    @pytest.mark.parametrize(
        ("fault", "line"),
        [
            (
                "a.c:1:10: fatal error: Python.h: No such file\nterminated.\nerror: command 'cc' failed",
                "a.c:1:10: fatal",
            ),
            ("error: command 'gcc' failed: No such file or directory\n", "error: command 'gcc' failed"),
            ("warned\nit ended\n\n", "it ended"),
        ],
    )
    def test_that_was_not_compiled_says_the_compilers_telling_line(self, package: Path, fault: str, line: str) -> None:
        found = look(built(package, fault), package)
        assert (found.is_compiled, found.is_fault) == (False, True)
        assert found.why.startswith(line)
        assert "\n" not in found.why

    def test_that_was_to_be_python_is_no_fault(self, package: Path) -> None:
        found = look(built(package, "it was built with STREAMD_COMPILE=0", is_chosen=True), package)
        assert (found.is_compiled, found.is_fault, found.why) == (False, False, "it was built with STREAMD_COMPILE=0")


class TestASourceTree:
    def test_has_its_modules_in_the_files_for_the_compiler(self, package: Path) -> None:
        (package / "second.pxd").write_text("", "utf-8")
        (package / "c_alone.pxd").write_text("", "utf-8")
        assert look(package / "build.json", package) == Compiled(False, (MODULES[1],), FROM_SOURCE, False)
        compile_module(package, "second")
        assert look(package / "build.json", package).is_compiled is True

    def test_of_ours_has_some(self) -> None:
        found = look()
        assert found.is_compiled is True or found.python_modules
