"""The audit log."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field

from streamd.doors.web.models.common import PAGE_LIMIT_DEFAULT, ApiModel, Cursor, Instant, Limit
from streamd.services.audit.records import AuditFilter

if TYPE_CHECKING:
    from streamd.services.audit.records import AuditRecord
    from streamd.services.store.page import Page

# An address, a name, some words of a reason.
SEARCH_LENGTH_MAX = 100


class AuditQuery(ApiModel):
    """Which audit rows to list."""

    newest_first: bool = False
    """From the last row back; else from the first on."""
    search: Annotated[str, Field(max_length=SEARCH_LENGTH_MAX)] = ""
    """Only rows that have this text somewhere, whatever the case of its letters."""
    or_actions: Annotated[str, Field(pattern=r"^[a-z._,]{0,500}$")] = ""
    """With ``search``, rows of these actions too; commas between them."""
    action: Annotated[str, Field(pattern=r"^[a-z._]{0,50}$")] = ""
    """Only rows of this action."""
    since: Instant | None = None
    until: Instant | None = None
    """Only rows before this time."""
    after: Cursor = 0
    """``next_after`` of the page before."""
    limit: Limit = PAGE_LIMIT_DEFAULT

    @property
    def filter(self) -> AuditFilter:
        """Which rows that are."""
        or_actions = tuple(filter(None, self.or_actions.split(",")))
        return AuditFilter(self.search, or_actions, self.action, self.since, self.until)


class AuditRow(ApiModel):
    """One row of the audit log."""

    sequence: int
    at: datetime
    actor: str
    address: str
    action: str
    user: str | None
    key_id: str | None
    stream: str | None
    subject: str | None
    """What else it was on: an operator."""
    reason: str
    count: int
    """How often; refused publishes that are alike are one row, written a minute after the first."""

    @classmethod
    def of(cls, record: AuditRecord) -> Self:
        """The row as it goes out."""
        entry = record.entry
        return cls(
            sequence=record.sequence,
            at=entry.at,
            actor=entry.actor,
            address=entry.address,
            action=entry.action,
            user=entry.user,
            key_id=entry.key_id,
            stream=entry.stream,
            subject=entry.subject,
            reason=entry.reason,
            count=entry.count,
        )


class AuditPage(ApiModel):
    """Audit rows in the order they were written, or from the last back."""

    entries: list[AuditRow]
    next_after: int | None
    """``after`` of the next page; null on the last."""

    @classmethod
    def of(cls, page: Page[AuditRecord]) -> Self:
        """The answer to a list of audit rows."""
        return cls(
            entries=[AuditRow.of(record) for record in page.items],
            next_after=page.items[-1].sequence if page.has_more else None,
        )
