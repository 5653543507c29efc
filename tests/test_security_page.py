"""What docs/security.md promises is held by tests, and it says which."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
PAGE = (TOP / "docs/security.md").read_text("utf-8")
TEST = re.compile(r"`(tests/[\w./-]+)`")


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def promises() -> list[str]:
    bullets = re.findall(r"^- (.+(?:\n  .+)*)", section("Where the bounds are"), re.MULTILINE)
    rows = re.findall(r"^\| (?!promise|---)(.+) \|$", section("What holds, and the test that holds it"), re.MULTILINE)
    assert bullets
    assert rows
    return [*bullets, *rows]


@pytest.mark.parametrize("promise", promises(), ids=lambda promise: promise[:40])
def test_each_promise_names_tests_that_are_there(promise: str) -> None:
    named = TEST.findall(promise)
    assert named
    for path in named:
        assert (TOP / path).exists(), path


def test_every_file_that_it_names_has_a_test_in_it() -> None:
    for path in TEST.findall(PAGE):
        found = TOP / path
        files = found.rglob("test_*.py") if found.is_dir() else [found]
        assert any(path.endswith(".toml") or "def test_" in file.read_text("utf-8") for file in files), path
