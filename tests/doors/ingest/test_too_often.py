"""A good key that goes live again and again: its holder is told, and the log is not filled."""

from __future__ import annotations

import logging

import pytest

from streamd.errors import KeyUsedTooOftenError
from streamd.services.keys.admission import Denial
from tests.support.ingest import IngestRoom, settle

pytestmark = pytest.mark.asyncio


async def test_is_refused_in_words_and_leaves_no_line(caplog: pytest.LogCaptureFixture) -> None:
    room = IngestRoom()
    room.keys.error = KeyUsedTooOftenError(Denial.TOO_OFTEN, "good")
    with caplog.at_level(logging.INFO):
        peer = room.ask_to_publish()
        await settle(lambda: peer.transport.is_eof_written)
        peer.protocol.connection_lost(None)
    (answer,) = [answer for answer in peer.receive() if answer.name == "onStatus"]
    assert answer.code == "NetStream.Publish.Rejected"
    assert "too often within a minute" in str(answer.values)
    assert caplog.records == []
    assert (
        room.metrics.registry.get_sample_value("streamd_publish_denied_total", {"reason": "too_often"}),
        room.metrics.registry.get_sample_value("streamd_publishes_total", {"result": "denied"}),
    ) == (1, 1)
