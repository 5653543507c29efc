"""The walk through the house in docs/how-it-works.md, held against the house: what it names is where it says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "how-it-works.md").read_text("utf-8")
# `Timeline.place` (`media/timeline.py`)
NAMED = re.compile(r"`(\w+(?:\.\w+)*)`\s+\(`([\w/]+\.py)`\)")
FILES = sorted(set(re.findall(r"`([\w/]+/[\w/]+\.(?:py|js|pxd))`", PAGE)))
STEPS = sorted(set(NAMED.findall(PAGE)))
WALKS = ["One frame", "One key", "One playlist request", "One revocation", "One limit"]
STEPS_MIN = 3
HOUSE = ROOT / "streamd"
ROOMS = sorted(path.parent.relative_to(HOUSE).as_posix() for path in HOUSE.glob("*/*/__init__.py"))
MODERATION = sorted(path.parent.name for path in (HOUSE / "services" / "moderation").glob("*/__init__.py"))


def rooms_on_map(text: str, floor: str, start: str) -> set[str]:
    """The folders that a map names on one floor: from the floor's own name to that of the next."""
    line = text.partition(start.format(floor))[2]
    others = "|".join(path.parent.name for path in HOUSE.glob("*/__init__.py"))
    line = re.split(rf"^(?:\| `|    )(?:{others})/", line, maxsplit=1, flags=re.MULTILINE)[0].partition("\n\n")[0]
    return set(re.findall(r"(?<![\w/])(\w+)/(?!\w)", line))


def defined_in(module: ast.Module) -> set[str]:
    """Functions, classes and constants of a module, and what its classes have: ``Timeline.place``."""
    names = set()
    for node in module.body:
        names |= _names_of(node)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{name}" for each in node.body for name in _names_of(each)}
    return names


def _names_of(node: ast.stmt) -> set[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
        case _:
            return set()


def place_of(path: str) -> Path:
    """Where a file lies that the page names: paths of ``streamd/`` stand without it."""
    within = ROOT / "streamd" / path
    return within if within.exists() else ROOT / path


@pytest.mark.parametrize("path", FILES)
def test_a_file_that_is_named_is_there(path: str) -> None:
    assert place_of(path).is_file()


@pytest.mark.parametrize(("name", "path"), STEPS)
def test_a_step_is_taken_where_the_walk_says(name: str, path: str) -> None:
    assert name in defined_in(ast.parse(place_of(path).read_text("utf-8")))


@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_names_its_steps(walk: str) -> None:
    section = PAGE.partition(f"## {walk}\n")[2].partition("\n## ")[0]
    assert len(NAMED.findall(section)) >= STEPS_MIN


@pytest.mark.parametrize("floor", sorted({room.partition("/")[0] for room in ROOMS}))
def test_both_maps_are_the_tree(floor: str) -> None:
    rooms = {room.partition("/")[2] for room in ROOMS if room.startswith(f"{floor}/")}
    readme = (ROOT / "README.md").read_text("utf-8")
    assert rooms_on_map(readme, floor, "\n    {}/ ") == rooms
    named = rooms_on_map(PAGE, floor, "\n| `{}/` |")
    assert named == rooms | (set(MODERATION) if floor == "services" else set())
