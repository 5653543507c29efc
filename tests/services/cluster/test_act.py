from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import ActError
from streamd.services.cluster.act import ACT_BYTES_MAX, Act, ActKind, is_node_name

ACT = Act(ActKind.REVOKE, "k" * 20, "0" * 32, "a", is_written=False)


def changed(**changes: object) -> bytes:
    return json.dumps({**json.loads(ACT.encode()), **changes}).encode()


@pytest.mark.parametrize("kind", list(ActKind))
def test_an_act_comes_back(kind: ActKind) -> None:
    act = Act(kind, "x" * 128, "f" * 32, "node-1")
    assert Act.decode(act.encode()) == act
    assert Act.decode(act.encode(), kind.value) == act


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"[" * 900,
        b"x" * (ACT_BYTES_MAX + 1),
        changed(kind="explode"),
        changed(kind=["revoke"]),
        changed(subject="x" * 129),
        changed(subject="a b"),
        changed(subject=7),
        changed(act_id="0"),
        changed(node="A"),
        changed(node=""),
        changed(is_written=1),
        b'{"kind":"revoke"}',
    ],
)
def test_what_is_no_act_is_an_error(data: bytes) -> None:
    with pytest.raises(ActError):
        Act.decode(data)


def test_an_act_under_the_address_of_another() -> None:
    with pytest.raises(ActError, match="under the address of kick"):
        Act.decode(ACT.encode(), "kick")


@given(st.binary(max_size=80))
def test_any_bytes_are_an_act_or_an_error(data: bytes) -> None:
    with pytest.raises(ActError):
        Act.decode(data)


def test_names_of_nodes() -> None:
    assert is_node_name("a-1")
    assert not any(map(is_node_name, ("", "-a", "A", "a.b", "a" * 64, "a\n")))
