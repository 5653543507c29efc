"""Evidence of what was reported, as the admin API has it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field

from streamd.doors.web.models.common import PAGE_LIMIT_DEFAULT, ApiModel, Cursor, Limit, Reason, UserName
from streamd.services.moderation.evidence.chain import EvidenceRecord
from streamd.services.moderation.ids import IdKind, id_pattern
from streamd.services.store.page import Page

EvidenceId = Annotated[str, Field(pattern=id_pattern(IdKind.EVIDENCE), examples=["evi_01kjmg3m00q8p4w6s2v0x9y7z5"])]
KeptFor = Annotated[
    str,
    Field(
        pattern=f"{id_pattern(IdKind.CASE)}|{id_pattern(IdKind.TAKEDOWN)}",
        examples=["case_01kjmg3m00q8p4w6s2v0x9y7z5"],
    ),
]


class EvidencePath(ApiModel):
    """The piece in a path."""

    id: EvidenceId


class EvidenceFilePath(ApiModel):
    """The file of a piece in a path."""

    id: EvidenceId
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$", examples=["main-0.mp4"])]


class EvidenceQuery(ApiModel):
    """Which pieces to list."""

    case_id: KeptFor | None = None
    """A case, or a takedown that was made without one."""
    channel: UserName | None = None
    before: Cursor = 0
    """``next_before`` of the page before."""
    limit: Limit = PAGE_LIMIT_DEFAULT


class EvidenceReadQuery(ApiModel):
    """How a file is read."""

    reveal: bool = False
    """Also what is restricted: it is written into the audit log that you have seen it, and why."""
    reason: Reason = ""
    """For the audit log, in your words; what is restricted needs one."""


class EvidencePiece(ApiModel):
    """A piece of evidence."""

    id: str
    sequence: int
    """Its place in the chain."""
    case_id: str
    """The case that it is of, or the takedown that was made without one."""
    target_kind: str
    """``channel``, ``key``, ``recording`` or ``clip``."""
    target_id: str
    channel: str
    category: str
    restricted: bool
    """Child sexual abuse: its media and its picture are shown to whoever asks for them expressly, with a reason."""
    kept_at: datetime
    bytes: int
    media_s: float
    has_picture: bool
    sums_sha256: str
    """SHA-256 of its ``SHA256SUMS``, which has the hash of every file."""
    hash: str
    """Its link of the chain."""
    stamped_at: datetime | None
    """When an authority has stamped it with the time (RFC 3161), by that authority's clock."""
    deleted_at: datetime | None
    """When its files were deleted."""
    delete_reason: str

    @classmethod
    def of(cls, record: EvidenceRecord) -> Self:
        """The answer about a piece."""
        return cls(**_shown(record))


class EvidenceDetails(EvidencePiece):
    """A piece of evidence, with what is known of it."""

    files: list[str]
    """Names of its files, for ``/files/{name}``."""
    facts: dict[str, Any]
    """What ``facts.json`` says: publisher, key, viewers, times and hashes."""

    @classmethod
    def with_facts(cls, record: EvidenceRecord, facts: dict[str, Any]) -> Self:
        """The answer about a piece whose files are here."""
        files = [file["name"] for file in facts.get("files", ())]
        return cls(**_shown(record), files=[*files, "facts.json", "SHA256SUMS", "chain.json"], facts=facts)


class EvidencePage(ApiModel):
    """Pieces of evidence, the newest first."""

    evidence: list[EvidencePiece]
    next_before: int | None
    """``before`` of the next page; null on the last."""

    @classmethod
    def of(cls, page: Page[EvidenceRecord]) -> Self:
        """The answer to a list of pieces."""
        return cls(
            evidence=[EvidencePiece.of(record) for record in page.items],
            next_before=page.items[-1].sequence if page.has_more else None,
        )


def _shown(record: EvidenceRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "sequence": record.sequence,
        "case_id": record.case_id,
        "target_kind": record.target_kind,
        "target_id": record.target_id,
        "channel": record.channel,
        "category": record.category,
        "restricted": record.is_restricted,
        "kept_at": record.kept_at,
        "bytes": record.size_bytes,
        "media_s": record.media_ms / 1000,
        "has_picture": record.has_picture,
        "sums_sha256": record.sums.hex(),
        "hash": record.hash.hex(),
        "stamped_at": record.stamped_at,
        "deleted_at": record.deleted_at,
        "delete_reason": record.delete_reason,
    }
