from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from streamd.services.recording.recording_id import is_recording_id, new_recording_id

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_ids_sort_by_time_and_none_is_like_another() -> None:
    ids = [new_recording_id(AT + timedelta(milliseconds=step)) for step in range(500)]
    assert sorted(ids) == ids
    assert len({each[-16:] for each in ids}) == len(ids)
    assert all(map(is_recording_id, ids))


def test_the_time_is_where_a_ulid_has_it() -> None:
    # 2016-07-30T23:54:10.259Z is 01ARYZ6S41 in the specification's example.
    at = datetime.fromtimestamp(1469918176.385, UTC)
    assert new_recording_id(at).upper().startswith("REC_01ARYZ6S41")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rec_",
        "rec_../../../../etc/passwd",
        "REC_01ARYZ6S41TSV4RRFFQ69G5FAV",
        "rec_81aryz6s41tsv4rrffq69g5fav",
        "x" * 9999,
    ],
)
def test_other_texts_are_none(text: str) -> None:
    assert not is_recording_id(text)
