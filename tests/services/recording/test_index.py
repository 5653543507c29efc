from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from streamd.services.keys.key_store import KeyStore
from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.records import RecordingFilter, RecordingState
from tests.support.recorded import record_of
from tests.support.stores import migrated_sqlite

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio


async def test_lists_are_told_of_a_beginning_and_an_end_and_not_of_each_segment(store: KeyStore) -> None:
    index = RecordingIndex(store.database)
    record = record_of(0, state=RecordingState.RECORDING, duration_ms=0)
    await index.save(record)
    assert index.begun_or_ended == 1
    for seconds in range(5):
        await index.save(replace(record, duration_ms=1000 * seconds))
    assert index.begun_or_ended == 1
    await index.save(replace(record, state=RecordingState.READY))
    assert index.begun_or_ended == 2


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({}, "ix_recordings_there_id"),
        ({"is_oldest_first": True}, "ix_recordings_there_id"),
        ({"found": RecordingFilter(user="alice")}, "ix_recordings_there_user_id"),
        ({"found": RecordingFilter(user="alice"), "before": record_of(3).id}, "ix_recordings_there_user_id"),
    ],
)
async def test_a_page_is_read_without_what_was_deleted(tmp_path: Path, asked: dict[str, Any], named: str) -> None:
    # SQLite alone: PostgreSQL reads a table of a few rows whole.
    store = KeyStore(migrated_sqlite(tmp_path / "streamd.db"))
    await store.start()
    index, statements = RecordingIndex(store.database), []
    engine = store.database._reader
    assert engine is not None
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *said: statements.append(said[2:4]))
    await index.page(asked.pop("found", RecordingFilter()), limit=10, **asked)
    async with store.database.reading() as connection:
        plans = [
            str((await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)).all())
            for text, values in statements
            if text.startswith("SELECT recordings")
        ]
    await store.close()
    assert len(plans) == 1
    assert f"USING INDEX {named} " in plans[0] or f"USING INDEX {named}'" in plans[0], plans
    assert "TEMP B-TREE" not in plans[0]
