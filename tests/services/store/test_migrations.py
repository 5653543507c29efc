from __future__ import annotations

import compileall
import shutil
import subprocess
import sys
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from streamd.services.store.migrations import head
from streamd.services.store.migrations.steps import SCRIPT_LOCATION

PROGRAM = Path(__file__).parents[3]
START = """\
import asyncio, sys
import streamd
from streamd.services.keys.key_store import KeyStore

async def start():
    database = KeyStore(sys.argv[1])
    await database.start()
    await database.close()

asyncio.run(start())
print(*sys.modules, streamd.__path__[0])
"""


def loaded_by_a_start(path: Path, program: Path = PROGRAM) -> set[str]:
    command = [sys.executable, "-c", START, f"sqlite+aiosqlite:///{path}"]
    done = subprocess.run(command, cwd=program, capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_the_last_file_is_the_last_step() -> None:
    config = Config()
    config.set_main_option("script_location", SCRIPT_LOCATION)
    assert ScriptDirectory.from_config(config).get_heads() == [head()]


def test_a_database_that_is_up_to_date_waits_for_no_library_of_steps(tmp_path: Path) -> None:
    path = tmp_path / "streamd.db"
    assert "alembic" in loaded_by_a_start(path)
    again = loaded_by_a_start(path)
    assert {"alembic", "mako", "sqlalchemy.dialects.postgresql"} & again == set()
    assert "sqlalchemy.dialects.sqlite" in again


def test_steps_whose_sources_were_left_out_are_taken_from_their_bytecode(tmp_path: Path) -> None:
    shutil.copytree(PROGRAM / "streamd", tmp_path / "streamd", ignore=shutil.ignore_patterns("static", "__pycache__"))
    steps = tmp_path / "streamd" / "services" / "store" / "migrations"
    assert compileall.compile_dir(steps, quiet=2, legacy=True)
    for source in steps.rglob("*.py"):
        source.unlink()
    path = tmp_path / "streamd.db"
    assert {"alembic", str(tmp_path / "streamd")} <= loaded_by_a_start(path, tmp_path)
    assert "alembic" not in loaded_by_a_start(path, tmp_path)
