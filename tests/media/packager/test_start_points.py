from __future__ import annotations

import pytest

from streamd.media.packager.start_points import WITHOUT_SYNC_MS, StartPoints


def test_what_a_decoder_can_begin_with_is_a_start_and_what_it_cannot_is_none_beside_it() -> None:
    starts = StartPoints()
    assert starts.is_start(is_sync=True, time_ms=5_000)
    assert not starts.is_start(is_sync=False, time_ms=6_000)
    assert starts.is_start(is_sync=True, time_ms=9_000)
    assert not starts.is_start(is_sync=False, time_ms=9_000 + WITHOUT_SYNC_MS - 1)


def test_without_one_a_recovery_point_is() -> None:
    starts = StartPoints()
    assert starts.is_start(is_sync=False, time_ms=0)
    assert starts.is_start(is_sync=True, time_ms=1_000)
    for time_ms in (1_000 + WITHOUT_SYNC_MS, 2_000 + WITHOUT_SYNC_MS):
        assert starts.is_start(is_sync=False, time_ms=time_ms)


@pytest.mark.parametrize("time_ms", [0, 3_600_000])
def test_behind_a_leap_it_is_too(time_ms: int) -> None:
    starts = StartPoints()
    starts.is_start(is_sync=True, time_ms=60_000)
    assert starts.is_start(is_sync=False, time_ms=time_ms)
