"""The calls of the admin API about targets: other servers that broadcasts are passed on to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.doors.web.admin.guards import ACTOR
from streamd.doors.web.json_api import answer
from streamd.doors.web.models.restream import (
    NewTarget,
    RestreamTarget,
    RestreamTargetList,
    TargetChange,
    TargetDeletion,
    TargetOwnerPath,
    TargetPath,
)
from streamd.doors.web.openapi import Operation
from streamd.services.operators.roles import Right

if TYPE_CHECKING:
    from aiohttp import web

    from streamd.services.restream.service import RestreamService


class RestreamDesk:
    """Adds, changes, starts and stops targets.

    Args:
        restream: The acts.
    """

    def __init__(self, restream: RestreamService) -> None:
        self._restream = restream

    def operations(self) -> list[Operation]:
        """Every call, with its input, its answer and its errors."""
        all_of_one = "/api/v1/users/{name}/targets"
        one = f"{all_of_one}/{{id}}"
        return [
            Operation(
                "GET", all_of_one, self.list_targets, RestreamTargetList,
                path_model=TargetOwnerPath, problems=(503,), right=Right.READ,
            ),
            Operation(
                "POST", all_of_one, self.add_target, RestreamTarget, 201,
                path_model=TargetOwnerPath, body=NewTarget, problems=(503,), right=Right.USERS,
            ),
            Operation(
                "PATCH", one, self.change_target, RestreamTarget,
                path_model=TargetPath, body=TargetChange, problems=(503,), right=Right.USERS,
            ),
            Operation(
                "DELETE", one, self.delete_target, TargetDeletion,
                path_model=TargetPath, problems=(503,), right=Right.USERS,
            ),
            Operation(
                "POST", f"{one}/start", self.start_target, RestreamTarget,
                path_model=TargetPath, problems=(503,), right=Right.STREAMS,
            ),
            Operation(
                "POST", f"{one}/stop", self.stop_target, RestreamTarget,
                path_model=TargetPath, problems=(503,), right=Right.STREAMS,
            ),
        ]  # fmt: skip

    async def list_targets(self, request: web.Request) -> web.Response:
        """List the servers that a user's broadcasts are passed on to, with what becomes of them now."""
        targets = await self._restream.list(request.match_info["name"])
        return answer(RestreamTargetList(targets=[RestreamTarget.of(target) for target in targets]))

    async def add_target(self, request: web.Request, body: NewTarget) -> web.Response:
        """Pass a user's broadcasts on to one server more; one that runs goes there at once."""
        target = await self._restream.add(
            request.match_info["name"],
            body.url,
            body.stream_key,
            label=body.label,
            is_enabled=body.enabled,
            by=request[ACTOR],
        )
        return answer(RestreamTarget.of(target), status=201)

    async def change_target(self, request: web.Request, body: TargetChange) -> web.Response:
        """Change a target. A broadcast that runs goes to its new place at once."""
        target = await self._restream.change(
            *_named(request),
            url=body.url,
            stream_key=body.stream_key,
            label=body.label,
            is_enabled=body.enabled,
            by=request[ACTOR],
        )
        return answer(RestreamTarget.of(target))

    async def delete_target(self, request: web.Request) -> web.Response:
        """Delete a target; the connection to it is closed when the call returns."""
        name, target_id = _named(request)
        await self._restream.delete(name, target_id, by=request[ACTOR])
        return answer(TargetDeletion(id=target_id))

    async def start_target(self, request: web.Request) -> web.Response:
        """Pass the broadcast that runs on to a target, anew where it goes there already."""
        return answer(RestreamTarget.of(await self._restream.start(*_named(request))))

    async def stop_target(self, request: web.Request) -> web.Response:
        """Pass the broadcast that runs on to a target no longer; the next one goes by `enabled` again."""
        return answer(RestreamTarget.of(await self._restream.stop(*_named(request))))


def _named(request: web.Request) -> tuple[str, str]:
    return request.match_info["name"], request.match_info["id"]
