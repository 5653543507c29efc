"""Records of operators."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from streamd.services.operators.roles import Role
from streamd.services.operators.token import OperatorToken

OPERATOR_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{1,63}")
ROOT: Final = "root"
"""The holder of the configuration's admin token, who is an admin and in no table."""
RESERVED_NAMES: Final = frozenset({ROOT, "cli", "console", "streamd", "admin", "demo"})
"""Names that stand for somebody else in the audit log, or did."""


class OperatorState(StrEnum):
    """Whether an operator's token works."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class OperatorRecord:
    """Everything about an operator but the secrets."""

    name: str
    role: Role
    token_id: str
    """Public part of the token."""
    token_made_at: datetime
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    """Time when the token stops to work; None is never."""
    revoked_at: datetime | None = None
    revoke_reason: str = ""
    revoked_by: str = ""
    last_used_at: datetime | None = None
    has_totp: bool = False
    """Signing in to the console takes a code, too."""

    def state_at(self, now: datetime) -> OperatorState:
        """The state at ``now``; a token is dead from the instant it expires."""
        if self.revoked_at is not None:
            return OperatorState.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return OperatorState.EXPIRED
        return OperatorState.ACTIVE


@dataclass(frozen=True, slots=True)
class Credentials:
    """The secrets that an operator is recognised by; they stay within this room."""

    record: OperatorRecord
    secret_hash: bytes = field(repr=False)
    totp_secret: bytes | None = field(default=None, repr=False)
    totp_step: int = 0
    """The last step of which a code was taken."""


@dataclass(frozen=True, slots=True)
class NewToken:
    """An operator at the one moment when the token is known."""

    record: OperatorRecord
    token: OperatorToken


@dataclass(frozen=True, slots=True)
class RevokedOperator:
    """An operator whose token does not work any more."""

    record: OperatorRecord
    unwritten: str = ""
    """The change that the store does not have yet, the reason, and the consequence; empty where it has all."""
