"""The calls of the admin API that say what a text names, and the words for what can be wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.doors.web.json_api import answer
from streamd.doors.web.models.cases import TargetShown
from streamd.doors.web.models.targets import CategoryList, CategoryShown, TargetQuery
from streamd.doors.web.openapi import Operation
from streamd.services.moderation.categories import TITLES
from streamd.services.operators.roles import Right

if TYPE_CHECKING:
    from aiohttp import web

    from streamd.services.moderation.target import Targets


class TargetDesk:
    """Finds what a moderator has pasted.

    Args:
        targets: Finds it.
    """

    def __init__(self, targets: Targets) -> None:
        self._targets = targets

    def operations(self) -> list[Operation]:
        """Every call, with its input, its answer and its errors."""
        return [
            Operation(
                "GET", "/api/v1/targets", self.find_target, TargetShown,
                query=TargetQuery, problems=(404, 503), right=Right.READ,
            ),
            Operation("GET", "/api/v1/categories", self.list_categories, CategoryList, right=Right.READ),
        ]  # fmt: skip

    async def find_target(self, request: web.Request, query: TargetQuery) -> web.Response:
        """Say what a URL of this server, a name or an id names, and whose channel that belongs to."""
        # The host that the request came to: the same machine, most likely, serves viewers.
        host = request.url.host
        found = await self._targets.find(query.target, (host,) if host else ())
        return answer(TargetShown(kind=found.kind, id=found.id, channel=found.channel, path=found.path))

    async def list_categories(self, _: web.Request) -> web.Response:
        """List the categories of a statement of reasons, with a title for people."""
        return answer(CategoryList(categories=[CategoryShown(category=each, title=TITLES[each]) for each in TITLES]))
