"""The calls of the admin API that say what a text names, and the words for what can be wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.doors.web.json_api import answer
from streamd.doors.web.models.cases import TargetShown
from streamd.doors.web.models.targets import CategoryList, CategoryShown, TargetQuery
from streamd.doors.web.openapi import Operation
from streamd.errors import StoreUnavailableError
from streamd.services.moderation.categories import TITLES
from streamd.services.operators.roles import Right

if TYPE_CHECKING:
    from aiohttp import web

    from streamd.services.moderation.target import Target, Targets


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
        found = await self._targets.find(query.target, own_hosts(request))
        return answer(TargetShown(kind=found.kind, id=found.id, channel=found.channel, path=found.path))

    async def list_categories(self, _: web.Request) -> web.Response:
        """List the categories of a statement of reasons, with a title for people."""
        return answer(CategoryList(categories=[CategoryShown(category=each, title=TITLES[each]) for each in TITLES]))


def own_hosts(request: web.Request) -> tuple[str, ...]:
    """The host that a request came to: the same machine, most likely, serves viewers."""
    host = request.url.host
    return (host,) if host else ()


async def find_dark(targets: Targets, text: str, request: web.Request) -> Target:
    """Find what is to be dark, also where the store is away: what cannot be looked up can be dark all the same.

    Raises:
        TargetRefusedError: It names nothing that can be.
        TargetNotFoundError: There is no such key, recording or clip.
    """
    hosts = own_hosts(request)
    try:
        return await targets.find(text, hosts)
    except StoreUnavailableError:
        return targets.read(text, hosts)
