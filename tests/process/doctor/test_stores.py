from __future__ import annotations

import asyncio
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


def test_one_that_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "streamd.db").write_bytes(b"nonsense" * 1000)
    finding = check_database(url(tmp_path / "streamd.db"))
    assert (finding.verdict, "damaged" in finding.message) == (Verdict.FAILED, True)


def test_one_that_does_not_answer_is_told_without_its_password() -> None:
    finding = check_database("postgresql+asyncpg://ann:hunter22@127.0.0.1:1/streamd")
    assert (finding.verdict, "hunter22" in repr(finding)) == (Verdict.FAILED, False)
