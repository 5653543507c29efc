from __future__ import annotations

import logging

import pytest

from streamd.clock import ManualClock
from streamd.doors.web.refusals import (
    FAULTS_LOGGED,
    FAULTS_LOGGED_PER_KIND,
    OUTCOMES_LOGGED_PER_SOURCE,
    REFUSALS_LOGGED,
    REFUSALS_LOGGED_PER_SOURCE,
    Refusal,
    Refusals,
)
from streamd.services.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def refusals(metrics: Metrics, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> Refusals:
    caplog.set_level(logging.DEBUG)
    return Refusals("public", clock, metrics)


def counted(metrics: Metrics, reason: Refusal) -> float:
    labels = {"port": "public", "reason": reason.value}
    return metrics.registry.get_sample_value("streamd_requests_refused_total", labels) or 0.0


class TestRefusals:
    def test_all_are_counted_and_a_few_told(
        self, refusals: Refusals, metrics: Metrics, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(1000):
            refusals.note(Refusal.MALFORMED, "192.0.2.1")
        assert counted(metrics, Refusal.MALFORMED) == 1000
        assert len(caplog.records) == REFUSALS_LOGGED_PER_SOURCE
        assert {record.message for record in caplog.records} == {"request.refused"}

    def test_of_many_addresses_no_more_are_told(self, refusals: Refusals, caplog: pytest.LogCaptureFixture) -> None:
        for number in range(1000):
            refusals.note(Refusal.ENCODED, f"192.0.2.{number}")
        assert len(caplog.records) == REFUSALS_LOGGED

    def test_the_next_minute_has_lines_again(
        self, refusals: Refusals, clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(2):
            for _ in range(100):
                refusals.note(Refusal.ENCODED, "192.0.2.1")
            clock.advance(61)
        assert len(caplog.records) == 2 * REFUSALS_LOGGED_PER_SOURCE

    def test_a_limit_of_the_configuration_counts_as_one(self, refusals: Refusals, metrics: Metrics) -> None:
        refusals.note(Refusal.TOO_MANY, "192.0.2.1")
        refusals.note(Refusal.HOST, "192.0.2.1")
        value = metrics.registry.get_sample_value
        assert value("streamd_limit_hits_total", {"limit": "requests_per_second_max"}) == 1

    @pytest.mark.parametrize("reason", Refusal)
    def test_each_reason_is_there_from_the_start(self, reason: Refusal, refusals: Refusals, metrics: Metrics) -> None:
        labels = {"port": "public", "reason": reason.value}
        assert metrics.registry.get_sample_value("streamd_requests_refused_total", labels) == 0


class TestOutcomes:
    def test_one_key_or_address_has_a_few_lines(self, refusals: Refusals) -> None:
        assert [refusals.may_tell("a") for _ in range(100)].count(True) == OUTCOMES_LOGGED_PER_SOURCE
        assert refusals.may_tell("b")


class TestFaults:
    def test_the_first_of_a_kind_have_a_traceback(self, refusals: Refusals, caplog: pytest.LogCaptureFixture) -> None:
        for _ in range(100):
            refusals.tell_fault(ValueError("x"), "GET", "/watch/{name}")
        assert len(caplog.records) == FAULTS_LOGGED_PER_KIND
        assert all(record.exc_info for record in caplog.records)

    def test_of_all_kinds_there_are_not_many(self, refusals: Refusals, caplog: pytest.LogCaptureFixture) -> None:
        for number in range(100):
            refusals.tell_fault(ValueError("x"), "GET", f"/{number}")
        assert len(caplog.records) == FAULTS_LOGGED
