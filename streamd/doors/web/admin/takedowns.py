"""The calls of the admin API about takedowns, blocks and authorities' orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import hdrs

from streamd.doors.web.admin.guards import ACTOR
from streamd.doors.web.admin.targets import find_dark, own_hosts
from streamd.doors.web.fields import media_type
from streamd.doors.web.json_api import InvalidRequestError, answer
from streamd.doors.web.models.common import ReasonQuery, ReasonRequest
from streamd.doors.web.models.takedowns import (
    BlockAnswer,
    BlockImportAnswer,
    BlockImportQuery,
    BlockList,
    BlockPath,
    BlockQuery,
    BlockRequest,
    BlockShown,
    OrderAnswer,
    OrderList,
    OrderPath,
    OrderQuery,
    OrderRequest,
    OrderShown,
    RestoreAnswer,
    RestoreRequest,
    TakedownAnswer,
    TakedownList,
    TakedownPath,
    TakedownQuery,
    TakedownRequest,
    TakedownShown,
)
from streamd.doors.web.openapi import Operation
from streamd.services.moderation.acts.block_import import LIST_BYTES_MAX, read_list
from streamd.services.moderation.acts.order_reply import reply_text
from streamd.services.moderation.statement import Statement
from streamd.services.operators.roles import Right

if TYPE_CHECKING:
    from aiohttp import web

    from streamd.services.moderation.acts.enforcement import Enforcement

# Types of a list that is sent. Not text/plain, which a page of any site may send without asking first.
LIST_TYPES: Final = frozenset(("text/csv", "application/x-ndjson", "application/jsonl", "application/json-lines"))


class TakedownDesk:
    """Takes down, restores and blocks for moderators.

    Args:
        enforcement: Does it.
    """

    def __init__(self, enforcement: Enforcement) -> None:
        self._targets = enforcement.targets
        self._takedowns = enforcement.takedowns
        self._blocks = enforcement.blocks
        self._orders = enforcement.orders

    def operations(self) -> list[Operation]:
        """Every call, with its input, its answer and its errors."""
        takedown, block, order = "/api/v1/takedowns/{id}", "/api/v1/blocks/{id}", "/api/v1/orders/{id}"
        return [
            Operation(
                "POST", "/api/v1/takedowns", self.take_down, TakedownAnswer, 201,
                body=TakedownRequest, other_answers={202: TakedownAnswer}, problems=(404,), right=Right.TAKEDOWN,
            ),
            Operation(
                "GET", "/api/v1/takedowns", self.list_takedowns, TakedownList,
                query=TakedownQuery, problems=(503,), right=Right.READ,
            ),
            Operation(
                "GET", takedown, self.get_takedown, TakedownShown,
                path_model=TakedownPath, problems=(503,), right=Right.READ,
            ),
            Operation(
                "POST", f"{takedown}/restore", self.restore_takedown, RestoreAnswer,
                path_model=TakedownPath, body=RestoreRequest, problems=(409, 503), right=Right.TAKEDOWN,
            ),
            Operation(
                "POST", "/api/v1/blocks", self.add_block, BlockAnswer, 201,
                body=BlockRequest, other_answers={200: BlockAnswer, 202: BlockAnswer}, problems=(409,),
                right=Right.TAKEDOWN,
            ),
            Operation(
                "POST", "/api/v1/blocks/import", self.import_blocks, BlockImportAnswer,
                query=BlockImportQuery, body_bytes_max=LIST_BYTES_MAX, other_answers={202: BlockImportAnswer},
                problems=(400, 408, 409, 413, 415, 417, 503),
                right=Right.TAKEDOWN,
            ),
            Operation("GET", "/api/v1/blocks", self.list_blocks, BlockList, query=BlockQuery, right=Right.READ),
            Operation("GET", block, self.get_block, BlockShown, path_model=BlockPath, right=Right.READ),
            Operation(
                "DELETE", block, self.remove_block, BlockShown,
                path_model=BlockPath, query=ReasonQuery, problems=(503,), right=Right.TAKEDOWN,
            ),
            Operation(
                "POST", "/api/v1/orders", self.receive_order, OrderAnswer, 201,
                body=OrderRequest, other_answers={202: OrderAnswer}, right=Right.TAKEDOWN,
            ),
            Operation(
                "GET", "/api/v1/orders", self.list_orders, OrderList,
                query=OrderQuery, problems=(503,), right=Right.READ,
            ),
            Operation(
                "GET", order, self.get_order, OrderShown, path_model=OrderPath, problems=(503,), right=Right.READ
            ),
            Operation(
                "POST", f"{order}/answered", self.note_order_answered, OrderShown,
                path_model=OrderPath, body=ReasonRequest, problems=(409, 503), right=Right.TAKEDOWN,
            ),
        ]  # fmt: skip

    # -- takedowns ------------------------------------------------------------------------------

    async def take_down(self, request: web.Request, body: TakedownRequest) -> web.Response:
        """Take something down, with a statement of reasons.

        When this is answered, the publisher is disconnected, no key of the channel goes live, and its playlists, past,
        recordings, clips and pictures answer 410. A store that cannot be written changes nothing about that: then the
        status is 202, and `unwritten` says what is written later. The broadcaster reads the statement in the studio,
        and a webhook has it.
        """
        # The act is refused for its statement before anything is looked up.
        statement = Statement.of(body.statement_json)
        target = await find_dark(self._targets, body.target, request)
        done = await self._takedowns.take_down(target, statement, actor=request[ACTOR], case_id=body.case_id)
        headers: dict[str, str] = {hdrs.LOCATION: f"/api/v1/takedowns/{done.id}"}
        return answer(TakedownAnswer.of_done(done), status=202 if done.unwritten else 201, headers=headers)

    async def list_takedowns(self, _: web.Request, query: TakedownQuery) -> web.Response:
        """List takedowns, the newest first."""
        page = await self._takedowns.page(
            channel=query.channel, target=query.target, stands=query.stands, before=query.before, limit=query.limit
        )
        return answer(TakedownList.of(page))

    async def get_takedown(self, request: web.Request) -> web.Response:
        """Show a takedown."""
        return answer(TakedownShown.of(await self._takedowns.find(request.match_info["id"])))

    async def restore_takedown(self, request: web.Request, body: RestoreRequest) -> web.Response:
        """Undo a takedown in one act: all that it made dark is shown again, unless another act keeps it dark."""
        done = await self._takedowns.restore(request.match_info["id"], actor=request[ACTOR], reason=body.reason)
        return answer(RestoreAnswer.of_done(done))

    # -- blocks ---------------------------------------------------------------------------------

    async def add_block(self, request: web.Request, body: BlockRequest) -> web.Response:
        """Block a channel, user, key, network, country or picture.

        It holds when this is answered, and what is live of it is dark. A channel that is blocked for viewers answers
        451 there. An equal block that holds already is answered with 200.
        """
        done = await self._blocks.add(
            kind=body.kind,
            value=body.value,
            scope=body.scope,
            countries=body.countries,
            until=body.until,
            order=body.order,
            reason=body.reason,
            actor=request[ACTOR],
            allows_wide=body.yes_all,
        )
        status = 200 if not done.is_new else 202 if done.unwritten else 201
        headers: dict[str, str] = {hdrs.LOCATION: f"/api/v1/blocks/{done.block.id}"}
        return answer(BlockAnswer.of_done(done), status=status, headers=headers)

    async def import_blocks(self, request: web.Request, query: BlockImportQuery) -> web.Response:
        """Take a list of blocks, all or none: CSV, JSON lines (`application/x-ndjson`), or names alone (`text/csv`).

        Columns are kind, value, scope, countries, until, order and reason; without a line of their names, names of
        channels alone, or all of them in this order. What is live among them is dark when this is answered. Ask with
        `dry_run=true` first.
        """
        done = await self._blocks.import_all(
            read_list(await _read_list(request)),
            actor=request[ACTOR],
            only_checks=query.dry_run,
            allows_wide=query.yes_all,
            order=query.order,
            reason=query.reason,
        )
        if done.faulty and not query.dry_run:
            detail = f"{done.faulty} lines have a fault, and nothing was taken"
            raise InvalidRequestError(422, detail, done.faults)
        status = 202 if done.unwritten else 200
        return answer(BlockImportAnswer.of_done(done, dry_run=query.dry_run), status=status)

    async def list_blocks(self, _: web.Request, query: BlockQuery) -> web.Response:
        """List blocks that hold, the newest first."""
        found, has_more = self._blocks.held.page(
            kind=query.kind, scope=query.scope, search=query.search, before=query.before, limit=query.limit
        )
        last = found[-1].id if has_more else None
        shown = [BlockShown.of(block) for block in found]
        return answer(BlockList(blocks=shown, next_before=last, total=len(self._blocks.held)))

    async def get_block(self, request: web.Request) -> web.Response:
        """Show a block."""
        return answer(BlockShown.of(self._blocks.held.find(request.match_info["id"])))

    async def remove_block(self, request: web.Request, query: ReasonQuery) -> web.Response:
        """End a block."""
        block = await self._blocks.remove(request.match_info["id"], actor=request[ACTOR], reason=query.reason)
        return answer(BlockShown.of(block))

    # -- orders ---------------------------------------------------------------------------------

    async def receive_order(self, request: web.Request, body: OrderRequest) -> web.Response:
        """Carry out an authority's order, and make its reply.

        What it names is taken down, or with a `territorial_scope` not shown there (451), when this is answered.
        `effects` says so of each, and `reply` is the text for the authority.
        """
        done = await self._orders.receive(
            **body.model_dump(exclude={"urls"}), urls=body.urls, actor=request[ACTOR], own_hosts=own_hosts(request)
        )
        headers: dict[str, str] = {hdrs.LOCATION: f"/api/v1/orders/{done.order.id}"}
        return answer(OrderAnswer.of_done(done), status=202 if done.unwritten else 201, headers=headers)

    async def list_orders(self, _: web.Request, query: OrderQuery) -> web.Response:
        """List orders, the newest first."""
        page = await self._orders.page(is_answered=query.answered, before=query.before, limit=query.limit)
        last = page.items[-1].id if page.has_more and page.items else None
        return answer(
            OrderList(orders=[OrderShown.of(order, reply_text(order)) for order in page.items], next_before=last)
        )

    async def get_order(self, request: web.Request) -> web.Response:
        """Show an order, with its reply."""
        order = await self._orders.find(request.match_info["id"])
        return answer(OrderShown.of(order, reply_text(order)))

    async def note_order_answered(self, request: web.Request, body: ReasonRequest) -> web.Response:
        """Note that the authority was sent the reply."""
        order = await self._orders.note_answered(request.match_info["id"], actor=request[ACTOR], reason=body.reason)
        return answer(OrderShown.of(order, reply_text(order)))


async def _read_list(request: web.Request) -> bytes:
    """The bytes of a list.

    Raises:
        InvalidRequestError: It is of another type.
    """
    if media_type(request) not in LIST_TYPES:
        raise InvalidRequestError(415, f"send the list as {' or '.join(sorted(LIST_TYPES))}")
    return await request.read()
