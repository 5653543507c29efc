"""The house: five floors, imports point down, never in a circle, and the ground floor touches nothing of the world.

The source is read, not run: every rule names the line that breaks it. A floor is a folder, and a room is a folder in
it; the files that lie loose on a floor are a room together. Imports for the type checker alone are imports too, and so
are those of the ``.pxd`` files, which Cython reads.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1] / "streamd"

FLOORS = ["formats", "media", "services", "doors", "process"]
FORMATS, MEDIA, SERVICES, DOORS, PROCESS = range(5)
# Known on every floor.
BASEMENT = {"__init__.py", "errors.py", "clock.py", "limits.py"}
# What stands above all of it: ``python -m streamd``.
ROOF = {"__main__.py"}

# Rooms of one floor do not know each other, but for these. What lies loose on a floor is there for all its rooms, and
# the process floor is one room.
NEIGHBOURS = {
    ("formats/flv", "formats/codecs"),
    ("formats/rtmp", "formats/amf"),
    ("formats/rtmp", "formats/flv"),
    ("media", "media/intake"),
    ("services/audit", "services/store"),
    ("services/keys", "services/audit"),
    ("services/keys", "services/events"),
    ("services/keys", "services/store"),
    ("services/obs", "services/keys"),
    ("services/operators", "services/audit"),
    ("services/operators", "services/keys"),
    ("services/operators", "services/store"),
    ("services/cluster", "services/keys"),
    ("services/cluster", "services/live"),
    ("services/events", "services/bounds"),
    ("services/live", "services/bounds"),
    ("services/live", "services/events"),
    ("services/live", "services/keys"),
    ("services/moderation", "services/audit"),
    ("services/moderation", "services/events"),
    ("services/moderation", "services/keys"),
    ("services/moderation", "services/live"),
    ("services/moderation", "services/operators"),
    ("services/moderation", "services/playback"),
    ("services/moderation", "services/recording"),
    ("services/moderation", "services/sandbox"),
    ("services/moderation", "services/store"),
    ("services/playback", "services/audit"),
    ("services/playback", "services/events"),
    ("services/playback", "services/keys"),
    ("services/playback", "services/store"),
    ("services/posters", "services/live"),
    ("services/posters", "services/sandbox"),
    ("services/recording", "services/audit"),
    ("services/recording", "services/bounds"),
    ("services/recording", "services/events"),
    ("services/recording", "services/live"),
    ("services/recording", "services/store"),
    ("services/restream", "services/audit"),
    ("services/restream", "services/events"),
    ("services/restream", "services/live"),
    ("services/restream", "services/store"),
    ("services/storage", "services/events"),
    ("services/storage", "services/recording"),
    ("doors/cluster", "doors/delivery"),
    ("doors/delivery", "doors/tls"),
    ("doors/ingest", "doors/tls"),
    ("doors/web", "doors/delivery"),
}

# The two ports of the web share what stands beside them, and nothing of each other.
PORTS = {
    "doors/web/admin/": "streamd.doors.web.public",
    "doors/web/public/": "streamd.doors.web.admin",
}

# libav is loaded, and its types known, in these files only.
AV_FILES = {
    "media/flv_input.py",
    "media/probe.py",
    "media/demux_pyav.py",
    "media/cmaf_header.py",
    "media/picture.py",
    "media/pixels.py",
    "media/remux.py",
    "media/storyboard.py",
    "process/workers/testcard.py",
}

# The test card is a client in a process of its own and paces itself; ruff's banned-api says that it reads no clock.
CLOCK_FILES = {"clock.py", "process/workers/testcard.py"}

# What a format must not touch: clocks, logs, sockets, tasks, randomness, the operating system.
WORLDLY_MODULES = {
    *("asyncio", "concurrent", "contextvars", "io", "logging", "multiprocessing", "os", "pathlib", "random"),
    *("secrets", "select", "selectors", "shutil", "signal", "socket", "ssl", "subprocess", "tempfile", "threading"),
    *("time", "uuid"),
}
SOCKET_MODULES = {"aiohttp", "http", "httptools", "select", "selectors", "socket", "ssl", "urllib", "uvloop"}
CLOCK_METHODS = {"now", "today", "utcnow"}


@dataclass(frozen=True)
class Violation:
    """A line that breaks a rule of the house."""

    path: str
    """Relative to ``streamd/``."""
    line: int
    rule: str

    def __str__(self) -> str:
        return f"streamd/{self.path}:{self.line}: {self.rule}"


@dataclass(frozen=True)
class Import:
    """One line that makes a file depend on a module."""

    path: str
    line: int
    module: str
    """Absolute; for ``from streamd.services import live`` it is ``streamd.services.live``."""


def floor_of(path: str) -> int | None:
    """The floor that a file of ``streamd/`` stands on; below all of them is -1, and None is nowhere."""
    if path in BASEMENT:
        return -1
    if path in ROOF:
        return PROCESS
    top = path.partition("/")[0]
    return FLOORS.index(top) if top in FLOORS else None


def room_of(path: str) -> str:
    """The room that a file is in: its floor's folder, and where it lies in one, the folder in that."""
    parts = path.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]


