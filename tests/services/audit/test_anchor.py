from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import delete, text

from streamd.clock import ManualClock
from streamd.services.audit.anchor import LOOK_INTERVAL_S, TELL_INTERVAL_S, AuditAnchor, read_anchor
from streamd.services.audit.records import AuditEntry
from streamd.services.audit.verify import verify_log
from streamd.services.keys.key_store import KeyStore
from streamd.services.store.schema import audit
from tests.support.key_house import FragileStore
from tests.support.stored_keys import NOW

pytestmark = pytest.mark.asyncio

ENTRY = AuditEntry(NOW, "alice", "key.revoked")


class Desk:
    """An anchor and what it notes."""

    def __init__(self, store: KeyStore, directory: Path) -> None:
        self.store = store
        self.clock = ManualClock()
        self.path = directory / "audit-anchor.json"
        self.anchor = AuditAnchor(store.database, self.clock, self.path)

    async def add(self) -> None:
        await self.store.audit.append([ENTRY])

    async def look(self) -> int:
        self.clock.advance(LOOK_INTERVAL_S)
        await self.anchor.look()
        return self.noted

    @property
    def noted(self) -> int:
        noted = read_anchor(self.path)
        return 0 if noted is None else noted.sequence


@pytest.fixture
def desk(fragile: FragileStore, tmp_path: Path) -> Desk:
    return Desk(fragile, tmp_path)


async def test_what_is_noted_proves_the_log(desk: Desk) -> None:
    await desk.add()
    assert await desk.look() == 1
    noted = read_anchor(desk.path)
    assert noted == (await verify_log(desk.store.database)).end
    assert desk.path.stat().st_mode & 0o777 == 0o600
    await desk.add()
    assert await desk.look() == 2
    assert noted is not None
    assert (await verify_log(desk.store.database, [noted])).faults == ()


async def test_it_is_not_looked_at_each_time(desk: Desk) -> None:
    await desk.add()
    await desk.look()
    await desk.add()
    await desk.anchor.look()
    assert [desk.noted, await desk.look()] == [1, 2]
    await desk.add()
    await desk.anchor.look(is_last=True)
    assert desk.noted == 3


async def test_the_log_of_the_server_has_it_now_and_then(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        for _ in range(3):
            await desk.add()
            await desk.look()
        desk.clock.advance(TELL_INTERVAL_S)
        await desk.add()
        await desk.look()
        desk.clock.advance(TELL_INTERVAL_S)
        await desk.look()
    told = [record for record in caplog.records if record.getMessage() == "audit.anchored"]
    assert [record.__dict__["sequence"] for record in told] == [1, 4]
    assert told[-1].__dict__["hash"] == (await verify_log(desk.store.database)).end.hash.hex()


async def test_a_log_that_is_shorter_than_it_was_is_said_and_what_was_noted_stays(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.path.write_text(json.dumps({"sequence": 7, "hash": "ab" * 32}))
    desk.anchor = AuditAnchor(desk.store.database, desk.clock, desk.path)
    await desk.add()
    assert await desk.look() == 7
    assert await desk.look() == 7
    assert [record.getMessage() for record in caplog.records] == ["audit.shortened"]


@pytest.mark.parametrize("more", [0, 1])
async def test_a_log_that_was_written_anew_is_said_and_its_end_is_not_noted(
    desk: Desk, caplog: pytest.LogCaptureFixture, more: int
) -> None:
    other = bytes(range(32)).hex()
    for _ in range(2):
        await desk.add()
    desk.path.write_text(json.dumps({"sequence": 2, "hash": other}))
    desk.anchor = AuditAnchor(desk.store.database, desk.clock, desk.path)
    for _ in range(more):
        await desk.add()
    for _ in range(2):
        assert await desk.look() == 2
    noted = read_anchor(desk.path)
    assert noted is not None
    assert noted.hash.hex() == other
    assert [record.getMessage() for record in caplog.records] == ["audit.rewritten"]
    assert (await verify_log(desk.store.database, [noted])).fault_count == 1


async def test_a_log_whose_noted_row_was_taken_out_is_said(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    await desk.add()
    await desk.look()
    await desk.add()
    async with desk.store.database.writing() as connection:
        # Whoever owns the database can do without its triggers.
        await connection.execute(text("DROP TRIGGER audit_refuses_delete"))
        await connection.execute(delete(audit).where(audit.c.sequence == 1))
    assert await desk.look() == 1
    assert [record.getMessage() for record in caplog.records] == ["audit.rewritten"]


async def test_a_disk_that_does_not_take_it_is_said_once(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.path.mkdir()
    await desk.add()
    for _ in range(2):
        await desk.look()
    assert [record.getMessage() for record in caplog.records] == ["audit.unanchored"]
    desk.path.rmdir()
    assert await desk.look() == 1


@pytest.mark.parametrize(
    "written", ["", "{}", '{"sequence": -1, "hash": ""}', '{"sequence": 1, "hash": "XY"}', "nonsense"]
)
async def test_a_file_that_is_not_ours_is_none(tmp_path: Path, written: str) -> None:
    path = tmp_path / "audit-anchor.json"
    path.write_text(written)
    assert read_anchor(path) is None
