"""Takedowns, blocks and orders over the admin API, for the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamd.doors.web.models.cases import CaseDetail, CasePage, CaseShown
from streamd.doors.web.models.findings import FindingAnswer, FindingList
from streamd.doors.web.models.takedowns import (
    BlockAnswer,
    BlockImportAnswer,
    BlockList,
    BlockShown,
    RestoreAnswer,
    TakedownAnswer,
    TakedownList,
    TakedownShown,
)
from streamd.services.keys.request import PAGE_LIMIT_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamd.process.admin_connection import AdminConnection


class RemoteModeration:
    """The acts of moderators, on a server that runs.

    Args:
        connection: Asks its admin API.
    """

    def __init__(self, connection: AdminConnection) -> None:
        self._connection = connection
        self._call = connection.call

    async def take_down(self, body: Mapping[str, Any]) -> TakedownAnswer:
        """Take something down; the body of the call."""
        return TakedownAnswer.model_validate_json(await self._call("POST", "/api/v1/takedowns", dict(body)))

    async def restore(self, takedown_id: str, *, reason: str) -> RestoreAnswer:
        """Undo a takedown."""
        path = f"/api/v1/takedowns/{takedown_id}/restore"
        return RestoreAnswer.model_validate_json(await self._call("POST", path, {"reason": reason}))

    async def list_takedowns(self, *, stands: bool | None, limit: int = PAGE_LIMIT_MAX) -> list[TakedownShown]:
        """The newest takedowns."""
        query = {"limit": str(limit)} | ({} if stands is None else {"stands": str(stands).lower()})
        page = TakedownList.model_validate_json(await self._call("GET", "/api/v1/takedowns", query=query))
        return list(page.takedowns)

    async def list_cases(self, query: Mapping[str, str]) -> list[CaseShown]:
        """Cases in their order; the query of the call."""
        return list(CasePage.model_validate_json(await self._call("GET", "/api/v1/cases", query=query)).cases)

    async def get_case(self, case_id: str) -> CaseDetail:
        """One case, with all that there is about it."""
        return CaseDetail.model_validate_json(await self._call("GET", f"/api/v1/cases/{case_id}"))

    async def list_findings(self, case_id: str) -> list[FindingAnswer]:
        """What the machine has seen in pictures of a case, the newest first."""
        answer = await self._call("GET", f"/api/v1/cases/{case_id}/findings")
        return FindingList.model_validate_json(answer).findings

    async def judge_finding(self, case_id: str, finding_id: str, *, agreed: bool) -> FindingAnswer:
        """Say whether the machine was right about one picture."""
        path = f"/api/v1/cases/{case_id}/findings/{finding_id}/judge"
        return FindingAnswer.model_validate_json(await self._call("POST", path, {"agreed": agreed}))

    async def add_block(self, body: Mapping[str, Any]) -> BlockAnswer:
        """Block something; the body of the call."""
        return BlockAnswer.model_validate_json(await self._call("POST", "/api/v1/blocks", dict(body)))

    async def import_blocks(
        self, data: bytes, media_type: str, *, dry_run: bool, yes_all: bool, order: str, reason: str
    ) -> BlockImportAnswer:
        """Take a list of blocks."""
        flags = {"dry_run": str(dry_run).lower(), "yes_all": str(yes_all).lower()}
        query = flags | {name: value for name, value in (("order", order), ("reason", reason)) if value}
        answer = await self._connection.send("/api/v1/blocks/import", data, media_type, query=query)
        return BlockImportAnswer.model_validate_json(answer)

    async def list_blocks(self, *, kind: str, scope: str, search: str) -> list[BlockShown]:
        """All blocks that hold, or those of a kind or scope, the newest first."""
        found: list[BlockShown] = []
        chosen = {name: value for name, value in (("kind", kind), ("scope", scope), ("search", search)) if value}
        before: str | None = ""
        while before is not None:
            query = chosen | {"limit": str(PAGE_LIMIT_MAX)} | ({"before": before} if before else {})
            page = BlockList.model_validate_json(await self._call("GET", "/api/v1/blocks", query=query))
            found += page.blocks
            before = page.next_before
        return found

    async def remove_block(self, block_id: str, *, reason: str) -> BlockShown:
        """End a block."""
        query = {"reason": reason} if reason else {}
        return BlockShown.model_validate_json(await self._call("DELETE", f"/api/v1/blocks/{block_id}", query=query))
