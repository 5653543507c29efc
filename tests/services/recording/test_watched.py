from __future__ import annotations

import pytest

from streamd.clock import ManualClock
from streamd.services.recording import watched
from streamd.services.recording.watched import WATCHED_S, Watched


def test_somebody_watches_for_a_moment_after_each_request() -> None:
    clock = ManualClock()
    seen = Watched(clock)
    assert "rec_a" not in seen
    seen.note("rec_a")
    clock.advance(WATCHED_S)
    assert "rec_a" in seen
    seen.note("rec_a")
    clock.advance(WATCHED_S + 1)
    assert "rec_a" not in seen


def test_those_that_were_asked_for_longest_ago_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "WATCHED_MAX", 2)
    seen = Watched(ManualClock())
    for each in ("rec_a", "rec_b", "rec_a", "rec_c"):
        seen.note(each)
    assert [each in seen for each in ("rec_a", "rec_b", "rec_c")] == [True, False, True]
