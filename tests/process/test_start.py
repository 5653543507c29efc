"""What a start loads: the libraries of a server, and no room of what is switched off."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support.stores import migrated_sqlite

# Each is there for what every server does; one more is a decision, for it is loaded some hundred times a day by
# whoever tests us, and once by everybody who waits for a restart.
LIBRARIES = {
    *("aiohttp", "aiohappyeyeballs", "aiosignal", "attr", "frozenlist", "idna", "multidict", "propcache", "yarl"),
    *("aiosqlite", "sqlalchemy", "greenlet"),
    *("annotated_types", "pydantic", "pydantic_core", "typing_extensions", "typing_inspection"),
    *("argon2", "_argon2_cffi_bindings", "_cffi_backend"),
    *("av", "click", "httptools", "prometheus_client", "standardwebhooks", "structlog", "uvloop"),
}
# Switched off unless the configuration says otherwise, each with what it is made of.
OFF = {
    "moderation": (
        *("streamd.services.moderation", "streamd.process.moderation_rooms", "streamd.process.moderation_doors"),
        *("streamd.doors.web.public.reports", "streamd.doors.web.admin.cases", "streamd.doors.web.models.takedowns"),
    ),
    "storage": ("streamd.services.storage.object_storage", "streamd.services.storage.bucket", "obstore"),
    "webhooks": ("streamd.services.events.outbox", "streamd.services.events.webhooks", "tenacity"),
    "tokens of viewers": ("jwt", "cryptography"),
    "countries": ("maxminddb",),
    "PostgreSQL": ("asyncpg", "sqlalchemy.dialects.postgresql"),
    "steps of a schema that is up to date": ("alembic", "mako"),
    "workers": (
        "streamd.process.workers.picture_worker",
        "streamd.process.workers.export_worker",
        "streamd.media.remux",
    ),
    "tables for people": ("rich", "pygments"),
}
START = """
import asyncio, os, sys
from pathlib import Path
from streamd.process.cli import serve, arguments
from streamd.process import run
from streamd.process.server import Server

async def main():
    server = Server(arguments.load(None, Path(os.environ["DATA_DIR"])))
    await server.start()
    files = {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
    await server.stop()
    for name, file in files.items():
        print(name, file, sep="\\t")

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The modules that a server with its defaults and a database has when it is ready, with their files."""
    data_dir = tmp_path_factory.mktemp("data")
    migrated_sqlite(data_dir / "streamd.db")
    listen = {f"STREAMD_{door}__LISTEN": "127.0.0.1:0" for door in ("RTMP", "HTTP", "ADMIN")}
    own = {name: value for name, value in os.environ.items() if not name.startswith(("STREAMD_", "COV", "COVERAGE"))}
    done = subprocess.run(
        [sys.executable, "-c", START],
        env=own | listen | {"DATA_DIR": str(data_dir)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    return dict(line.split("\t") for line in done.stdout.splitlines())


def test_no_library_is_loaded_that_not_every_server_needs(loaded: dict[str, str]) -> None:
    places = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    libraries = {
        name.partition(".")[0] for name, file in loaded.items() if any(Path(file).is_relative_to(p) for p in places)
    }
    assert {"aiohttp", "av", "sqlalchemy"} <= libraries
    # What finds packages is the installer's.
    finders = ("__editable__", "_distutils_hack", "_virtualenv", "streamd")
    assert {name for name in libraries if not name.startswith(finders)} <= LIBRARIES


@pytest.mark.parametrize("name", OFF)
def test_what_is_off_is_not_loaded(name: str, loaded: dict[str, str]) -> None:
    parts = OFF[name]
    assert [module for module in loaded if any(f"{module}.".startswith(f"{part}.") for part in parts)] == []
    ours = [part for part in parts if part.startswith("streamd")]
    assert [part for part in ours if importlib.util.find_spec(part) is None] == [], "there is no such module"
