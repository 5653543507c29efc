"""Targets, other servers that broadcasts are passed on to, for the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamd.doors.web.models.restream import RestreamTarget, RestreamTargetList

if TYPE_CHECKING:
    from streamd.process.admin_connection import Call


class RemoteRestream:
    """A server's targets.

    Args:
        call: Asks its admin API.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    async def list_targets(self, user: str) -> list[RestreamTarget]:
        """A user's targets."""
        return [*RestreamTargetList.model_validate_json(await self._call("GET", _all_of(user))).targets]

    async def add_target(self, user: str, body: dict[str, Any]) -> RestreamTarget:
        """Add one."""
        return RestreamTarget.model_validate_json(await self._call("POST", _all_of(user), body))

    async def change_target(self, user: str, target_id: str, body: dict[str, Any]) -> RestreamTarget:
        """Change one."""
        return RestreamTarget.model_validate_json(await self._call("PATCH", f"{_all_of(user)}/{target_id}", body))

    async def delete_target(self, user: str, target_id: str) -> None:
        """Delete one."""
        await self._call("DELETE", f"{_all_of(user)}/{target_id}")

    async def switch_target(self, user: str, target_id: str, act: str) -> RestreamTarget:
        """Start or stop one in the broadcast that runs."""
        return RestreamTarget.model_validate_json(await self._call("POST", f"{_all_of(user)}/{target_id}/{act}"))


def _all_of(user: str) -> str:
    return f"/api/v1/users/{user}/targets"
