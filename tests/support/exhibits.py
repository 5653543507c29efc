"""What moderators find on a server that the documentation shows: a complaint, a finding and a piece of evidence."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Final

from streamd.services.audit.records import SERVER, Actor
from streamd.services.moderation.act_details import ActDetails
from streamd.services.moderation.cases.case_records import CaseFilter, CaseState, Outcome
from streamd.services.moderation.categories import Category
from streamd.services.moderation.ids import IdKind, new_id
from streamd.services.moderation.machine.findings import FindingSource, PictureFinding
from streamd.services.moderation.machine.sight import Look
from streamd.services.moderation.target import Target, TargetKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.clock import Clock
    from streamd.services.moderation.evidence.shelf import EvidenceShelf
    from streamd.services.moderation.machine.findings_store import FindingsStore
    from streamd.services.moderation.moderation import Moderation

CHANNEL: Final = "erin"
COMPLAINED: Final = Target(TargetKind.CHANNEL, "frank", "frank")


async def exhibit(moderation: Moderation, findings: FindingsStore, shelf: EvidenceShelf, clock: Clock) -> None:
    """Put them there.

    Args:
        moderation: Has one case, about ``CHANNEL``; then another, which Mina has decided and its reporter complains
            about.
        findings: Have one about the first case then.
        shelf: Has a piece of evidence of it then.
        clock: Now.
    """
    (first,) = (await moderation.cases.store.page(CaseFilter(CaseState.OPEN), limit=2)).items
    case_id = first.id
    receipt = await moderation.reports.file(
        COMPLAINED, Category.SCAMS_AND_FRAUD, explanation="He sells what he has not got.", address="192.0.2.10"
    )
    found = await moderation.cases.store.page(CaseFilter(CaseState.OPEN), limit=10)
    (case,) = (each for each in found.items if each.target == COMPLAINED)
    by = Actor("mina", "192.0.2.7")
    decision = await moderation.cases.decide(case.id, outcome=Outcome.NO_ACTION, reason="It is a play.", by=by)
    await moderation.appeals.file(decision.id, receipt.status_token, "It is none: I have paid.", report_id=receipt.id)
    now = clock.now()
    look = Look("5a" * 32, 87, scores=(("knife", 0.91),), words=("HELP",))
    finding = PictureFinding(
        new_id(IdKind.FINDING, now), case_id, CHANNEL, now, FindingSource.REPORT, look, signs=("knife 0.91",)
    )
    await findings.add(finding, SERVER, ActDetails())
    evidence_id = new_id(IdKind.EVIDENCE, now)
    writer = shelf.begin(evidence_id)
    writer.add("picture.jpg", partial(_give, b"\xff\xd8 a picture \xff\xd9"))
    facts = {
        "id": evidence_id,
        "case_id": case_id,
        "target": {"kind": "channel", "id": CHANNEL},
        "channel": CHANNEL,
        "reported_at": now.isoformat(),
        "kept_at": now.isoformat(),
        "media_ms": 0,
        "media": [],
        "picture": "picture.jpg",
        "picture_missing": "",
        "files": [{"name": name, "bytes": size, "sha256": digest} for name, (size, digest) in writer.files.items()],
        "category": "VIOLENCE",
        "is_restricted": False,
    }
    writer.add("facts.json", partial(_give, json.dumps(facts, indent=2).encode()))
    await shelf.link(facts, writer.seal())


def _give(data: bytes, write: Callable[[bytes | memoryview], object]) -> None:
    write(data)
