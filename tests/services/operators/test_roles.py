from __future__ import annotations

import pytest

from streamd.services.operators.roles import RIGHTS, Right, Role, roles_with


def test_an_admin_has_every_right() -> None:
    assert RIGHTS[Role.ADMIN] == set(Right)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_nobody_else_has_operators(role: Role) -> None:
    assert Right.OPERATORS not in RIGHTS[role]


def test_everybody_reads() -> None:
    assert roles_with(Right.READ) == [*Role]


def test_an_auditor_only_reads() -> None:
    assert RIGHTS[Role.AUDITOR] == {Right.READ, Right.READ_KEYS}


def test_a_moderator_takes_down_and_has_no_keys() -> None:
    assert Right.TAKEDOWN in RIGHTS[Role.MODERATOR]
    assert not {Right.KEYS, Right.READ_KEYS, Right.USERS} & RIGHTS[Role.MODERATOR]


def test_an_operator_has_keys_users_and_streams_and_takes_nothing_down() -> None:
    assert {Right.KEYS, Right.USERS, Right.STREAMS} <= RIGHTS[Role.OPERATOR]
    assert Right.TAKEDOWN not in RIGHTS[Role.OPERATOR]
