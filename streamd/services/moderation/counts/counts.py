"""The public's figures of a day: acts of moderation by category, source, country, and whether a machine had part.

A day is made of rows of the audit log, and of nothing else: whoever has the log can count it anew.
"""

from __future__ import annotations

import json
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from streamd.services.moderation.act_details import ActDetails

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ACTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "report.received": "reports",
        # Told apart, whoever reports a name would read here whether it exists; so would they in cases that are opened.
        "report.unmatched": "reports",
        "case.decided": "cases_decided",
        "case.reopened": "cases_reopened",
        "takedown.made": "takedowns",
        "takedown.restored": "restores",
        "block.added": "blocks_added",
        "block.removed": "blocks_removed",
        "block.imported": "blocks_imported",
        "order.received": "orders_received",
        "order.answered": "orders_answered",
        "appeal.received": "appeals_received",
        "appeal.decided": "appeals_decided",
        "machine.found": "machine_found",
        "machine.agreed": "machine_agreed",
        "machine.disagreed": "machine_disagreed",
    }
)
"""Actions of the audit log that are counted, and what the public calls them."""
NAMES: Final = tuple(dict.fromkeys(ACTS.values()))
"""What the public calls them, once each."""

TIMED: Final = frozenset({"cases_decided", "takedowns", "restores", "orders_answered", "appeals_decided"})
"""Acts whose time since the report, order or appeal is told, as a median."""

DIMENSIONS: Final = (
    "category", "source_type", "country", "automated_detection", "automated_decision", "ground", "outcome",
)  # fmt: skip
# In place of a country where an act is for everywhere.
EVERYWHERE: Final = "everywhere"
# Values of one dimension on one day: 16 categories, 249 countries. Further ones are counted together.
VALUES_MAX: Final = 300
OTHER: Final = "other"
# Times are kept to the second up to an hour, to the minute up to a day, and to the hour beyond: a day has so many
# different ones at the most, however many acts it has.
_HOUR_S, _DAY_S = 3600, 86_400
_LONGEST_S = 10 * 366 * _DAY_S


class DayCounts:
    """The counts of a day, or of several together."""

    __slots__ = ("_by", "_csv", "_times", "acts")

    def __init__(self) -> None:
        self.acts: Counter[str] = Counter()
        """How often each was done, by the public's name of it."""
        # By act and dimension, and by act.
        self._by: dict[tuple[str, str], Counter[str]] = {}
        self._times: dict[str, Counter[int]] = {}
        self._csv = ""

    def add(self, action: str, reason: str, count: int) -> bool:
        """Count a row of the audit log; whether it counts.

        Args:
            action: Its action.
            reason: Its reason, which begins with the details of the act.
            count: How often it says that it was done.
        """
        act = ACTS.get(action)
        if act is None:
            return False
        self._csv = ""
        details = ActDetails.parse(reason)
        self.acts[act] += count
        for dimension, values in _values(details):
            counter = self._by.setdefault((act, dimension), Counter())
            for value in values:
                known = value if value in counter or len(counter) < VALUES_MAX else OTHER
                counter[known] += count
        if act in TIMED and details.seconds is not None:
            self._times.setdefault(act, Counter())[_rounded(details.seconds)] += count
        return True

    def merge(self, other: DayCounts) -> None:
        """Add the counts of another day."""
        self._csv = ""
        self.acts.update(other.acts)
        for key, counter in other._by.items():
            self._by.setdefault(key, Counter()).update(counter)
        for act, times in other._times.items():
            self._times.setdefault(act, Counter()).update(times)

    def by(self, act: str, dimension: str) -> Mapping[str, int]:
        """How often an act was done, by a dimension."""
        return self._by.get((act, dimension), Counter())

    def median_s(self, act: str) -> int | None:
        """The median of an act's times, whole seconds; None where there are none.

        Of an even number of times it is the lower of the two in the middle.
        """
        times = self._times.get(act)
        if not times:
            return None
        middle = (times.total() + 1) // 2
        for seconds in sorted(times):
            middle -= times[seconds]
            if middle <= 0:
                return seconds
        raise AssertionError("the middle is within")

    def timed(self, act: str) -> int:
        """How many times of an act are known."""
        return self._times.get(act, Counter()).total()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DayCounts) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def to_json(self) -> str:
        """As the database keeps it."""
        return json.dumps(
            {
                "acts": _sorted(self.acts),
                "by": {f"{act} {name}": _sorted(counter) for (act, name), counter in sorted(self._by.items())},
                "times": {act: _sorted(times) for act, times in sorted(self._times.items())},
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> DayCounts:
        """Read what ``to_json`` has written.

        Raises:
            ValueError: It is something else.
        """
        try:
            found = json.loads(text)
            counts = cls()
            counts.acts = Counter({str(act): int(number) for act, number in found["acts"].items()})
            for key, values in found["by"].items():
                act, _, dimension = key.partition(" ")
                counts._by[act, dimension] = Counter({value: int(number) for value, number in values.items()})
            for act, times in found["times"].items():
                counts._times[act] = Counter({int(seconds): int(number) for seconds, number in times.items()})
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise ValueError("these are no counts") from exc
        return counts

    def shown(self) -> dict[str, Any]:
        """As the public's JSON has it: every act, also where it was not done."""
        found: dict[str, Any] = {}
        for act in NAMES:
            found[act] = {"total": self.acts[act]}
            for dimension in DIMENSIONS:
                if counter := self.by(act, dimension):
                    found[act][f"by_{dimension}"] = _sorted(counter)
            if act in TIMED:
                found[act]["median_seconds"] = self.median_s(act)
        return found

    def csv_lines(self, day: str) -> str:
        """The lines of a day: ``date,what,by,value,count``; made once until it changes."""
        if not self._csv:
            lines: list[str] = []
            for act in NAMES:
                lines.append(f"{day},{act},,,{self.acts[act]}")
                for dimension in DIMENSIONS:
                    lines += [
                        f"{day},{act},{dimension},{_cell(value)},{number}"
                        for value, number in _sorted(self.by(act, dimension)).items()
                    ]
                if (median := self.median_s(act)) is not None:
                    lines.append(f"{day},{act},median_seconds,,{median}")
            self._csv = "".join(f"{line}\n" for line in lines)
        return self._csv


CSV_HEAD: Final = "date,what,by,value,count\n"


def _values(details: ActDetails) -> Iterable[tuple[str, Iterable[str]]]:
    """The values of an act in each dimension that it has."""
    for dimension in ("category", "source_type", "automated_decision", "ground", "outcome"):
        if value := getattr(details, dimension):
            yield dimension, (value,)
    yield "country", dict.fromkeys(details.territorial_scope) or (EVERYWHERE,)
    yield "automated_detection", ("yes" if details.automated_detection else "no",)


def _rounded(seconds: int) -> int:
    step = 1 if seconds < _HOUR_S else 60 if seconds < _DAY_S else _HOUR_S
    return min(seconds, _LONGEST_S) // step * step


def _sorted(counter: Mapping[Any, int]) -> dict[Any, int]:
    return {value: counter[value] for value in sorted(counter) if counter[value]}


def _cell(value: str) -> str:
    """A value in a line: quoted where it has to be, and no formula to a spreadsheet."""
    if value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        value = f"'{value}"
    return '"' + value.replace('"', '""') + '"' if set(value) & set(',"\r\n') else value
