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
    from streamd.services.cluster.entries import StreamEntry


@given(st.integers(0, 2**32))
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_at_most_one_node_owns_a_channel_and_nothing_revoked_is_shown_past_its_promise(seed: int) -> None:
    cluster = run_model(seed, 3000)
    # The model does something.
    assert cluster.owned > 0
    assert cluster.claims > 50


async def _free_at_once(directory: KvDirectory, entry: StreamEntry) -> bool:
    return True


@pytest.mark.parametrize(
    ("seed", "faults", "finding"),
    [
        # Each of these two makes up for the other.
        (
            1,
            [(KvDirectory, "_is_fenced", _free_at_once), (kv_directory, "ECHO_SHARE", float("inf"))],
            "is .*'s at step",
        ),
        (5, [(Permit, "note_gap", lambda *_: None)], "may show"),
        (0, [(wire_bus, "GRACE_S", -10.0)], "may show"),
    ],
    ids=["owners are not fenced", "a stopped node has missed nothing", "nobody waits for a lease's grace"],
)
def test_the_model_finds_what_breaks_it(
    seed: int, faults: list[tuple[object, str, object]], finding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, name, broken in faults:
        monkeypatch.setattr(owner, name, broken)
    with pytest.raises(AssertionError, match=finding):
        run_model(seed, 20_000)
