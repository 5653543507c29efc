"""What the machine has found, as the admin API has it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field

from streamd.doors.web.models.common import ApiModel
from streamd.services.moderation.categories import Category
from streamd.services.moderation.ids import IdKind, id_pattern
from streamd.services.moderation.machine.drafts import Draft
from streamd.services.moderation.machine.findings import FindingSource, MachineRecord, PictureFinding
from streamd.services.moderation.machine.sight import Ready


class FindingsPath(ApiModel):
    """The case in a path."""

    id: Annotated[str, Field(pattern=id_pattern(IdKind.CASE), examples=["case_01jqz3v5x8k2m4n6p8r0t2v4x6"])]


class FindingPath(FindingsPath):
    """The finding in a path."""

    finding: Annotated[str, Field(pattern=id_pattern(IdKind.FINDING), examples=["fnd_01jqz3v5x8k2m4n6p8r0t2v4x6"])]


class JudgeRequest(ApiModel):
    """What a person makes of a finding."""

    agreed: bool
    """Whether you see what the machine found."""


class KnownPicture(ApiModel):
    """A picture of a list that is near the one that was looked at."""

    list: str
    """Name of the list's file; ``blocks`` for hashes that are blocked here."""
    category: Category
    hash: str
    """PDQ, of the list."""
    distance: int
    """In how many of 256 bits they differ."""


class Score(ApiModel):
    """A label of the classifier."""

    label: str
    score: float
    """0 to 1."""


class SameCase(ApiModel):
    """Another case with the picture."""

    case_id: str
    distance: int


class AssistantWord(ApiModel):
    """What the assistant makes of the case: nobody has checked it."""

    category: Category | None
    factor: float
    """By which it holds the case for more urgent than it was; 1 for neither more nor less."""
    summary: str


class FindingAnswer(ApiModel):
    """A picture that was looked at."""

    id: str
    at: datetime
    source: FindingSource
    signs: list[str]
    """What was found, in words; empty where nothing was."""
    hash: str
    """PDQ, 64 hexadecimal digits; empty where it was not computed."""
    quality: int
    """Of the hash, 0 to 100; under 50 it is compared with none."""
    known: list[KnownPicture]
    scores: list[Score]
    words: list[str]
    """Lines of text in the picture."""
    same_picture: list[SameCase]
    assistant: AssistantWord | None
    fault: str
    """What could not be looked for, and why."""
    agreed: bool | None
    """Whether whoever decided the case saw it too; null while nobody has decided, and where nothing was found."""
    judged_by: str
    judged_at: datetime | None

    @classmethod
    def of(cls, finding: PictureFinding) -> Self:
        """The answer about a finding."""
        look, said = finding.look, finding.suggestion
        return cls(
            id=finding.id,
            at=finding.at,
            source=finding.source,
            signs=list(finding.signs),
            hash=look.hash,
            quality=look.quality,
            known=[
                KnownPicture(list=each.list_name, category=each.category, hash=each.hash, distance=each.distance)
                for each in look.matches
            ],
            scores=[Score(label=label, score=score) for label, score in look.scores],
            words=list(look.words),
            same_picture=[SameCase(case_id=each.case_id, distance=each.distance) for each in finding.duplicates],
            assistant=(
                AssistantWord(category=said.category, factor=said.factor, summary=said.summary)
                if said is not None
                else None
            ),
            fault=look.fault,
            agreed=finding.agreed,
            judged_by=finding.judged_by,
            judged_at=finding.judged_at,
        )


class FindingList(ApiModel):
    """What was found for a case, the newest first."""

    findings: list[FindingAnswer]


class DraftAnswer(ApiModel):
    """A statement of reasons that a person has still to complete."""

    statement: dict[str, Any]
    """In the Commission's schema, as a decision takes it."""
    missing: list[str]
    """Fields that are the person's to write."""

    @classmethod
    def of(cls, draft: Draft) -> Self:
        """The answer about a draft."""
        return cls(statement=draft.statement, missing=list(draft.missing))


class ReadList(ApiModel):
    """A list of hashes as it was read last."""

    name: str
    hashes: int
    bad_lines: int
    """Lines that are no hash."""
    faults: list[str]
    """The first of them, and what else is wrong."""


class AssistanceState(ApiModel):
    """What the machine can do here, and how good it is."""

    agreed: int
    """Findings with which those who decided agreed."""
    disagreed: int
    waiting: int
    """Findings on which nobody has decided."""
    error_rate: float | None
    """The share of those judged that people disagreed with; null where none is."""
    faults: list[str]
    """What it cannot do, and why, as it was when it began to look last."""
    labels: list[str]
    """Of the classifier."""
    lists: list[ReadList]

    @classmethod
    def of(cls, record: MachineRecord, ready: Ready | None) -> Self:
        """The answer.

        Args:
            record: How good it is.
            ready: What it can do; None where it has not looked at anything so far.
        """
        faults = (ready.hash_fault, ready.classifier_fault, ready.words_fault) if ready is not None else ()
        return cls(
            agreed=record.agreed,
            disagreed=record.disagreed,
            waiting=record.waiting,
            error_rate=record.error_rate,
            faults=[fault for fault in faults if fault],
            labels=list(ready.labels) if ready is not None else [],
            lists=[
                ReadList(name=each.name, hashes=each.hashes, bad_lines=each.bad_lines, faults=list(each.faults))
                for each in (ready.lists if ready is not None else ())
            ],
        )
