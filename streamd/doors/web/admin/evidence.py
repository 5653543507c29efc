"""The calls of the admin API about evidence: the only way to it, and each reading is in the audit log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from streamd.doors.web.admin.guards import ACTOR
from streamd.doors.web.json_api import ForbiddenError, NotFoundError, answer
from streamd.doors.web.models.evidence import (
    EvidenceDetails,
    EvidenceFilePath,
    EvidencePage,
    EvidencePath,
    EvidenceQuery,
    EvidenceReadQuery,
)
from streamd.doors.web.openapi import Operation
from streamd.errors import EvidenceGoneError, EvidenceNotFoundError
from streamd.services.keys.request import checked_reason
from streamd.services.operators.roles import Right

if TYPE_CHECKING:
    from streamd.services.moderation.evidence.chain import EvidenceRecord
    from streamd.services.moderation.evidence.shelf import EvidenceShelf

_TYPES: Final = {
    ".mp4": "video/mp4",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".tsr": "application/timestamp-reply",
    "": "text/plain",
}
# Of a restricted piece, what shows what it is of: its media, its picture.
_SHOWING: Final = frozenset({".mp4", ".jpg"})
_BLURRED: Final = "blurred.jpg"
# In place of the contents of a restricted piece: what people read is told apart from what they look at.
_FACTS: Final = "facts"


class EvidenceDesk:
    """Lists evidence, and shows it.

    Args:
        shelf: Where it stands.
    """

    def __init__(self, shelf: EvidenceShelf) -> None:
        self._shelf = shelf

    def operations(self) -> list[Operation]:
        """Every call, with its input, its answer and its errors."""
        one = "/api/v1/evidence/{id}"
        return [
            Operation(
                "GET", "/api/v1/evidence", self.list_evidence, EvidencePage,
                query=EvidenceQuery, problems=(503,), right=Right.TAKEDOWN,
            ),
            Operation(
                "GET", one, self.get_evidence, EvidenceDetails,
                path_model=EvidencePath, problems=(503,), right=Right.TAKEDOWN,
            ),
            Operation(
                "GET", f"{one}/files/{{name}}", self.get_evidence_file, "application/octet-stream",
                path_model=EvidenceFilePath, query=EvidenceReadQuery, problems=(503,), right=Right.TAKEDOWN,
            ),
        ]  # fmt: skip

    async def list_evidence(self, _: web.Request, query: EvidenceQuery) -> web.Response:
        """List pieces of evidence, the newest first; nothing of what they show is in the list."""
        page = await self._shelf.store.page(
            case_id=query.case_id or "", channel=query.channel or "", before=query.before, limit=query.limit
        )
        return answer(EvidencePage.of(replace(page, items=await self._shelf.as_now(page.items))))

    async def get_evidence(self, request: web.Request) -> web.Response:
        """Show what is known of a piece; the audit log tells of it."""
        record = await self._find(request)
        try:
            facts = await self._shelf.facts(record)
        except EvidenceGoneError as exc:
            raise NotFoundError(str(exc)) from exc
        await self._shelf.note_read(record, _FACTS, request[ACTOR])
        return answer(EvidenceDetails.with_facts(record, facts))

    async def get_evidence_file(self, request: web.Request, query: EvidenceReadQuery) -> web.StreamResponse:
        """A file of a piece, with Range; the audit log tells of each.

        Of a restricted piece, media and picture need ``reveal`` and a reason; ``blurred.jpg`` does not.
        """
        record, name = await self._find(request), request.match_info["name"]
        kind = PurePath(name).suffix
        reason = checked_reason(query.reason)
        if record.is_restricted and kind in _SHOWING and name != _BLURRED and not (query.reveal and reason):
            raise ForbiddenError(
                "this shows what is restricted: ask with reveal=true and a reason, and it is written down that you did"
            )
        try:
            path = await self._shelf.file(record, name)
        except EvidenceGoneError as exc:
            raise NotFoundError(str(exc)) from exc
        # Before a byte is shown: where it cannot be written down, nothing is.
        await self._shelf.note_read(record, name, request[ACTOR], reason)
        headers: dict[str, str] = {
            hdrs.CONTENT_TYPE: _TYPES.get(kind, "application/octet-stream"),
            hdrs.CONTENT_DISPOSITION: f'attachment; filename="{record.id}-{name}"',
            hdrs.CACHE_CONTROL: "no-store",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        return web.FileResponse(path, headers=headers)

    async def _find(self, request: web.Request) -> EvidenceRecord:
        try:
            record = await self._shelf.store.find(request.match_info["id"])
        except EvidenceNotFoundError as exc:
            raise NotFoundError(str(exc)) from exc
        (record,) = await self._shelf.as_now([record])
        return record
