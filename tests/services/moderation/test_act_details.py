"""The facts of an act in its row of the audit log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.services.moderation.act_details import TEXT_LENGTH_MAX, ActDetails, words_of

_TEXTS = st.text(max_size=TEXT_LENGTH_MAX)
DETAILS = st.builds(
    ActDetails,
    category=_TEXTS,
    source_type=_TEXTS,
    territorial_scope=st.lists(st.text(min_size=1, max_size=2), max_size=5).map(tuple),
    automated_detection=st.booleans(),
    automated_decision=_TEXTS,
    ground=_TEXTS,
    outcome=_TEXTS,
    seconds=st.none() | st.integers(0, 10**9),
)


@given(DETAILS, st.text())
def test_what_is_written_is_read_whatever_the_words_behind_it(details: ActDetails, words: str) -> None:
    text = details.text(words)
    assert ActDetails.parse(text) == details
    assert words_of(text) == words.rstrip().lstrip()


def test_words_that_look_like_details_count_nowhere() -> None:
    text = ActDetails(category="VIOLENCE").text('{"category":"SCAMS_AND_FRAUD"}')
    assert ActDetails.parse(text).category == "VIOLENCE"
    assert words_of(text) == '{"category":"SCAMS_AND_FRAUD"}'


@pytest.mark.parametrize(
    "reason",
    [
        "",
        "just words",
        "{",
        "[1]",
        '{"category":7,"seconds":"x","territorial_scope":"DE"}',
        "{" * 10_000,
        '{"seconds":-1}',
    ],
)
def test_a_row_without_details_has_none(reason: str) -> None:
    assert ActDetails.parse(reason) == ActDetails()


def test_a_time_of_more_than_a_century_counts_as_none() -> None:
    assert ActDetails.parse('{"seconds":1e300}').seconds is None


def test_the_words_of_the_commission_for_yes_are_understood() -> None:
    assert ActDetails.parse('{"automated_detection":"Yes"}').automated_detection
    assert not ActDetails.parse('{"automated_detection":"No"}').automated_detection