# -- what a file imports --------------------------------------------------------------------


def imports_of(path: str, source: str) -> Iterator[Import]:
    """Every import in a module or a ``.pxd``."""
    if path.endswith(".pxd"):
        yield from _cimports(path, source)
        return
    package = ["streamd", *path.split("/")[:-1]]
    for node in ast.walk(ast.parse(source, path)):
        if isinstance(node, ast.Import):
            yield from (Import(path, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            if base.partition(".")[0] == "streamd":
                # It may be a module or a name in one; ``file_of`` tells them apart.
                yield from (Import(path, node.lineno, f"{base}.{alias.name}") for alias in node.names)
            else:
                yield Import(path, node.lineno, base)


def _cimports(path: str, source: str) -> Iterator[Import]:
    for number, line in enumerate(source.splitlines(), 1):
        found = re.match(r"\s*(?:from\s+([\w.]+)\s+)?cimport\s+([\w.]+)", line)
        if found:
            yield Import(path, number, found[1] or found[2])


def file_of(module: str, files: Iterable[str]) -> str | None:
    """The file that a module of streamd, or a name in one, stands in; None where it is not one of ``files``."""
    names = module.split(".")[1:]
    for end in range(len(names), -1, -1):
        stem = "/".join(names[:end])
        for candidate in (f"{stem}.py", f"{stem}.pxd", f"{stem}/__init__.py" if stem else "__init__.py"):
            if candidate in files:
                return candidate
    return None


# -- rules of one line ----------------------------------------------------------------------


def violations(path: str, source: str, files: Iterable[str]) -> Iterator[Violation]:
    """Read one file against the rules.

    Args:
        path: Where it stands, relative to ``streamd/``, with forward slashes.
        source: Its text.
        files: All files of the house, to tell a module from a name in one.
    """
    floor = floor_of(path)
    if floor is None:
        yield Violation(path, 1, f"{path} stands on no floor: they are {', '.join(FLOORS)}")
        return
    for each in imports_of(path, source):
        yield from (Violation(path, each.line, rule) for rule in _import_rules(path, floor, each.module, files))
    if path.endswith(".py"):
        for node in ast.walk(ast.parse(source, path)):
            line = getattr(node, "lineno", 1)
            yield from (Violation(path, line, rule) for rule in _other_rules(path, floor, node))


def _import_rules(path: str, floor: int, module: str, files: Iterable[str]) -> Iterator[str]:
    root, *rest = module.split(".")
    if root == "streamd" and rest:
        yield from _floor_rules(path, floor, module, files)
    for port, other in PORTS.items():
        if path.startswith(port) and (module == other or module.startswith(f"{other}.")):
            yield f"imports {other}: what one port tells is none of the other's"
    if root == "av" and path not in AV_FILES:
        yield f"imports av, which only {', '.join(sorted(AV_FILES))} may"
    # The process floor may sleep; that it reads no clock is ruff's banned-api to say.
    if root == "time" and floor < PROCESS and path not in CLOCK_FILES:
        yield "imports time: read time from streamd.clock"
    if floor <= FORMATS and path != "clock.py":
        if root in WORLDLY_MODULES:
            yield f"imports {root}: the ground floor takes bytes and returns values"
        # Cython's own, in a .pxd.
        if root not in sys.stdlib_module_names | {"streamd", "cython", "cpython", "libc"}:
            yield f"imports {root}: the ground floor stands on the standard library alone"
    if floor < SERVICES and root == "asyncio":
        yield "imports asyncio: waiting begins on floor 2"
    if floor < DOORS and root in SOCKET_MODULES:
        yield f"imports {root}: sockets begin on floor 3"


def _floor_rules(path: str, floor: int, module: str, files: Iterable[str]) -> Iterator[str]:
    names = module.split(".")[1:]
    if names[0].startswith("__") and names[0] != "__main__":  # streamd.__version__
        return
    target = file_of(module, files)
    if target in (None, "__init__.py"):
        target = "/".join(names)
    other = floor_of(target)
    if other is None:
        yield f"imports {module}, which stands on no floor"
    elif other > floor:
        yield f"imports {module}: floor {floor} ({_name(floor)}) reaches up to floor {other} ({_name(other)})"
    elif other == floor < PROCESS:
        here, there = room_of(path), room_of(target)
        if here != there and there not in FLOORS and (here, there) not in NEIGHBOURS:
            yield f"imports {module}: {here} and {there} are rooms of one floor and not neighbours"


def _name(floor: int) -> str:
    return FLOORS[floor] if floor >= 0 else "below all"


def _other_rules(path: str, floor: int, node: ast.AST) -> Iterator[str]:
    match node:
        case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith() if floor < SERVICES:
            yield "waits: await begins on floor 2"
        case ast.Attribute(ast.Name("datetime" | "date"), method) if (
            method in CLOCK_METHODS and path not in CLOCK_FILES
        ):
            yield f"reads the clock by {method}: read time from streamd.clock"
        case ast.Attribute(ast.Name("os"), "environ" | "getenv") if floor < PROCESS:
            yield "reads the environment: only the process floor does, the rest is handed its options"


# -- circles --------------------------------------------------------------------------------


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of two or more that reach each other (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def read_house() -> dict[str, str]:
    """Every module and ``.pxd``, by its path relative to ``streamd/``."""
    return {
        path.relative_to(HOUSE).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(HOUSE.rglob("*"))
        if path.suffix in (".py", ".pxd")
    }


@pytest.fixture(scope="module")
def house() -> dict[str, str]:
    return read_house()


@pytest.fixture(scope="module")
def arrows(house: dict[str, str]) -> set[tuple[str, str]]:
    """Which file imports which, a ``.pxd`` counting as the module that it belongs to."""
    found = set()
    for path, source in house.items():
        for each in imports_of(path, source):
            target = file_of(each.module, house) if each.module.split(".")[0] == "streamd" else None
            if target is not None:
                here, there = (name.replace(".pxd", ".py") for name in (path, target))
                # A package's own __init__ names what is in it.
                if here != there:
                    found.add((here, there))
    return found


def test_every_module_keeps_to_its_floor(house: dict[str, str]) -> None:
    found = [str(each) for path, source in house.items() for each in violations(path, source, house)]
    assert not found, "\n".join(["the house is crooked:", *found])


def test_no_files_import_each_other_in_a_circle(arrows: set[tuple[str, str]]) -> None:
    graph: dict[str, set[str]] = defaultdict(set)
    for here, there in arrows:
        graph[here].add(there)
    assert circles(graph) == []


def test_no_rooms_import_each_other_in_a_circle(arrows: set[tuple[str, str]]) -> None:
    graph: dict[str, set[str]] = defaultdict(set)
    for here, there in arrows:
        rooms = room_of(here), room_of(there)
        # Loose files of a floor and the rooms in it are told apart by their files.
        if rooms[0] != rooms[1] and floor_of(here) != PROCESS:
            graph[rooms[0]].add(rooms[1])
    assert circles(graph) == []


def test_every_allowance_is_used(house: dict[str, str], arrows: set[tuple[str, str]]) -> None:
    rooms = {(room_of(here), room_of(there)) for here, there in arrows if floor_of(here) == floor_of(there)}
    assert sorted(NEIGHBOURS - rooms) == []
    imported = {(each.path, each.module.split(".")[0]) for path in house for each in imports_of(path, house[path])}
    assert sorted(AV_FILES - {path for path, root in imported if root == "av"}) == []
    assert sorted(CLOCK_FILES - {path for path, root in imported if root == "time"}) == []


BROKEN = [
    ("formats/rtmp/chunk.py", "from streamd.services.live import registry", "reaches up to floor 2 (services)"),
    ("formats/rtmp/chunk.pxd", "from streamd.media.packet cimport Sample", "reaches up to floor 1 (media)"),
    ("formats/hls/playlist.py", "from ..rtmp import chunk", "not neighbours"),
    ("formats/payload.py", "from streamd.formats.rtmp import chunk", "not neighbours"),
    ("services/keys/key_store.py", "from streamd.services.live import registry", "not neighbours"),
    ("services/keys/key_store.py", "from streamd.process import server", "reaches up to floor 4 (process)"),
    (
        "services/live/registry.py",
        "if TYPE_CHECKING:\n    from ...doors.web import pages",
        "reaches up to floor 3 (doors)",
    ),
    ("services/live/registry.py", "import streamd.cellar", "stands on no floor"),
    ("doors/web/public/app.py", "from streamd.doors.web.admin.guards import TokenGate", "none of the other's"),
    ("doors/web/admin/api.py", "import streamd.doors.web.public", "none of the other's"),
    ("attic/__init__.py", "", "stands on no floor"),
    ("services/live/registry.py", "import av", "imports av"),
    ("media/timeline.py", "from av.packet import Packet", "imports av"),
    ("formats/hls/playlist.py", "import time", "read time from streamd.clock"),
    ("services/live/registry.py", "from time import monotonic", "read time from streamd.clock"),
    ("services/live/registry.py", "datetime.now(UTC)", "read time from streamd.clock"),
    ("formats/flv/tag.py", "import logging", "takes bytes and returns values"),
    ("formats/flv/tag.py", "import numpy", "standard library alone"),
    ("media/demux.py", "import asyncio", "waiting begins on floor 2"),
    ("media/demux.py", "async def feed() -> None: ...", "await begins on floor 2"),
    ("services/live/registry.py", "import socket", "sockets begin on floor 3"),
    ("doors/ingest/listener.py", "import os\nos.environ['STREAMD_PORT']", "reads the environment"),
    ("__init__.py", "from streamd.process import server", "reaches up to floor 4 (process)"),
]


@pytest.mark.parametrize(("path", "source", "rule"), BROKEN)
def test_a_broken_rule_is_found_and_named(path: str, source: str, rule: str, house: dict[str, str]) -> None:
    (violation,) = (found for found in violations(path, source, house) if rule in found.rule)
    assert str(violation).startswith(f"streamd/{path}:")
    assert violation.line == max(1, len(source.splitlines()))


SOUND = [
    ("__init__.py", '__version__ = "1"'),
    (
        "formats/rtmp/chunk.py",
        "import struct\nfrom streamd.errors import ChunkError\nfrom streamd.formats.rtmp.message import Message",
    ),
    ("formats/rtmp/chunk.py", "from streamd.formats.payload import Payload"),
    ("formats/hls/playlist.py", "from datetime import datetime\nfrom fractions import Fraction"),
    ("media/probe.py", "import av\nfrom streamd.formats.flv import tag\nfrom streamd.media.packet import Track"),
    (
        "services/live/stream.py",
        "import asyncio\nfrom streamd.media.packager import segmenter\nasync def run() -> None: ...",
    ),
    (
        "doors/ingest/protocol.py",
        "from streamd.formats.rtmp.connection import ServerConnection\nfrom streamd.services.keys import service",
    ),
    ("process/server.py", "import os\nfrom streamd.doors.web import port\nos.environ['HOME']"),
]


@pytest.mark.parametrize(("path", "source"), SOUND)
def test_what_the_design_allows_is_no_violation(path: str, source: str, house: dict[str, str]) -> None:
    assert list(violations(path, source, house)) == []


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
