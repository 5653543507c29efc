"""Reads the whole chain of evidence against its hashes, and every file against its own."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from streamd.errors import StampError, StoreUnavailableError
from streamd.services.moderation.evidence.chain import BEGIN_HASH, link_hash
from streamd.services.moderation.evidence.folder import CHAIN_NAME, STAMP_NAME, SUMS_NAME, check_folder
from streamd.services.moderation.evidence.timestamping import check_stamp
from streamd.services.moderation.ids import IdKind, is_id

if TYPE_CHECKING:
    from pathlib import Path

    from streamd.services.moderation.evidence.chain import EvidenceRecord
    from streamd.services.moderation.evidence.store import EvidenceStore

# Faults that are told one by one.
FAULTS_MAX = 100


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found."""

    pieces: int
    """Links of the chain that were read."""
    deleted: int
    """Of these, pieces whose files are deleted."""
    stamped: int
    """Of these, pieces with a stamp that is of their hashes."""
    end: str
    """The last link: its number, a colon, its hash. Noted elsewhere, it proves later that the chain is as it was."""
    faults: tuple[str, ...]
    """Each with the id of its piece; of very many the first."""
    fault_count: int


@dataclass(slots=True)
class _Reading:
    sequence: int = 0
    hash: bytes = BEGIN_HASH
    deleted: int = 0
    stamped: int = 0
    ids: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0

    def blame(self, fault: str) -> None:
        self.fault_count += 1
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(fault)

    def take(self, record: EvidenceRecord) -> None:
        """Read one more link."""
        if record.sequence != self.sequence + 1:
            self.blame(f"{record.id}: what is before it is missing: number {record.sequence} follows {self.sequence}")
        if record.hash != link_hash(self.hash, asdict(record)):
            self.blame(f"{record.id}: its row, or what is before it, is not what was written")
        # Of what was told, the next link is judged by: one fault is one.
        self.sequence, self.hash = record.sequence, record.hash
        self.ids.add(record.id)


async def verify_evidence(store: EvidenceStore, directory: Path, anchor: tuple[int, bytes] | None = None) -> Verdict:
    """Read the chain, and the files on this disk.

    Args:
        store: The index.
        directory: Where the folders are.
        anchor: A link that was noted before, which has to be in the chain as it was.

    Raises:
        StoreUnavailableError: The index cannot be asked at all.
    """
    reading = _Reading()
    end = await store.end()
    try:
        async for records in store.chain():
            for record in records:
                reading.take(record)
                if anchor is not None and record.sequence == anchor[0] and record.hash != anchor[1]:
                    reading.blame(f"{record.id}: the chain up to it is not what was noted")
                await _check_files(reading, record, directory)
    except (StoreUnavailableError, ValueError, TypeError) as exc:
        reading.blame(f"what comes after number {reading.sequence} cannot be read: {exc}")
    else:
        # Links may have been added since the end was read.
        if reading.sequence < end[0] or (reading.sequence == end[0] and reading.hash != end[1]):
            reading.blame(f"the chain ends at number {end[0]}, and its end is missing or another")
    if anchor is not None and reading.sequence < anchor[0]:
        reading.blame(f"number {anchor[0]}, which was noted, is missing")
    for name in await asyncio.to_thread(_folders, directory):
        if name not in reading.ids:
            reading.blame(f"{name}: a folder that the index does not know")
    return Verdict(
        len(reading.ids), reading.deleted, reading.stamped, f"{reading.sequence}:{reading.hash.hex()}",
        tuple(reading.faults), reading.fault_count,
    )  # fmt: skip


async def _check_files(reading: _Reading, record: EvidenceRecord, directory: Path) -> None:
    if record.deleted_at is not None:
        reading.deleted += 1
        return
    path = directory / record.id
    for fault in await asyncio.to_thread(partial(_check, path, record)):
        reading.blame(f"{record.id}: {fault}")
    reading.stamped += await asyncio.to_thread((path / STAMP_NAME).exists)


def _check(path: Path, record: EvidenceRecord) -> list[str]:
    if not path.exists():
        return ["its files are not on this disk"]
    faults = check_folder(path, record.sums)
    try:
        if record.hash.hex() not in (path / CHAIN_NAME).read_text():
            faults.append(f"{CHAIN_NAME} has another hash")
    except (OSError, ValueError):
        faults.append(f"{CHAIN_NAME} is missing")
    if (path / STAMP_NAME).exists():
        try:
            check_stamp((path / STAMP_NAME).read_bytes(), (path / SUMS_NAME).read_bytes())
        except (OSError, StampError) as exc:
            faults.append(f"{STAMP_NAME}: {exc}")
    elif record.stamped_at is not None:
        faults.append(f"{STAMP_NAME} is missing")
    return faults


def _folders(directory: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in directory.iterdir() if is_id(IdKind.EVIDENCE, entry.name))
    except FileNotFoundError:
        return []
