"""Refusals: each counted, and one line a second for all."""

from __future__ import annotations

import logging

import pytest

from streamd.clock import ManualClock
from streamd.services.playback.refusal import Refusal
from streamd.services.playback.refusal_log import LINE_INTERVAL_S, RefusalLog


def test_one_line_a_second_that_counts_all(caplog: pytest.LogCaptureFixture) -> None:
    clock, counted = ManualClock(), list[str]()
    told = RefusalLog(clock, counted.append)
    with caplog.at_level(logging.INFO):
        for _ in range(1000):
            told.refused(Refusal.MALFORMED)
        told.noted(Refusal.EXPIRED.error())
        assert len(caplog.records) == 1
        clock.advance(LINE_INTERVAL_S)
        told.tell()
        told.tell()
        clock.advance(LINE_INTERVAL_S)
        told.tell()
    lines = [record.__dict__["refused"] for record in caplog.records]
    assert lines == [{"malformed": 1}, {"malformed": 999, "expired": 1}]
    assert len(counted) == 1001
