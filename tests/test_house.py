"""The house: five floors, imports point down, and the ground floor touches nothing of the world.

The source is read, not run: every rule names the line that breaks it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1] / "streamd"

FLOOR_NAMES = ["formats", "media line", "services", "doors", "process"]
FLOORS = {
    0: {
        *("__init__", "memory", "payload", "errors", "amf", "amf0", "amf3", "proxy_protocol"),
        *("rtmp", "flv", "cmaf", "hls"),
    },
    1: {"clock", "media", "packager", "sandbox"},
    2: {"bounds", "live", "keys", "events", "metrics", "history"},
    3: {"tls", "ingest", "delivery", "web", "outgoing"},
    4: {
        *(
            "allocator",
            "config",
            "options",
            "data_dir",
            "doctor",
            "log",
            "resources",
            "memory_relief",
            "loop_watch",
            "service_manager",
            "server",
            "process",
        ),
        *("cli", "demo", "picture_worker", "testcard", "admin_client", "__main__"),
    },
}
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
PROCESS = 4

# Rooms of one floor do not know each other, but for these; the process floor is one room.
NEIGHBOURS = {
    ("payload", "memory"),
    ("flv", "memory"),
    ("rtmp", "payload"),
    ("flv", "payload"),
    ("cmaf", "payload"),
    ("proxy_protocol", "errors"),
    ("amf", "errors"),
    ("amf0", "errors"),
    ("amf0", "amf"),
    ("amf0", "amf3"),
    ("amf3", "errors"),
    ("amf3", "amf"),
    ("rtmp", "errors"),
    ("rtmp", "amf"),
    ("rtmp", "amf0"),
    ("rtmp", "amf3"),
    ("rtmp", "flv"),
    ("flv", "errors"),
    ("flv", "amf"),
    ("flv", "amf0"),
    ("cmaf", "errors"),
    ("hls", "errors"),
    ("media", "clock"),
    ("packager", "clock"),
    ("packager", "media"),
    ("live", "bounds"),
    ("live", "keys"),
    ("live", "metrics"),
    ("live", "events"),
    ("keys", "metrics"),
    ("keys", "events"),
    ("events", "bounds"),
    ("events", "keys"),
    ("events", "metrics"),
    ("history", "metrics"),
    ("web", "delivery"),
    ("ingest", "tls"),
    ("delivery", "tls"),
}

# The two ports of the web share what stands beside them, and nothing of each other.
PORTS = {"web/admin/": "streamd.web.public", "web/public/": "streamd.web.admin"}

# libav is loaded, and its types known, in these files only.
AV_FILES = {
    *("media/flv_input.py", "media/probe.py", "media/cmaf_header.py", "media/demux_pyav.py", "media/picture.py"),
    *("demo.py", "testcard.py"),
}

# The test card is a client in a process of its own and paces itself; a new SQLite file is opened in a thread, which
# sleeps between tries. ruff's banned-api says that neither reads a clock.
CLOCK_FILES = {"clock.py", "testcard.py", "keys/sqlite.py"}

# What a format must not touch: clocks, logs, sockets, tasks, randomness, the operating system.
WORLDLY_MODULES = {
    *("asyncio", "concurrent", "contextvars", "io", "logging", "multiprocessing", "os", "pathlib", "random"),
    *(
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
    ),
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


def violations(path: str, source: str) -> Iterator[Violation]:
    """Read one module against the rules.

    Args:
        path: Where it stands, relative to ``streamd/``, with forward slashes.
        source: Its text.
    """
    room = path.partition("/")[0].removesuffix(".py")
    floor = FLOOR_OF.get(room)
    if floor is None:
        yield Violation(path, 1, f"{room} stands on no floor: name it in FLOORS")
        return
    for node in ast.walk(ast.parse(source, path)):
        line = getattr(node, "lineno", 1)
        for module in _imports(path, node):
            yield from (Violation(path, line, rule) for rule in _import_rules(path, room, floor, module))
        yield from (Violation(path, line, rule) for rule in _other_rules(path, floor, node))


def _imports(path: str, node: ast.AST) -> Iterator[str]:
    """Absolute names of the modules that an import statement may load."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        package = ["streamd", *path.split("/")[:-1]]
        parents = package[: len(package) - node.level + 1] if node.level else []
        base = ".".join([*parents, *([node.module] if node.module else [])])
        # "from streamd import live" loads a room, "from streamd.live import registry" a module of one.
        yield from (f"{base}.{alias.name}" for alias in node.names) if base == "streamd" else (base,)


def _import_rules(path: str, room: str, floor: int, module: str) -> Iterator[str]:
    root, *rest = module.split(".")
    if root == "streamd":
        yield from _floor_rules(room, floor, rest[0])
    for port, other in PORTS.items():
        if path.startswith(port) and (module == other or module.startswith(f"{other}.")):
            yield f"imports {other}: what one port tells is none of the other's"
    if root == "av" and path not in AV_FILES:
        yield f"imports av, which only {', '.join(sorted(AV_FILES))} may"
    # The process floor may sleep; that it reads no clock is ruff's banned-api to say.
    if root == "time" and floor < PROCESS and path not in CLOCK_FILES:
        yield "imports time: read time from streamd.clock"
    if floor == 0 and root in WORLDLY_MODULES:
        yield f"imports {root}: the ground floor takes bytes and returns values"
    if floor == 0 and root not in sys.stdlib_module_names | {"streamd"}:
        yield f"imports {root}: the ground floor stands on the standard library alone"
    if floor < 2 and root == "asyncio":
        yield "imports asyncio: waiting begins on floor 2"
    if floor < 3 and root in SOCKET_MODULES:
        yield f"imports {root}: sockets begin on floor 3"


