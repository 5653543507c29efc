from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from streamd.services.events.event import Event, EventType, rfc3339, unheard

AT = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)


class TestPayload:
    """Standard Webhooks 1.0.0, "Payload structure"."""

    def test_it_has_type_timestamp_and_data_and_nothing_that_could_be_left_out(self) -> None:
        event = Event(EventType.STREAM_ENDED, AT, {"stream": "alice", "codecs": ["avc1"], "label": None})
        assert event.body() == (
            b'{"type":"stream.ended","timestamp":"2026-01-02T03:04:05.000678Z",'
            b'"data":{"stream":"alice","codecs":["avc1"],"label":null}}'
        )

    @pytest.mark.parametrize("text", ["é", "\udc80", '"\n', "\x00", "𝄞"])
    def test_any_text_of_a_publisher_can_be_written(self, text: str) -> None:
        body = Event(EventType.KEY_ISSUED, AT, {"label": text}).body()
        assert body.isascii()
        assert json.loads(body)["data"]["label"] == text

    @pytest.mark.parametrize("event_type", EventType)
    def test_types_are_hierarchical_and_full_stop_delimited(self, event_type: EventType) -> None:
        noun, verb = event_type.split(".")
        assert noun.isalpha()
        assert verb.isalpha()


def test_instants_are_told_in_utc() -> None:
    assert rfc3339(datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == "2025-12-31T22:00:00.000000Z"


def test_nobody_can_be_told() -> None:
    unheard(Event(EventType.KEY_ISSUED, AT))
