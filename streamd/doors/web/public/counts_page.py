"""The figures that the public can count, as HTML that needs no script: charts and tables.

A chart is one SVG in the page; every number in it stands in a table, too.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

from streamd.services.moderation.categories import TITLES
from streamd.services.moderation.counts.counts import EVERYWHERE, DayCounts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

# Columns of a table of days: acts, by the public's name of them.
COLUMNS: Final = (
    ("reports", "Reports"),
    ("takedowns", "Takedowns"),
    ("restores", "Restored"),
    ("orders_received", "Orders"),
    ("appeals_received", "Appeals"),
)
_SOURCES: Final = {
    "SOURCE_ARTICLE_16": "anybody",
    "SOURCE_TRUSTED_FLAGGER": "trusted flaggers",
    "SOURCE_TYPE_OTHER_NOTIFICATION": "others, authorities among them",
    "SOURCE_VOLUNTARY": "our own",
}
_WORDS: Final = {
    EVERYWHERE: "everywhere",
    "yes": "found by a machine",
    "no": "found by people",
    "AUTOMATED_DECISION_FULLY": "decided by a machine",
    "AUTOMATED_DECISION_PARTIALLY": "decided with a machine",
    "AUTOMATED_DECISION_NOT_AUTOMATED": "decided by a person",
    "ILLEGAL_CONTENT": "illegal",
    "INCOMPATIBLE_CONTENT": "against the rules of this server",
}
# The tables of a day: heading, heading of the first column, act, dimension.
_TABLES: Final = (
    ("Reports by who sent them", "Who", "reports", "source_type"),
    ("Takedowns by what led to them", "What", "takedowns", "source_type"),
    ("Takedowns by country", "Country", "takedowns", "country"),
    ("Takedowns by ground", "Ground", "takedowns", "ground"),
    ("Takedowns by who found it", "Who", "takedowns", "automated_detection"),
    ("Takedowns by who decided", "Who", "takedowns", "automated_decision"),
    ("Decisions", "Decision", "cases_decided", "outcome"),
    ("Appeals decided", "Decision", "appeals_decided", "outcome"),
)
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_LEGEND: Final = (
    '<p class="legend"><span><svg viewBox="0 0 12 12" aria-hidden="true"><rect class="first" width="12" height="12"/>'
    '</svg>Reports</span><span><svg viewBox="0 0 12 12" aria-hidden="true"><rect class="second" width="12" '
    'height="12"/></svg>Takedowns</span></p>'
)
# Rows of one table; of more, the others are in the files.
_ROWS_MAX: Final = 40

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 860, 220, 44, 24
_ROW_HEIGHT, _LABEL_WIDTH = 26, 250


def day_name(day: date) -> str:
    """A day as people write it, whatever the server's language."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def overview(days: Sequence[tuple[date, DayCounts]], *, as_of: str, before: str) -> str:
    """The content of the page over several days.

    Args:
        days: The first first.
        as_of: When they were counted, as people write it.
        before: The day before the first, where something is known of it; else empty.
    """
    total = DayCounts()
    for _, counts in days:
        total.merge(counts)
    span = f"{day_name(days[0][0])} to {day_name(days[-1][0])}"
    parts = [
        "<p>What was reported here, and what was done about it: counted from this server’s log of acts, "
        f"and from nothing else. Days are those of UTC. As of {html.escape(as_of)}.</p>",
        figures(total),
        "<h2>Day by day</h2>",
        days_chart(days),
        days_table(days),
        f"<h2>By category</h2>{category_table(total, span)}",
        '<p class="ways">',
        f'<a href="./transparency.csv?from={days[0][0]}&amp;to={days[-1][0]}">These days as CSV</a>',
        f'<a href="./transparency/{days[-1][0]}.json">The last day as JSON</a>',
        f'<a href="./transparency?until={before}">Earlier days</a>' if before else "",
        "</p>",
    ]
    return "\n    ".join(filter(None, parts))


def one_day(day: date, counts: DayCounts, *, is_complete: bool, before: str, after: str) -> str:
    """The content of the page of a day."""
    parts = [
        "" if is_complete else "<p>The day goes on: these are its counts so far.</p>",
        figures(counts),
        f"<h2>By category</h2>{categories_chart(counts)}{category_table(counts, day_name(day))}",
        *(
            f"<h2>{title}</h2>{_table((label, 'How many'), _named(rows), '')}"
            for title, label, act, dimension in _TABLES
            if (rows := counts.by(act, dimension))
        ),
        '<p class="ways">',
        '<a href="../transparency">All days</a>',
        f'<a href="./{before}">The day before</a>' if before else "",
        f'<a href="./{after}">The day after</a>' if after else "",
        f'<a href="./{day}.json">This day as JSON</a>',
        "</p>",
    ]
    return "\n    ".join(filter(None, parts))


def figures(counts: DayCounts) -> str:
    """The numbers that matter most."""
    shown = [(label, f"{counts.acts[act]:,}") for act, label in COLUMNS]
    if (median := counts.median_s("cases_decided")) is not None:
        shown.append(("Median time to a decision", duration(median)))
    return '<dl class="figures">' + "".join(f"<div><dt>{a}</dt><dd>{b}</dd></div>" for a, b in shown) + "</dl>"


