from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.records import RecordingState
from tests.support.recorded import record_of

if TYPE_CHECKING:
    from streamd.services.keys.key_store import KeyStore

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
