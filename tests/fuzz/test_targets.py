"""Every fuzz target on its seeds, on what fuzzers kept, and on short walks from there: values or documented errors."""

from __future__ import annotations

import functools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.corpora import TARGETS, Target, kept

# Targets that run libavformat take milliseconds for an input.
EXAMPLES = {"demuxer": 15}
EXAMPLES_USUALLY = 60


@functools.cache
def inputs(name: str) -> list[bytes]:
    return [*Target.load(name).seeds(), *kept(name)]


@st.composite
def changed(draw: st.DrawFn, name: str) -> bytes:
    """A known input with some bytes replaced, left out, put in or taken from another one."""
    data = draw(st.sampled_from(inputs(name)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 16)))
        other = draw(st.sampled_from(inputs(name)))
        middle = draw(st.binary(max_size=8) | st.just(other[start:end]))
        data = data[:start] + middle + data[end:]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_known_inputs_give_values_or_documented_errors(name: str) -> None:
    target = Target.load(name)
    for data in (b"", *inputs(name)):
        target.run(data)


@pytest.mark.parametrize("name", TARGETS)
def test_any_other_inputs_do_too(name: str) -> None:
    target = Target.load(name)

    @settings(
        max_examples=EXAMPLES.get(name, EXAMPLES_USUALLY),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(changed(name) | st.binary(max_size=200))
    def check(data: bytes) -> None:
        target.run(data)

    check()
