"""Operators for the command line: over a running server, or on the store itself, in the admin API's own types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from streamd.doors.web.models.operators import NewOperator, Operator, OperatorList, OperatorRevocation

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from streamd.process.admin_connection import Call
    from streamd.services.audit.records import Actor
    from streamd.services.operators.records import OperatorRecord
    from streamd.services.operators.roles import Role
    from streamd.services.operators.service import OperatorService

_PATH = "/api/v1/operators"


class OperatorDesk(Protocol):
    """Where operators are added, changed and revoked."""

    async def add(self, name: str, role: Role, *, expires_at: datetime | None) -> NewOperator:
        """Add an operator."""

    async def everybody(self) -> list[Operator]:
        """All operators, by name."""

    async def rotate(self, name: str) -> NewOperator:
        """Give an operator another token."""

    async def revoke(self, name: str, *, reason: str) -> OperatorRevocation:
        """Kill an operator's token."""

    async def change_role(self, name: str, role: Role, *, reason: str) -> Operator:
        """Change what an operator may do."""

    async def change_end(self, name: str, expires_at: datetime | None, *, reason: str) -> Operator:
        """Change when an operator's token stops to work; None is never."""

    async def remove_totp(self, name: str, *, reason: str) -> Operator:
        """Ask an operator for no more codes."""

    async def delete(self, name: str, *, reason: str) -> None:
        """Delete an operator."""


class LocalOperators:
    """Operators on the store itself.

    Args:
        service: On a store that was started.
        by: The actor.
    """

    def __init__(self, service: OperatorService, by: Actor) -> None:
        self._service = service
        self._by = by

    async def add(self, name: str, role: Role, *, expires_at: datetime | None) -> NewOperator:
        """Add an operator."""
        return NewOperator.of(await self._service.add(name, role, expires_at=expires_at, by=self._by))

    async def everybody(self) -> list[Operator]:
        """All operators, by name."""
        return [self._shown(record) for record in await self._service.everybody()]

    async def rotate(self, name: str) -> NewOperator:
        """Give an operator another token."""
        return NewOperator.of(await self._service.rotate(name, by=self._by))

    async def revoke(self, name: str, *, reason: str) -> OperatorRevocation:
        """Kill an operator's token; on the store itself it is written, or an error."""
        return OperatorRevocation.of(await self._service.revoke(name, by=self._by, reason=reason))

    async def change_role(self, name: str, role: Role, *, reason: str) -> Operator:
        """Change what an operator may do."""
        return self._shown(await self._service.change(name, {"role": role}, by=self._by, reason=reason))

    async def change_end(self, name: str, expires_at: datetime | None, *, reason: str) -> Operator:
        """Change when an operator's token stops to work."""
        return self._shown(await self._service.change(name, {"expires_at": expires_at}, by=self._by, reason=reason))

    async def remove_totp(self, name: str, *, reason: str) -> Operator:
        """Ask an operator for no more codes."""
        return self._shown(await self._service.authenticators.remove(name, by=self._by, reason=reason))

    async def delete(self, name: str, *, reason: str) -> None:
        """Delete an operator."""
        await self._service.delete(name, by=self._by, reason=reason)

    def _shown(self, record: OperatorRecord) -> Operator:
        return Operator.of(record, self._service.state_of(record))


class RemoteOperators:
    """Operators over the admin API.

    Args:
        call: Asks it.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    async def add(self, name: str, role: Role, *, expires_at: datetime | None) -> NewOperator:
        """Add an operator."""
        body = {"name": name, "role": role.value, "expires_at": _written(expires_at)}
        return NewOperator.model_validate_json(await self._call("POST", _PATH, body))

    async def everybody(self) -> list[Operator]:
        """All operators, by name."""
        return [*OperatorList.model_validate_json(await self._call("GET", _PATH)).operators]

    async def rotate(self, name: str) -> NewOperator:
        """Give an operator another token."""
        return NewOperator.model_validate_json(await self._call("POST", f"{_PATH}/{name}/rotate"))

    async def revoke(self, name: str, *, reason: str) -> OperatorRevocation:
        """Kill an operator's token, and its sessions."""
        answer = await self._call("POST", f"{_PATH}/{name}/revoke", {"reason": reason})
        return OperatorRevocation.model_validate_json(answer)

    async def change_role(self, name: str, role: Role, *, reason: str) -> Operator:
        """Change what an operator may do."""
        return await self._change(name, {"role": role.value, "reason": reason})

    async def change_end(self, name: str, expires_at: datetime | None, *, reason: str) -> Operator:
        """Change when an operator's token stops to work."""
        return await self._change(name, {"expires_at": _written(expires_at), "reason": reason})

    async def remove_totp(self, name: str, *, reason: str) -> Operator:
        """Ask an operator for no more codes."""
        return await self._change(name, {"totp": False, "reason": reason})

    async def delete(self, name: str, *, reason: str) -> None:
        """Delete an operator."""
        await self._call("DELETE", f"{_PATH}/{name}", query={"reason": reason} if reason else {})

    async def _change(self, name: str, change: Mapping[str, Any]) -> Operator:
        return Operator.model_validate_json(await self._call("PATCH", f"{_PATH}/{name}", dict(change)))


def _written(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
