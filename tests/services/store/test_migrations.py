from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from streamd.services.store.migrations import head
from streamd.services.store.migrations.steps import SCRIPT_LOCATION

START = """\
import asyncio, sys
from streamd.services.keys.key_store import KeyStore

async def start():
    database = KeyStore(sys.argv[1])
    await database.start()
    await database.close()

asyncio.run(start())
print(*sys.modules)
"""


def loaded_by_a_start(path: Path) -> set[str]:
    command = [sys.executable, "-c", START, f"sqlite+aiosqlite:///{path}"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split())


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
