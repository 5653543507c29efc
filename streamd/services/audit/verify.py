"""Reads the whole audit log against its chain: a changed byte, a missing row and a missing end are each found."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, select, type_coerce

from streamd.errors import StoreUnavailableError
from streamd.services.audit.chain import BEGIN_DOMAIN, address_digest, begin_line, row_hash
from streamd.services.store.schema import audit, audit_chain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamd.services.store.database import Database

# Rows of one step of the loop: some ten milliseconds.
ROWS_AT_ONCE = 1_000
# Faults that are told one by one. A log that was written over has one a row.
FAULTS_MAX = 100
_WRITTEN_AT = "at_as_written"
_SQLITE_TIME = "%Y-%m-%d %H:%M:%S.%f"


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """A place in the chain: noted elsewhere, it proves later that the log up to there is as it was."""

    sequence: int
    """Number of a row."""
    hash: bytes
    """Of that row."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found."""

    rows: int
    """Rows that were read."""
    rows_before_chain: int
    """Of these, rows that were there before the log was a chain: they have one hash together, without addresses."""
    end: ChainEnd
    """The last row that was read."""
    faults: tuple[str, ...]
    """Each with the number of its row; of very many the first."""
    fault_count: int


async def verify_log(database: Database, anchors: Iterable[ChainEnd] = ()) -> Verdict:
    """Read the whole log, while servers may go on to write it.

    Args:
        database: Where it is.
        anchors: Places that were noted before; each has to be in it as it was.

    Raises:
        StoreUnavailableError: The database cannot be asked at all.
    """
    chain = await _chain(database)
    if chain is None:
        return Verdict(0, 0, ChainEnd(0, b""), ("the beginning and the end of the chain are missing",), 1)
    query = select(audit).order_by(audit.c.sequence)
    if database.is_sqlite:
        # A time is text there, and the same time with a byte changed in it where the byte is a blank or a colon.
        query = query.add_columns(type_coerce(audit.c.at, Text).label(_WRITTEN_AT))
    reading = _Reading(chain, {anchor.sequence: anchor.hash for anchor in anchors})
    try:
        async with database.scanning() as connection:
            rows = await connection.stream(query)
            async for part in rows.partitions(ROWS_AT_ONCE):
                for row in part:
                    reading.take(row._asdict())
    except (StoreUnavailableError, ValueError, TypeError) as exc:
        # A byte can be changed so that the value is none: text that is no UTF-8, a time that is no time.
        reading.blame(f"what comes after row {reading.sequence} cannot be read: {exc}")
    else:
        # Rows may have been added since the end was read, by whoever keeps the chain.
        now = await _chain(database)
        reading.finish(chain["end_sequence"] if now is None else now["end_sequence"])
    return reading.verdict()


async def _chain(database: Database) -> Mapping[str, Any] | None:
    async with database.reading() as connection:
        row = (await connection.execute(select(audit_chain))).one_or_none()
    return None if row is None else row._asdict()


@dataclass(slots=True)
class _Reading:
    """The log, as far as it was read."""

    chain: Mapping[str, Any]
    anchors: dict[int, bytes]
    sequence: int = 0
    hash: bytes = b""
    rows: int = 0
    rows_before_chain: int = 0
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0
    _begin: Any = field(default_factory=lambda: hashlib.sha256(BEGIN_DOMAIN))
    _is_in_chain: bool = False

    def blame(self, fault: str) -> None:
        self.fault_count += 1
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(fault)

    def take(self, row: Mapping[str, Any]) -> None:
        """Read one more row."""
        self.rows += 1
        if row["sequence"] <= self.chain["begin_sequence"]:
            self._take_old(row)
        else:
            self._enter_chain()
            self._take_link(row)
            self._compare()
        if _WRITTEN_AT in row and row[_WRITTEN_AT] != row["at"].strftime(_SQLITE_TIME):
            self.blame(f"row {self.sequence}: its time is not written as streamd writes it")

    def finish(self, end_sequence: int) -> None:
        """Look for what is missing behind the last row.

        Args:
            end_sequence: Where the chain ends by now.
        """
        self._enter_chain()
        if self.sequence < self.chain["end_sequence"]:
            self.blame(f"{_rows(self.sequence + 1, self.chain['end_sequence'])} missing at the end")
        elif self.sequence > end_sequence:
            self.blame(f"{_rows(end_sequence + 1, self.sequence)} behind the end of the chain")
        for sequence in sorted(self.anchors):
            self.blame(f"row {sequence}, which was noted before, is missing")

    def verdict(self) -> Verdict:
        end = ChainEnd(self.sequence, self.hash)
        return Verdict(self.rows, self.rows_before_chain, end, tuple(self.faults), self.fault_count)

    def _take_old(self, row: Mapping[str, Any]) -> None:
        """A row from before the chain: all of them have one hash. Their numbers may have gaps."""
        self.rows_before_chain += 1
        self.sequence = row["sequence"]
        self._begin.update(begin_line(row))
        if row["hash"] is not None or row["address_digest"] is not None:
            self.blame(f"row {self.sequence} has a hash, and is older than the chain")

    def _enter_chain(self) -> None:
        if self._is_in_chain:
            return
        self._is_in_chain = True
        begin = self.chain["begin_sequence"]
        if self._begin.digest() != self.chain["begin_hash"]:
            self.blame(
                f"rows 1 to {begin}, which are older than the chain, are not as they were when it began"
                if begin
                else "the beginning of the chain was changed"
            )
        self.sequence, self.hash = begin, self.chain["begin_hash"]
        self._compare()

    def _take_link(self, row: Mapping[str, Any]) -> None:
        sequence = row["sequence"]
        if sequence > self.sequence + 1:
            self.blame(f"{_rows(self.sequence + 1, sequence - 1)} missing before row {sequence}")
        stored = row["hash"]
        if stored != row_hash(self.hash, row):
            self.blame(f"row {sequence} does not fit its hash and the row before it")
        if fault := _address_fault(row):
            self.blame(f"row {sequence}: {fault}")
        # A hash that was changed is told of with its own row and the next; the rows behind them fit again.
        self.sequence, self.hash = sequence, stored if isinstance(stored, bytes) else b""

    def _compare(self) -> None:
        """Compare the hash at this place of the chain with those that were kept or noted of it."""
        if self.sequence == self.chain["end_sequence"] and self.hash != self.chain["end_hash"]:
            self.blame(f"row {self.sequence} is not the end of the chain that was kept")
        noted = self.anchors.pop(self.sequence, None)
        if noted is not None and noted != self.hash:
            self.blame(f"row {self.sequence} is not the one that was noted before")


def _address_fault(row: Mapping[str, Any]) -> str:
    """What is wrong with the address of a row, which may have been erased; empty where nothing is."""
    address, salt, digest = row["address"], row["address_salt"], row["address_digest"]
    if not address:
        return "its address is erased, and the salt is not" if salt is not None else ""
    if digest is None:
        return "an address was added"
    if salt is None or address_digest(salt, address) != digest:
        return "its address was changed"
    return ""


def _rows(first: int, last: int) -> str:
    return f"row {first} is" if first == last else f"rows {first} to {last} are"
