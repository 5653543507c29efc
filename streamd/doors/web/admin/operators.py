"""The calls of the admin API about operators; all of them are for admins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs

from streamd.doors.web.admin.guards import ACTOR
from streamd.doors.web.json_api import answer
from streamd.doors.web.models.common import ReasonQuery, ReasonRequest
from streamd.doors.web.models.operators import (
    NewOperator,
    Operator,
    OperatorChange,
    OperatorDeletion,
    OperatorList,
    OperatorPath,
    OperatorRequest,
    OperatorRevocation,
)
from streamd.doors.web.openapi import Operation
from streamd.services.operators.roles import Right

if TYPE_CHECKING:
    from aiohttp import web

    from streamd.services.operators.records import NewToken, OperatorRecord
    from streamd.services.operators.service import OperatorService


class OperatorDesk:
    """Adds, lists, changes, rotates and revokes operators.

    Args:
        operators: The server's.
    """

    def __init__(self, operators: OperatorService) -> None:
        self._operators = operators

    def operations(self) -> list[Operation]:
        """Every call, with its input, its answer and its errors."""
        every, one, right = "/api/v1/operators", "/api/v1/operators/{name}", Right.OPERATORS
        return [
            Operation(
                "POST", every, self.add_operator, NewOperator, 201,
                body=OperatorRequest, problems=(409, 503), right=right,
            ),
            Operation("GET", every, self.list_operators, OperatorList, problems=(503,), right=right),
            Operation("GET", one, self.get_operator, Operator, path_model=OperatorPath, problems=(503,), right=right),
            Operation(
                "PATCH", one, self.change_operator, Operator,
                path_model=OperatorPath, body=OperatorChange, problems=(409, 503), right=right,
            ),
            Operation(
                "POST", f"{one}/rotate", self.rotate_operator, NewOperator, 201,
                path_model=OperatorPath, problems=(409, 503), right=right,
            ),
            Operation(
                "POST", f"{one}/revoke", self.revoke_operator, OperatorRevocation,
                path_model=OperatorPath, body=ReasonRequest, other_answers={202: OperatorRevocation}, problems=(503,),
                right=right,
            ),
            Operation(
                "DELETE", one, self.delete_operator, OperatorDeletion,
                path_model=OperatorPath, query=ReasonQuery, problems=(503,), right=right,
            ),
        ]  # fmt: skip

    async def add_operator(self, request: web.Request, body: OperatorRequest) -> web.Response:
        """Add an operator.

        The answer is the only one that ever holds the token. A name whose token was revoked is taken back with another
        token.
        """
        new = await self._operators.add(body.name, body.role, expires_at=body.expires_at, by=request[ACTOR])
        return self._new_token(new)

    async def list_operators(self, _: web.Request) -> web.Response:
        """List operators, by name."""
        return answer(OperatorList(operators=[self._shown(record) for record in await self._operators.everybody()]))

    async def get_operator(self, request: web.Request) -> web.Response:
        """Show an operator."""
        return answer(self._shown(await self._operators.get(request.match_info["name"])))

    async def change_operator(self, request: web.Request, body: OperatorChange) -> web.Response:
        """Change an operator's role or the end of their token, or remove their authenticator.

        It holds with the next request of theirs, and in the consoles that they have open.
        """
        name, by, operators = request.match_info["name"], request[ACTOR], self._operators
        change: dict[str, object] = {} if body.role is None else {"role": body.role}
        if "expires_at" in body.model_fields_set:
            change["expires_at"] = body.expires_at
        if change:
            await operators.change(name, change, by=by, reason=body.reason)
        if body.totp is False:
            await operators.authenticators.remove(name, by=by, reason=body.reason)
        return answer(self._shown(await operators.get(name)))

    async def rotate_operator(self, request: web.Request) -> web.Response:
        """Give an operator another token.

        The old one is dead when this is answered, and so are the sessions that were begun with it.
        """
        return self._new_token(await self._operators.rotate(request.match_info["name"], by=request[ACTOR]))

    async def revoke_operator(self, request: web.Request, body: ReasonRequest) -> web.Response:
        """Kill an operator's token.

        When this is answered, the token is refused, and its sessions and event streams are over. A second revocation
        has the same answer. A key store that cannot be written keeps nobody in: then the status is 202, and `unwritten`
        says what is written later.
        """
        result = await self._operators.revoke(request.match_info["name"], reason=body.reason, by=request[ACTOR])
        return answer(OperatorRevocation.of(result), status=202 if result.unwritten else 200)

    async def delete_operator(self, request: web.Request, query: ReasonQuery) -> web.Response:
        """Revoke an operator's token, and delete what is kept of them.

        Their acts stay in the audit log, by name. The name is free from then on.
        """
        name = request.match_info["name"]
        await self._operators.delete(name, reason=query.reason, by=request[ACTOR])
        return answer(OperatorDeletion(name=name))

    def _new_token(self, new: NewToken) -> web.Response:
        location = f"/api/v1/operators/{new.record.name}"
        return answer(NewOperator.of(new), status=201, headers={hdrs.LOCATION: location})

    def _shown(self, record: OperatorRecord) -> Operator:
        return Operator.of(record, self._operators.state_of(record))
