"""Recordings that are in the index, and nowhere else."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from streamd.clock import ManualClock
from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.recorder import Recorder, RecorderOptions
from streamd.services.recording.records import RecordingMode, RecordingRecord, RecordingState
from tests.support.recordings import STARTED_AT

if TYPE_CHECKING:
    from pathlib import Path

    from streamd.services.keys.key_store import KeyStore

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def recording_id(number: int) -> str:
    """An id; a greater number is a later one."""
    return f"rec_01kjmg3m00aaaaaaaaaaaaaa{_DIGITS[number // 32]}{_DIGITS[number % 32]}"


def record_of(number: int, user: str = "alice", **facts: Any) -> RecordingRecord:
    """A recording that is ready, unless the facts say otherwise."""
    known: dict[str, Any] = {
        "state": RecordingState.READY,
        "started_at": STARTED_AT + timedelta(hours=number),
        "path": f"{user}/2026/03/01/{recording_id(number)}",
        "duration_ms": 90_000,
        "size_bytes": 1_000_000,
    }
    return RecordingRecord(id=recording_id(number), user=user, **(known | facts))


def recorder_of(
    store: KeyStore, directory: Path, mode: RecordingMode = RecordingMode.ALL, clock: ManualClock | None = None
) -> Recorder:
    """A recorder over an index that is empty."""
    return Recorder(RecorderOptions(mode, directory), RecordingIndex(store.database), clock or ManualClock())
