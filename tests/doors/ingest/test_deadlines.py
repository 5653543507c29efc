from __future__ import annotations

import pytest

from streamd.doors.ingest.deadlines import VERDICT_EXTRA_S, IngestOptions, no_media, overdue
from streamd.formats.rtmp.state import State
from streamd.services.live.publisher import EndReason

OPTIONS = IngestOptions(handshake_timeout_s=10, publish_timeout_s=20, media_timeout_s=15, verify_timeout_s=5)


@pytest.mark.parametrize(
    ("state", "open_s", "stay_s", "limit"),
    [
        (State.HANDSHAKE, 10.1, 0.0, "handshake_timeout_s"),
        (State.CONNECTING, 10.1, 0.0, "handshake_timeout_s"),
        (State.CONNECTED, 100.0, 20.1, "publish_timeout_s"),
        (State.PUBLISH_PENDING, 100.0, 5.1 + VERDICT_EXTRA_S, ""),
    ],
)
def test_each_state_has_its_time(state: State, open_s: float, stay_s: float, limit: str) -> None:
    failed = overdue(state, open_s=open_s, stay_s=stay_s, options=OPTIONS)
    assert failed is not None
    assert failed.limit == limit


@pytest.mark.parametrize(
    ("state", "stay_s"),
    [
        (State.HANDSHAKE, 0.0),
        (State.CONNECTING, 0.0),
        (State.CONNECTED, 20.0),
        (State.PUBLISH_PENDING, 5.0 + VERDICT_EXTRA_S),
        (State.PUBLISHING, 10_000.0),
        (State.CLOSED, 10_000.0),
    ],
)
def test_within_its_time_it_goes_on(state: State, stay_s: float) -> None:
    assert overdue(state, open_s=10.0, stay_s=stay_s, options=OPTIONS) is None


def test_a_verdict_that_never_comes_is_a_fault_of_ours() -> None:
    failed = overdue(State.PUBLISH_PENDING, open_s=100, stay_s=100, options=OPTIONS)
    assert failed is not None
    assert failed.end_reason is EndReason.INTERNAL_ERROR


def test_media_that_is_missed() -> None:
    failed = no_media(OPTIONS)
    assert (failed.limit, failed.reason) == ("media_timeout_s", "no media for 15 s")
    assert failed.end_reason is EndReason.MEDIA_TIMEOUT
