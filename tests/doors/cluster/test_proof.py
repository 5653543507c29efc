from __future__ import annotations

import pytest

from streamd.doors.cluster.proof import CLOCKS_APART_S_MAX, Checked, Secret

SECRET = Secret(b"sixteen bytes or more")
NOW_S = 1_790_000_000


def test_a_proof_holds_for_what_it_was_made_for() -> None:
    field = SECRET.prove("a", NOW_S, "POST", "/node/v1/act", b"body")
    assert SECRET.check(field, NOW_S + 5, "POST", "/node/v1/act", b"body") == Checked("a", 5)


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [("GET", "/node/v1/act", b"body"), ("POST", "/node/v1/yield", b"body"), ("POST", "/node/v1/act", b"other")],
)
def test_it_holds_for_nothing_else(method: str, target: str, body: bytes) -> None:
    field = SECRET.prove("a", NOW_S, "POST", "/node/v1/act", b"body")
    assert SECRET.check(field, NOW_S, method, target, body) is None


def test_another_node_another_secret_and_another_time_are_refused() -> None:
    field = SECRET.prove("a", NOW_S, "GET", "/feed/v1/anna?from=0")
    scheme, _, seconds, code = field.split(" ")
    for wrong in (
        f"{scheme} b {seconds} {code}",
        f"{scheme} a {int(seconds) + 1} {code}",
        f"{scheme} a {seconds} {code[:-1]}",
        "",
        "Bearer x",
        field + " ",
        field.upper(),
    ):
        assert SECRET.check(wrong, NOW_S, "GET", "/feed/v1/anna?from=0") is None
    assert Secret(b"another secret here").check(field, NOW_S, "GET", "/feed/v1/anna?from=0") is None


def test_clocks_may_be_an_hour_apart_and_not_more_than_two() -> None:
    field = SECRET.prove("a", NOW_S, "GET", "/")
    for apart_s, is_good in ((3600, True), (-3600, True), (CLOCKS_APART_S_MAX + 1, False)):
        assert (SECRET.check(field, NOW_S + apart_s, "GET", "/") is not None) is is_good


def test_the_secret_is_not_shown() -> None:
    assert "sixteen" not in repr(SECRET)
