from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from streamd.formats.hls.attribute_list import date_time_msec, decimal_seconds, quoted_string, unix_ms


@pytest.mark.parametrize(
    ("ticks", "timescale", "text"),
    [
        (0, 90_000, "0.00000"),
        (45_000, 90_000, "0.50000"),
        (30_030, 90_000, "0.33367"),
        (1, 90_000, "0.00001"),
        (1, 48_000, "0.00002"),
        (1, 200_000, "0.00001"),  # exactly half a step rounds up
        (1, 200_001, "0.00000"),
        (180_000, 90_000, "2.00000"),
        (2**63, 1, "9223372036854775808.00000"),
        (10, 1, "10.00000"),
        (333, 1000, "0.33300"),
    ],
)
def test_seconds_are_exact_decimals(ticks: int, timescale: int, text: str) -> None:
    assert decimal_seconds(ticks, timescale) == text


def test_a_string_is_quoted() -> None:
    assert quoted_string("main/part1.m4s") == '"main/part1.m4s"'


@pytest.mark.parametrize("value", ['a"b', "a\nb", "a\rb"])
def test_what_no_quoted_string_can_hold_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="quoted-string"):
        quoted_string(value)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00.000Z"),
        (datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "2026-12-31T23:59:59.999Z"),
    ],
)
def test_dates_have_milliseconds_and_are_utc(moment: datetime, text: str) -> None:
    assert date_time_msec(unix_ms(moment)) == text


def test_milliseconds_since_1970_round_down() -> None:
    assert unix_ms(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=1999)) == 1
