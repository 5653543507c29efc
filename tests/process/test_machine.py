from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streamd.clock import ManualClock
from streamd.formats import payload
from streamd.process import machine as machine_module
from streamd.process.config import Config
from streamd.process.config.sections import LimitsConfig
from streamd.process.machine import Machine, wanted_descriptors
from streamd.services.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1024 * 1024


@pytest.fixture
def with_descriptors(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Config], Machine]:
    """Makes a machine that has so many file descriptors."""

    def make(descriptors: int, config: Config) -> Machine:
        monkeypatch.setattr(machine_module, "raise_descriptor_limit", lambda: descriptors)
        return Machine(config, ManualClock(), Metrics())

    return make


def limited(**limits: int) -> Config:
    return Config(limits=LimitsConfig(**limits))


def test_there_are_as_many_connections_as_the_operator_allows(
    with_descriptors: Callable[[int, Config], Machine],
) -> None:
    config = limited(connections_max=7, viewer_connections_max=9)
    descriptors = with_descriptors(100_000, config).descriptors
    assert (descriptors.encoders, descriptors.viewers) == (7, 9)


def test_descriptors_are_kept_for_handshakes_where_there_is_tls(
    with_descriptors: Callable[[int, Config], Machine],
) -> None:
    assert with_descriptors(100_000, Config()).descriptors.handshakes == 0
    values = {"rtmp": {"tls_listen": ":443", "tls_cert": "x", "tls_key": "y"}}
    with_tls = with_descriptors(100_000, Config.model_validate(values))
    assert with_tls.descriptors.handshakes == Config().limits.tls_handshakes_max


def test_a_machine_with_few_descriptors_is_warned_of(
    with_descriptors: Callable[[int, Config], Machine], caplog: pytest.LogCaptureFixture
) -> None:
    small, config = with_descriptors(1024, Config()), Config()
    small.tell(config)
    (record,) = caplog.records
    assert record.getMessage() == "descriptors.short"
    assert record.__dict__["descriptors"] == 1024
    assert record.__dict__["viewer_connections_max"] == small.descriptors.viewers < config.limits.viewer_connections_max
    wanted = wanted_descriptors(config)
    assert f"LimitNOFILE={wanted}" in record.__dict__["advice"]
    enough = with_descriptors(wanted, config).descriptors
    assert (enough.encoders, enough.viewers) == (config.limits.connections_max, config.limits.viewer_connections_max)
    one_less = with_descriptors(wanted - 1, config).descriptors
    assert one_less.viewers < config.limits.viewer_connections_max


def test_it_is_warned_of_once_for_what_is_so(
    with_descriptors: Callable[[int, Config], Machine], caplog: pytest.LogCaptureFixture
) -> None:
    machine, config = with_descriptors(1024, Config()), Config()
    for _ in range(3):
        machine.configure(config)
        machine.tell(config)
    assert len(caplog.records) == 1
    fewer = limited(viewer_connections_max=10_000, connections_max=10)
    machine.configure(fewer)
    machine.tell(fewer)
    assert len(caplog.records) == 2


def test_limits_that_fit_are_no_reason_to_warn(
    with_descriptors: Callable[[int, Config], Machine], caplog: pytest.LogCaptureFixture
) -> None:
    config = limited(connections_max=10, viewer_connections_max=10)
    machine = with_descriptors(1024, Config())
    machine.configure(config)
    machine.tell(config)
    assert (machine.descriptors.encoders, machine.descriptors.viewers) == (10, 10)
    assert not caplog.records


def test_the_metrics_tell_of_its_memory() -> None:
    metrics = Metrics()
    machine = Machine(limited(memory_bytes_max=123 * MIB), ManualClock(), metrics)
    value = metrics.registry.get_sample_value
    assert value("streamd_memory_ceiling_bytes") == 123 * MIB
    machine.look()
    assert (value("streamd_memory_used_bytes") or 0) > MIB
    assert value("streamd_held_bytes", {"standing": "stranger"}) == 0
    machine.configure(limited(memory_bytes_max=124 * MIB))
    assert value("streamd_memory_ceiling_bytes") == 124 * MIB


def test_slabs_that_are_kept_for_the_next_ones_are_in_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "kept_bytes", lambda: 3 * MIB)
    assert Machine(Config(), ManualClock(), Metrics()).accounts.stored_bytes == 3 * MIB
