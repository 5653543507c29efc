"""The yearly report of the Digital Services Act, counted from the audit log: its numbers, one a line.

The lines are ordered as the parts of the Commission's template are; whoever fills that in copies the numbers, and adds
what only people know (who they are, how they work, how many moderators speak which language).

Spec: Regulation (EU) 2022/2065, articles 15(1) and 24(1); Implementing Regulation (EU) 2024/2835, annex I.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from streamd.services.moderation.act_details import ActDetails
from streamd.services.moderation.counts.counts import DayCounts
from streamd.services.moderation.counts.public_counts import counted_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from streamd.services.store.database import Database

HEAD: Final = ("article", "indicator", "by", "value", "number")
# Of our own initiative, as the Commission's schema calls it: no notice, and no order, has led to it.
VOLUNTARY: Final = "SOURCE_VOLUNTARY"
FLAGGER: Final = "SOURCE_TRUSTED_FLAGGER"


@dataclass(slots=True)
class DsaReport:
    """The numbers of a time."""

    all: DayCounts = field(default_factory=DayCounts)
    voluntary: DayCounts = field(default_factory=DayCounts)
    """Of our own initiative."""
    noticed: DayCounts = field(default_factory=DayCounts)
    """Where a notice or an order has led to it."""

    def add(self, action: str, reason: str, times: int) -> None:
        """Count a row of the audit log."""
        self.all.add(action, reason, times)
        is_voluntary = ActDetails.parse(reason).source_type == VOLUNTARY
        (self.voluntary if is_voluntary else self.noticed).add(action, reason, times)

    def lines(self) -> Iterator[tuple[str, str, str, str, int]]:
        """The numbers: article, indicator, by what, its value, the number."""
        everything, noticed, own = self.all, self.noticed, self.voluntary
        yield from _act("15(1)(a)", "orders received", everything, "orders_received", "category", "country")
        yield from _median("15(1)(a)", "median seconds from an order to its answer", everything, "orders_answered")
        yield from _act("15(1)(b)", "notices received", everything, "reports", "category")
        flagged = everything.by("reports", "source_type").get(FLAGGER, 0)
        yield "15(1)(b)", "notices received from trusted flaggers", "", "", flagged
        yield from _act("15(1)(b)", "decisions on notices", noticed, "cases_decided", "category", "outcome")
        yield from _act("15(1)(b)", "restrictions on notices", noticed, "takedowns", "category", "ground")
        yield from _median("15(1)(b)", "median seconds from a notice to the decision", noticed, "cases_decided")
        yield from _act(
            "15(1)(c)", "restrictions of own initiative", own, "takedowns",
            "category", "ground", "automated_detection", "automated_decision",
        )  # fmt: skip
        yield from _act("15(1)(d)", "complaints received", everything, "appeals_received", "category")
        yield from _act("15(1)(d)", "complaints decided", everything, "appeals_decided", "outcome")
        yield from _median("15(1)(d)", "median seconds from a complaint to the decision", everything, "appeals_decided")
        yield from _act(
            "15(1)(e)", "restrictions", everything, "takedowns", "automated_detection", "automated_decision"
        )
        for act, indicator in (
            ("machine_found", "findings of automated means"),
            ("machine_agreed", "findings of automated means that a person agreed with"),
            ("machine_disagreed", "findings of automated means that a person disagreed with"),
        ):
            yield "15(1)(e)", indicator, "", "", everything.acts[act]
        yield from _act("24(5)", "restrictions", everything, "takedowns", "category", "country")
        yield "24(5)", "restrictions that were taken back", "", "", everything.acts["restores"]

    def text(self) -> str:
        """As CSV."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEAD)
        writer.writerows(self.lines())
        return file.getvalue()


async def dsa_report(database: Database, first: date | None, last: date | None) -> DsaReport:
    """Count the audit log for the report.

    Args:
        database: Has it.
        first: From this day on (UTC); None from the beginning.
        last: Up to this day; None to the end.

    Raises:
        StoreUnavailableError: It could not be read.
    """
    report = DsaReport()
    async for _, action, reason, times in counted_rows(database, first, last):
        report.add(action, reason, times)
    return report


def _act(
    article: str, indicator: str, counts: DayCounts, act: str, *dimensions: str
) -> Iterator[tuple[str, str, str, str, int]]:
    yield article, indicator, "", "", counts.acts[act]
    for dimension in dimensions:
        found = counts.by(act, dimension)
        for value in sorted(found):
            yield article, indicator, dimension, value, found[value]


def _median(article: str, indicator: str, counts: DayCounts, act: str) -> Iterator[tuple[str, str, str, str, int]]:
    if (median := counts.median_s(act)) is not None:
        yield article, indicator, "", "", median
