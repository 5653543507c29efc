"""Operators: the people who act through the admin API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from streamd.doors.web.models.common import ApiModel, Instant, Reason
from streamd.services.operators.records import OPERATOR_NAME, NewToken, OperatorRecord, OperatorState, RevokedOperator
from streamd.services.operators.roles import Role

OperatorName = Annotated[str, Field(pattern=f"^{OPERATOR_NAME.pattern}$", examples=["carol"])]


class OperatorPath(ApiModel):
    """The operator in a path."""

    name: OperatorName


class OperatorRequest(ApiModel):
    """A new operator."""

    name: OperatorName
    """Their name, by which the audit log tells of what they do."""
    role: Role
    """What they may do."""
    expires_at: Instant | None = None
    """Time when the token stops to work; null is never."""


class OperatorChange(ApiModel):
    """Changes of an operator; fields that are left out stay."""

    role: Role | None = None
    """What they may do from now on."""
    expires_at: Instant | None = None
    """Time when the token stops to work; null is never."""
    totp: Literal[False] | None = None
    """``false`` removes their authenticator, when a telephone is lost. Only they can set one up."""
    reason: Reason = ""
    """For the audit log, in your words."""

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.role is None and self.totp is None and "expires_at" not in self.model_fields_set:
            raise ValueError("role, expires_at or totp, or several of them")
        return self


class Operator(ApiModel):
    """An operator, without the token."""

    name: str
    role: Role
    state: OperatorState
    created_at: datetime
    created_by: str
    token_made_at: datetime
    """When the token was made: with the operator, or when it was rotated last."""
    expires_at: datetime | None
    last_used_at: datetime | None
    """To a minute."""
    totp: bool
    """Signing in to the console takes a code of an authenticator, too."""
    revoked_at: datetime | None
    revoked_by: str
    revoke_reason: str

    @classmethod
    def of(cls, record: OperatorRecord, state: OperatorState) -> Self:
        """The operator as they are now."""
        return cls(
            name=record.name,
            role=record.role,
            state=state,
            created_at=record.created_at,
            created_by=record.created_by,
            token_made_at=record.token_made_at,
            expires_at=record.expires_at,
            last_used_at=record.last_used_at,
            totp=record.has_totp,
            revoked_at=record.revoked_at,
            revoked_by=record.revoked_by,
            revoke_reason=record.revoke_reason,
        )


class NewOperator(ApiModel):
    """An operator's new token, which is shown only this once."""

    name: str
    role: Role
    token: Annotated[str, Field(repr=False)]
    """To be shown as ``Authorization: Bearer``, and to sign in to the console with; it cannot be shown again."""
    expires_at: datetime | None

    @classmethod
    def of(cls, new: NewToken) -> Self:
        """The answer to adding and rotating."""
        record = new.record
        return cls(name=record.name, role=record.role, token=new.token.reveal(), expires_at=record.expires_at)


class OperatorList(ApiModel):
    """All operators, by name. Root, who holds the admin token of the configuration, is not among them."""

    operators: Sequence[Operator]


class OperatorRevocation(ApiModel):
    """A revocation: the token is refused, and its sessions are over."""

    name: str
    revoked_at: datetime
    reason: str
    """Why; of a token that was revoked before, as it was said then."""
    unwritten: str = ""
    """What the key store does not have yet, the reason, and the consequence, with the status 202. Else empty."""

    @classmethod
    def of(cls, result: RevokedOperator) -> Self:
        """The answer to revoking."""
        record = result.record
        assert record.revoked_at is not None
        return cls(
            name=record.name,
            revoked_at=record.revoked_at,
            reason=record.revoke_reason,
            unwritten=result.unwritten,
        )


class OperatorDeletion(ApiModel):
    """A completed deletion of an operator."""

    name: str
