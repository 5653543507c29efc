from __future__ import annotations

import pytest

from streamd.formats.rtmp.timestamp import unwrap


@pytest.mark.parametrize(
    ("previous_ms", "wire_ms", "unwrapped_ms"),
    [
        (0, 0, 0),
        (0, 33, 33),
        (2**32 - 1, 0, 2**32),
        (2**32, 2**32 - 1, 2**32 - 1),
        (2**32 + 10, 43, 2**32 + 43),
        (7 * 2**32, 2**32 - 5, 7 * 2**32 - 5),
        (0, 2**31 - 1, 2**31 - 1),
        (0, 2**31, -(2**31)),
        (2**31, 0, 0),
        (0, 2**32 - 16, -16),
        (-16, 17, 17),
    ],
)
def test_the_result_is_the_nearest_value_that_the_wire_can_mean(
    previous_ms: int, wire_ms: int, unwrapped_ms: int
) -> None:
    assert unwrap(previous_ms, wire_ms) == unwrapped_ms