def days_chart(days: Sequence[tuple[date, DayCounts]]) -> str:
    """Reports and takedowns of each day, side by side."""
    most = max((max(counts.acts["reports"], counts.acts["takedowns"]) for _, counts in days), default=0)
    top = _round_up(most)
    step = (_WIDTH - _LEFT) / max(1, len(days))
    wide = max(2.0, step * 0.36)
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT + _BOTTOM}" role="img" '
        f'aria-label="Reports and takedowns of each day; the table below has the numbers">',
        *(
            f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{y}" y2="{y}"/>'
            f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{value:,}</text>'
            for value, y in ((top, 6), (top // 2, _HEIGHT // 2 + 3), (0, _HEIGHT))
        ),
    ]
    every = max(1, len(days) // 6)
    for number, (day, counts) in enumerate(days):
        x = _LEFT + number * step + step * 0.12
        for act, name, at in (("reports", "first", x), ("takedowns", "second", x + wide)):
            count = counts.acts[act]
            high = round(count / top * (_HEIGHT - 6), 1)
            parts.append(
                f'<rect class="{name}" x="{at:.1f}" y="{_HEIGHT - high:.1f}" width="{wide:.1f}" height="{high}">'
                f"<title>{day_name(day)}: {count:,} {act}</title></rect>"
            )
        if number % every == 0:
            parts.append(f'<text x="{x:.1f}" y="{_HEIGHT + 18}">{day:%m-%d}</text>')
    parts.append("</svg>")
    return "".join(parts) + _LEGEND


def categories_chart(counts: DayCounts) -> str:
    """Reports and takedowns of a day, by category; empty where there were none."""
    reports, takedowns = counts.by("reports", "category"), counts.by("takedowns", "category")
    names = _most({name: reports.get(name, 0) + takedowns.get(name, 0) for name in {*reports, *takedowns}})
    if not names:
        return ""
    most = max(max(reports.get(name, 0), takedowns.get(name, 0)) for name in names)
    room = _WIDTH - _LABEL_WIDTH - 60
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {len(names) * _ROW_HEIGHT + 4}" role="img" '
        'aria-label="Reports and takedowns by category; the table below has the numbers">'
    ]
    for number, name in enumerate(names):
        y = number * _ROW_HEIGHT
        parts.append(f'<text x="{_LABEL_WIDTH - 10}" y="{y + 17}" text-anchor="end">{_title(name)}</text>')
        for act, kind, at in ((reports, "first", y + 3), (takedowns, "second", y + 13)):
            count = act.get(name, 0)
            wide = round(count / most * room, 1)
            parts.append(
                f'<rect class="{kind}" x="{_LABEL_WIDTH}" y="{at}" width="{wide}" height="9">'
                f"<title>{_title(name)}: {count:,} {'reports' if act is reports else 'takedowns'}</title></rect>"
            )
    return "".join(parts) + "</svg>" + _LEGEND


def days_table(days: Sequence[tuple[date, DayCounts]]) -> str:
    """A line a day, the newest first."""
    head = ("Day (UTC)", *(label for _, label in COLUMNS), "Median time to a decision")
    rows = []
    for day, counts in reversed(days):
        median = counts.median_s("cases_decided")
        rows.append(
            (
                f'<a href="./transparency/{day}">{day}</a>',
                *(f"{counts.acts[act]:,}" for act, _ in COLUMNS),
                "–" if median is None else duration(median),
            )
        )
    return _table(head, rows, "")


def category_table(counts: DayCounts, caption: str) -> str:
    """Reports and takedowns by category; a sentence where there were none."""
    reports, takedowns = counts.by("reports", "category"), counts.by("takedowns", "category")
    names = _most({name: reports.get(name, 0) + takedowns.get(name, 0) for name in {*reports, *takedowns}})
    if not names:
        return "<p>Nothing was reported and nothing taken down.</p>"
    rows = [(_title(name), f"{reports.get(name, 0):,}", f"{takedowns.get(name, 0):,}") for name in names]
    return _table(("Category", "Reports", "Takedowns"), rows, caption)


def duration(seconds: int) -> str:
    """A length of time in the largest units that say it well."""
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 2 * 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86_400} days"


def _table(head: Iterable[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    heads = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>" for row in rows
    )
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f'<div class="scrolls"><table>{title}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _named(values: Mapping[str, int]) -> list[tuple[str, str]]:
    return [(_title(name), f"{values[name]:,}") for name in _most(values)]


def _most(values: Mapping[str, int]) -> list[str]:
    return sorted((name for name in values if values[name]), key=lambda name: (-values[name], name))[:_ROWS_MAX]


def _title(value: str) -> str:
    """A value as people read it, as HTML."""
    known = {str(category): title for category, title in TITLES.items()} | _SOURCES | _WORDS
    return html.escape(
        known.get(value, value.replace("_", " ").lower() if value.isupper() and len(value) > 2 else value)
    )


def _round_up(count: int) -> int:
    """A round number from a count on, for the top of a chart; even, so that its half is whole."""
    step = 2
    while step * 5 < count:
        step *= 5 if str(step)[0] == "2" else 2
    return max(step, -(-count // step) * step)
