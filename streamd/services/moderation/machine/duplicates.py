"""Finds cases with the same picture: one broadcast that is shown on ten channels is decided once, and seen ten times.

The hashes of the last cases' pictures are in memory; a search compares with each of them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from streamd.services.moderation.machine.findings import Duplicate
from streamd.services.moderation.machine.hash_lists import DISTANCE_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable

# Cases of some months on a server with a hundred a day; 2 MB, and 2 ms of a search.
CASES_MAX = 10_000
# A moderator who looks at a case opens a few others, not a hundred.
FOUND_MAX = 10


class Duplicates:
    """The hashes of cases' pictures, one a case: its last."""

    def __init__(self) -> None:
        self._by_case: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_case)

    def note(self, case_id: str, picture_hash: str) -> None:
        """Know a picture of a case from now on.

        Args:
            case_id: The case.
            picture_hash: PDQ, 64 hexadecimal digits, of a quality that says something.
        """
        self._by_case[case_id] = int(picture_hash, 16)
        self._by_case.move_to_end(case_id)
        if len(self._by_case) > CASES_MAX:
            self._by_case.popitem(last=False)

    def load(self, known: Iterable[tuple[str, str]]) -> None:
        """Know what an earlier server knew.

        Args:
            known: Cases and the hashes of their pictures, the oldest first.
        """
        for case_id, picture_hash in known:
            self.note(case_id, picture_hash)

    def find(self, case_id: str, picture_hash: str) -> tuple[Duplicate, ...]:
        """Find other cases with a picture, the nearest first.

        Args:
            case_id: The case that it is of.
            picture_hash: PDQ, 64 hexadecimal digits.
        """
        wanted = int(picture_hash, 16)
        near = [
            Duplicate(other, bits)
            for other, known in self._by_case.items()
            if (bits := (known ^ wanted).bit_count()) <= DISTANCE_MAX and other != case_id
        ]
        near.sort(key=lambda each: each.distance)
        return tuple(near[:FOUND_MAX])
