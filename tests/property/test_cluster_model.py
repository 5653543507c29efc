"""Claim, lease, epoch, revocation and fail-over over messages that are lost, late and twice (issue: at most one owner).

``python -m tests.support.cluster_model 1000000`` runs a million steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamd.services.cluster import kv_directory, wire_bus
from streamd.services.cluster.kv_directory import KvDirectory
from streamd.services.cluster.permit import Permit
from tests.support.cluster_model import run_model

if TYPE_CHECKING:
    from streamd.services.cluster.entries import NodeEntry, StreamEntry


@given(st.integers(0, 2**32))
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_at_most_one_node_owns_a_channel_and_nothing_revoked_is_shown_past_its_promise(seed: int) -> None:
    cluster = run_model(seed, 3000)
    # The model does something.
    assert cluster.owned > 0
    assert cluster.claims > 50


async def _free_at_once(directory: KvDirectory, entry: StreamEntry) -> bool:
    return True


async def _fenced_at_once(directory: KvDirectory, node: NodeEntry) -> bool:
    return True


FAULTS = {
    "an owner that is silent is not fenced": (KvDirectory, "_is_fenced", _free_at_once),
    "a node that is told to be gone is not fenced": (KvDirectory, "fence", _fenced_at_once),
    "a deaf node finds others gone": (kv_directory, "ECHO_SHARE", float("inf")),
    "a node that was stopped believes that it missed nothing": (Permit, "note_gap", lambda *_: None),
    "nobody waits for the grace of a lease": (wire_bus, "GRACE_S", -10.0),
}


@pytest.mark.parametrize("fault", ["an owner that is silent is not fenced"])
def test_the_model_finds_a_directory_that_breaks_it(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, broken = FAULTS[fault]
    monkeypatch.setattr(owner, name, broken)
    with pytest.raises(AssertionError):
        for seed in range(20):
            run_model(seed, 20_000)
