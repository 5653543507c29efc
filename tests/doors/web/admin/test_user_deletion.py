"""The deletion of a user over the admin API, as far as it reaches beyond their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streamd.errors import StoreUnavailableError
from streamd.services.recording.records import RecordingRecord, RecordingState
from tests.doors.web.admin.test_operators import House
from tests.support.recordings import RECORDING_ID, STARTED_AT

if TYPE_CHECKING:
    from pathlib import Path

    from streamd.services.keys.key_store import KeyStore

pytestmark = pytest.mark.asyncio


async def test_one_that_came_half_way_is_completed_when_it_is_asked_for_again(
    store: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with House(store, tmp_path).open() as house:
        await house.call("POST", "/api/v1/keys", body={"user": "alice"}, status=201)
        index = house.recorder.index
        record = RecordingRecord(
            RECORDING_ID, "alice", RecordingState.READY, STARTED_AT, f"alice/2026/03/01/{RECORDING_ID}"
        )
        await index.save(record)

        async def away() -> None:
            raise StoreUnavailableError("the database is away")

        with monkeypatch.context() as patch:
            patch.setattr(house.recorder.books, "flush", away)
            await house.call("DELETE", "/api/v1/users/alice", status=503)
        await house.call("DELETE", "/api/v1/users/alice", status=404)
        found = await index.find(RECORDING_ID)
        assert found is not None
        assert found.state is RecordingState.DELETED
