"""Rights and roles: each call of the admin API needs one right, and each role has some."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Role(StrEnum):
    """The task of an operator, which says what they may call."""

    ADMIN = "admin"
    """All, and the operators."""
    OPERATOR = "operator"
    """Keys, users and streams."""
    MODERATOR = "moderator"
    """Content: streams that are to end, recordings that are to go, cases and blocks. No keys."""
    AUDITOR = "auditor"
    """Reads."""


class Right(StrEnum):
    """The right that a call needs."""

    READ = "read"
    """To see streams, users, recordings, figures and the audit log."""
    READ_KEYS = "read_keys"
    """To see the list of keys, which has no secrets, and addresses of their last uses."""
    KEYS = "keys"
    """To issue, import, rotate, revoke and delete keys."""
    USERS = "users"
    """To suspend, restore, limit, list and delete users."""
    STREAMS = "streams"
    """To begin and end recordings of live streams."""
    KICK = "kick"
    """To close a live stream, whose key stays good."""
    RECORDINGS = "recordings"
    """To change titles, visibility and pins of recordings."""
    TAKEDOWN = "takedown"
    """To take down what is shown: recordings, cases, blocks and evidence are decided with it."""
    OPERATORS = "operators"
    """To add, change and revoke operators. A call that names no right needs this one."""


_ALL: Final = frozenset(Right)

RIGHTS: Final[Mapping[Role, frozenset[Right]]] = MappingProxyType(
    {
        Role.ADMIN: _ALL,
        Role.OPERATOR: frozenset(
            {
                Right.READ,
                Right.READ_KEYS,
                Right.KEYS,
                Right.USERS,
                Right.STREAMS,
                Right.KICK,
                Right.RECORDINGS,
            }
        ),
        Role.MODERATOR: frozenset({Right.READ, Right.KICK, Right.RECORDINGS, Right.TAKEDOWN}),
        Role.AUDITOR: frozenset({Right.READ, Right.READ_KEYS}),
    }
)
"""The rights of each role."""


def roles_with(right: Right) -> list[Role]:
    """The roles that have a right, in the order in which they are listed."""
    return [role for role in Role if right in RIGHTS[role]]
