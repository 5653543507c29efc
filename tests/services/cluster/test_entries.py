from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from streamd.errors import ClusterUnavailableError
from streamd.media.packager.ladder import Form
from streamd.media.packager.timing import PlaylistTiming
from streamd.services.cluster.entries import (
    ENTRY_BYTES_MAX,
    NodeEntry,
    Role,
    StreamEntry,
    Tenure,
    decode_node,
    decode_stream,
    encode,
)
from streamd.services.live.restart_record import StreamRecord

RECORD = StreamRecord(
    "anna", "key", datetime(2026, 1, 1, tzinfo=UTC), PlaylistTiming(2, 500), ("main",), ("audio0",), 3, Form.MUXED
)
NODE = NodeEntry("a", "0" * 16, "http://10.0.0.1:8082", Role.EDGE, "eu", "0.1", 1, is_draining=True, streams=2)
STREAM = StreamEntry("anna", "a", "0" * 16, 7, Tenure.LIVE, "key", 5, 200_000_000, codecs=("avc1",), record=RECORD)


def test_entries_come_back() -> None:
    assert decode_node("a", encode(NODE)) == NODE
    assert decode_stream("anna", encode(STREAM)) == STREAM


def test_an_entry_under_another_name_is_none() -> None:
    assert decode_node("b", encode(NODE)) is None
    assert decode_stream("berta", encode(STREAM)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"x" * (ENTRY_BYTES_MAX + 1),
        b"x" * 1_000_000,
        encode(STREAM).replace(b'"epoch":7', b'"epoch":-1'),
        encode(STREAM).replace(b'"epoch":7', b'"epoch":99999999999999999999'),
        encode(STREAM).replace(b'"live"', b'"asleep"'),
        encode(STREAM).replace(b"0000000000000000", b"zz"),
        encode(STREAM).replace(b"200000000", b"20000000000000"),
    ],
)
def test_what_is_none_is_passed_over(data: bytes) -> None:
    assert decode_stream("anna", data) is None
    assert decode_node("anna", data) is None


def test_what_is_too_large_is_not_written() -> None:
    with pytest.raises(ClusterUnavailableError):
        encode(replace(NODE, region="x" * ENTRY_BYTES_MAX))