def _floor_rules(room: str, floor: int, other: str) -> Iterator[str]:
    if other.startswith("__") and other != "__main__":  # streamd.__version__
        return
    if other not in FLOOR_OF:
        yield f"imports streamd.{other}, which stands on no floor"
    elif FLOOR_OF[other] > floor:
        yield (
            f"imports streamd.{other}: floor {floor} ({FLOOR_NAMES[floor]})"
            f" reaches up to floor {FLOOR_OF[other]} ({FLOOR_NAMES[FLOOR_OF[other]]})"
        )
    elif FLOOR_OF[other] == floor < PROCESS and other != room and (room, other) not in NEIGHBOURS:
        yield f"imports streamd.{other}: {room} and {other} are rooms of one floor and not neighbours"


def _other_rules(path: str, floor: int, node: ast.AST) -> Iterator[str]:
    match node:
        case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith() if floor < 2:
            yield "waits: await begins on floor 2"
        case ast.Attribute(ast.Name("datetime" | "date"), method) if (
            method in CLOCK_METHODS and path not in CLOCK_FILES
        ):
            yield f"reads the clock by {method}: read time from streamd.clock"
        case ast.Attribute(ast.Name("os"), "environ" | "getenv") if floor < PROCESS:
            yield "reads the environment: only the process floor does, the rest is handed its options"


def test_every_module_keeps_to_its_floor() -> None:
    found = [
        str(violation)
        for path in sorted(HOUSE.rglob("*.py"))
        for violation in violations(path.relative_to(HOUSE).as_posix(), path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(["the house is crooked:", *found])


BROKEN = [
    ("rtmp/chunk.py", "from streamd.live import registry", "reaches up to floor 2 (services)"),
    ("rtmp/chunk.py", "import streamd.clock", "reaches up to floor 1 (media line)"),
    ("flv/tag.py", "from ..rtmp import chunk", "not neighbours"),
    ("keys/store.py", "from streamd.live import registry", "not neighbours"),
    ("keys/store.py", "from streamd import server", "reaches up to floor 4 (process)"),
    ("live/registry.py", "if TYPE_CHECKING:\n    from ..web import pages", "reaches up to floor 3 (doors)"),
    ("live/registry.py", "import streamd.cellar", "stands on no floor"),
    ("web/public/app.py", "from streamd.web.admin.guards import TokenGate", "none of the other's"),
    ("web/admin/api.py", "import streamd.web.public", "none of the other's"),
    ("attic/__init__.py", "", "attic stands on no floor"),
    ("live/registry.py", "import av", "imports av"),
    ("media/timeline.py", "from av.packet import Packet", "imports av"),
    ("hls/playlist.py", "import time", "read time from streamd.clock"),
    ("live/registry.py", "from time import monotonic", "read time from streamd.clock"),
    ("live/registry.py", "datetime.now(UTC)", "read time from streamd.clock"),
    ("flv/tag.py", "import logging", "takes bytes and returns values"),
    ("flv/tag.py", "import numpy", "standard library alone"),
    ("media/demux.py", "import asyncio", "waiting begins on floor 2"),
    ("media/demux.py", "async def feed() -> None: ...", "await begins on floor 2"),
    ("live/registry.py", "import socket", "sockets begin on floor 3"),
    ("ingest/listener.py", "import os\nos.environ['STREAMD_PORT']", "reads the environment"),
    ("__init__.py", "from streamd import server", "reaches up to floor 4 (process)"),
]


@pytest.mark.parametrize(("path", "source", "rule"), BROKEN)
def test_a_broken_rule_is_found_and_named(path: str, source: str, rule: str) -> None:
    (violation,) = (found for found in violations(path, source) if rule in found.rule)
    assert str(violation).startswith(f"streamd/{path}:")
    assert violation.line == max(1, len(source.splitlines()))


SOUND = [
    ("__init__.py", '__version__ = "1"'),
    (
        "rtmp/chunk.py",
        "import struct\nfrom streamd.errors import ChunkError\nfrom streamd.rtmp.message import Message",
    ),
    ("hls/playlist.py", "from datetime import datetime\nfrom fractions import Fraction"),
    ("media/probe.py", "import av\nfrom streamd.flv import tag\nfrom streamd.media.packet import Track"),
    (
        "live/stream.py",
        "import asyncio\nfrom streamd.packager import segmenter\nasync def run() -> None: ...",
    ),
    (
        "ingest/protocol.py",
        "from streamd.rtmp.connection import ServerConnection\nfrom streamd.keys import service",
    ),
    (
        "server.py",
        "import os\nfrom streamd import __version__, config\nfrom streamd.web import app\nos.environ",
    ),
]


@pytest.mark.parametrize(("path", "source"), SOUND)
def test_what_the_design_allows_is_no_violation(path: str, source: str) -> None:
    assert list(violations(path, source)) == []
