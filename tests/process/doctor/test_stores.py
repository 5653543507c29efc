from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

from streamd.process.doctor.check_result import Verdict
from streamd.process.doctor.stores import check_database
from streamd.services.keys.key_store import KeyStore


def url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


async def _make(path: Path) -> None:
    store = KeyStore(url(path))
    await store.start()
    await store.close()


def test_one_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    assert check_database(url(tmp_path / "streamd.db")).verdict is Verdict.OK
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_well(tmp_path: Path) -> None:
    asyncio.run(_make(tmp_path / "streamd.db"))
    assert check_database(url(tmp_path / "streamd.db")).message.endswith("answers")


def test_one_whose_schema_is_newer_or_older(tmp_path: Path) -> None:
    path = tmp_path / "streamd.db"
    asyncio.run(_make(path))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        ((newest,),) = connection.execute("SELECT version_num FROM alembic_version")
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
        finding = check_database(url(path))
        assert (finding.verdict, "newer streamd (schema 9999)" in finding.message) == (Verdict.FAILED, True)
        assert "run that version" in finding.advice
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        connection.commit()
    assert newest != "0001"
    finding = check_database(url(path))
    assert (finding.verdict, "the next start brings up to date" in finding.message) == (Verdict.OK, True)


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    asyncio.run(_make(tmp_path / "streamd.db"))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert check_database(url(tmp_path / "streamd.db")).verdict is Verdict.OK
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_advice_is_for_the_database_that_it_is(tmp_path: Path) -> None:
    (tmp_path / "streamd.db").write_bytes(b"nonsense" * 1000)
    assert "password" not in check_database(url(tmp_path / "streamd.db")).advice
    assert "password" in check_database("postgresql+asyncpg://ann:hunter22@127.0.0.1:1/streamd").advice


def test_one_that_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "streamd.db").write_bytes(b"nonsense" * 1000)
    finding = check_database(url(tmp_path / "streamd.db"))
    assert (finding.verdict, "damaged" in finding.message) == (Verdict.FAILED, True)


def test_one_that_does_not_answer_is_told_without_its_password() -> None:
    finding = check_database("postgresql+asyncpg://ann:hunter22@127.0.0.1:1/streamd")
    assert (finding.verdict, "hunter22" in repr(finding)) == (Verdict.FAILED, False)
