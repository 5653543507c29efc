"""Where evidence stands: its folders on the disk, its index, and how long it is kept."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from streamd.errors import EvidenceGoneError, StampError
from streamd.limits import DEFAULT, MODERATION
from streamd.services.audit.audit_log import entry_of
from streamd.services.audit.records import SERVER
from streamd.services.moderation.act_details import ActDetails
from streamd.services.moderation.evidence.chain import EvidenceRecord
from streamd.services.moderation.evidence.folder import (
    CHAIN_NAME,
    FACTS_NAME,
    STAMP_NAME,
    SUMS_NAME,
    UNFINISHED,
    FolderWriter,
    folder_bytes,
    read_sums,
)
from streamd.services.moderation.ids import IdKind, is_id
from streamd.services.recording.folder import free_bytes
from streamd.services.whole_file import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    from streamd.clock import Clock
    from streamd.services.audit.records import Actor
    from streamd.services.moderation.evidence.store import EvidenceStore
    from streamd.services.moderation.evidence.timestamping import TimeStamper

log = logging.getLogger(__name__)

T = TypeVar("T")

# Space that stays free on the disk; recordings have a bound of their own, which is higher.
FREE_BYTES_MIN = 512 * 1024 * 1024
# Beyond the bound of all evidence, pieces are a picture and facts, some 100 kB: room for 2,500 of them.
SMALL_BYTES = 256 * 1024 * 1024
# Rows that are looked at together when something is to be deleted.
RETENTION_AT_ONCE = 100
# An authority that does not answer is asked again, for a day: a stamp of a later day says little.
STAMP_FOR = timedelta(days=1)
STAMPS_AT_ONCE = 20
FACTS_BYTES_MAX = 256 * 1024
_BESIDE = frozenset({SUMS_NAME, CHAIN_NAME, STAMP_NAME})


class Cases(Protocol):
    """What evidence has to know of cases (``EvidenceCases``)."""

    async def about(self, case_id: str) -> tuple[str, bool]:
        """The category of a case, and whether nobody sees its evidence who need not."""

    async def restricted_among(self, case_ids: Collection[str]) -> Collection[str]:
        """Those of some cases whose evidence nobody sees who need not."""

    async def needed_among(self, case_ids: Collection[str], before: datetime) -> Collection[str]:
        """Those of some cases whose evidence is kept: open, or decided or complained about since a time."""


@dataclass(frozen=True, slots=True)
class EvidenceOptions:
    """How much is kept, and for how long."""

    last_s: int = MODERATION.evidence_s
    """Media before a report, seconds; 0 for a picture and facts alone."""
    keep_days: int = MODERATION.evidence_keep_days
    """Days after the decision. Six months: as long as it can be complained about."""
    bytes_max: int = DEFAULT.evidence_bytes_max
    """Of all evidence on the disk. Beyond it, pieces are a picture and facts."""


class EvidenceShelf:
    """The evidence of a server.

    Args:
        options: How much, and for how long.
        directory: Where the folders are; made when it is needed.
        store: The index.
        clock: For dates.
        pool: Threads that may wait for the disk.
        cases: Says of what they are, and whose evidence is needed.
        stamper: Has pieces stamped with the time, where it has an authority.

    Attributes:
        options: As given; another may be put in its place.
        store: As given.
        cases: As given.
        directory: As given.
        stamper: As given.
        total_bytes: All evidence on the disk, with what is being written, bytes.
        writing: Ids of the pieces that are being kept: nobody else touches their folders.
    """

    def __init__(
        self,
        options: EvidenceOptions,
        directory: Path,
        store: EvidenceStore,
        clock: Clock,
        pool: Executor,
        *,
        cases: Cases,
        stamper: TimeStamper,
    ) -> None:
        self.options = options
        self.store = store
        self.cases = cases
        self.directory = directory
        self.total_bytes = 0
        self.writing: set[str] = set()
        self._clock = clock
        self._pool = pool
        self.stamper = stamper
        self._stamp_fault = ""

    async def open(self) -> None:
        """Count what is there, and add what an earlier server has kept and not told the index of.

        Raises:
            OSError: The disk does not answer.
            StoreUnavailableError: The index does not.
        """
        self.total_bytes = await self.on_disk(partial(folder_bytes, self.directory))
        await self.settle()

    async def on_disk(self, work: Callable[[], T]) -> T:
        """Do work that waits for the disk, in a thread.

        Raises:
            OSError: As the work raises it.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    # -- a new piece -------------------------------------------------------------------------------

    def begin(self, evidence_id: str) -> FolderWriter:
        """Begin the folder of a piece; in a thread.

        Raises:
            OSError: The disk does not take it.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return FolderWriter(self.directory / evidence_id)

    def room(self) -> int:
        """Bytes that media may still take; below 0 by up to ``SMALL_BYTES`` there is room for small pieces alone.

        In a thread.

        Raises:
            OSError: The disk does not answer, or there is no room for anything.
        """
        room = min(self.options.bytes_max - self.total_bytes, free_bytes(self.directory) - FREE_BYTES_MIN - SMALL_BYTES)
        if room + SMALL_BYTES <= 0:
            raise OSError("there is no room for evidence ([limits] evidence_bytes_max)")
        return room

    async def link(self, facts: dict[str, Any], sums: bytes) -> EvidenceRecord:
        """Add a whole folder to the index, and write its link of the chain beside its files.

        Args:
            facts: What ``facts.json`` says.
            sums: The SHA-256 of its ``SHA256SUMS``.

        Raises:
            StoreUnavailableError: The index does not take it; the folder waits for the next look.
            OSError: The link cannot be written; the index has it.
        """
        record = _record_of(facts, sums)
        seconds = round((record.kept_at - datetime.fromisoformat(facts["reported_at"])).total_seconds())
        linked = await self.store.add(
            record, entry_of(self._clock.now(), SERVER, "evidence.kept", **_of(record, record.id, max(0, seconds)))
        )
        link = {name: value.hex() if isinstance(value, bytes) else value for name, value in asdict(linked).items()}
        for name in ("stamped_at", "deleted_at", "delete_reason"):
            del link[name]
        link["kept_at"] = linked.kept_at.isoformat()
        data = json.dumps(link, indent=2).encode()
        await self.on_disk(partial(replace_file, self.directory / linked.id / CHAIN_NAME, data))
        return linked

    # -- showing -----------------------------------------------------------------------------------

    async def facts(self, record: EvidenceRecord) -> dict[str, Any]:
        """What is known of a piece.

        Raises:
            EvidenceGoneError: Its files are not here.
        """
        path = self._folder(record)
        try:
            _, facts = await self.on_disk(partial(_read_folder, path))
        except (OSError, ValueError):
            raise EvidenceGoneError(f"the files of {record.id} are not on this server") from None
        return facts

    async def file(self, record: EvidenceRecord, name: str) -> Path:
        """A file of a piece.

        Args:
            record: The piece.
            name: One that ``SHA256SUMS`` has, or of what is beside those files.

        Raises:
            EvidenceGoneError: It is not here.
        """
        path = self._folder(record)

        def find() -> bool:
            return (name in _BESIDE or name in read_sums(path)[1]) and (path / name).is_file()

        with contextlib.suppress(OSError, ValueError):
            if await self.on_disk(find):
                return path / name
        raise EvidenceGoneError(f"{record.id} has no file of that name on this server")

    async def note_read(self, record: EvidenceRecord, what: str, actor: Actor, reason: str = "") -> None:
        """Write into the audit log who reads what of a piece, before they do.

        Args:
            record: The piece.
            what: Name of a file, or what else is read.
            actor: Who.
            reason: Why, in their words.

        Raises:
            StoreUnavailableError: It could not be written: nothing is to be shown.
        """
        words = f"{record.id}/{what}" + (f": {reason}" if reason else "")
        await self.store.note_read(entry_of(self._clock.now(), actor, "evidence.read", **_of(record, words)))

    async def as_now(self, records: Sequence[EvidenceRecord]) -> list[EvidenceRecord]:
        """Pieces as restricted as their cases are by now: a later report may have said what it is.

        Raises:
            StoreUnavailableError: The cases could not be read.
        """
        restricted = await self.cases.restricted_among({record.case_id for record in records})
        return [replace(each, is_restricted=each.is_restricted or each.case_id in restricted) for each in records]

    # -- keeping house -----------------------------------------------------------------------------

    async def settle(self) -> None:
        """Add whole folders that the index does not have, and remove half ones.

        Raises:
            OSError: The disk does not answer.
            StoreUnavailableError: The index does not.
        """
        busy = frozenset(self.writing)

        def look() -> list[str]:
            names = [entry.name for entry in self.directory.iterdir()] if self.directory.exists() else []
            for name in names:
                if name.endswith(UNFINISHED) and name.partition(".")[0] not in busy:
                    shutil.rmtree(self.directory / name, ignore_errors=True)
            whole = [name for name in names if is_id(IdKind.EVIDENCE, name) and name not in busy]
            return sorted(name for name in whole if not (self.directory / name / CHAIN_NAME).exists())

        for name in await self.on_disk(look):
            try:
                sums, facts = await self.on_disk(partial(_read_folder, self.directory / name))
                await self.link(facts, sums)
            except (ValueError, KeyError, TypeError):
                log.warning("evidence.unreadable", extra={"evidence_id": name})

    async def retain(self) -> None:
        """Delete what was kept for long enough after its case was decided.

        Raises:
            OSError: Something of it is still there.
            StoreUnavailableError: The index does not answer.
        """
        before, after = self._clock.now() - timedelta(days=self.options.keep_days), 0
        while records := await self.store.old(before, after, RETENTION_AT_ONCE):
            after = records[-1].sequence
            needed = await self.cases.needed_among({record.case_id for record in records}, before)
            for record in records:
                if record.case_id not in needed:
                    await self._delete(record, f"kept for {self.options.keep_days} days after the decision")

    @property
    def has_stamper(self) -> bool:
        """Whether there is an authority."""
        return bool(self.stamper.url)

    async def stamp(self) -> None:
        """Have the pieces stamped that wait for it; the first failure leaves the others for the next time.

        Raises:
            OSError: The disk does not answer.
            StoreUnavailableError: The index does not.
        """
        if not self.stamper.url:
            return
        for record in await self.store.unstamped(self._clock.now() - STAMP_FOR, STAMPS_AT_ONCE):
            path = self.directory / record.id
            try:
                sums = await self.on_disk((path / SUMS_NAME).read_bytes)
            except FileNotFoundError:
                # On the disk of another server.
                continue
            try:
                answer, at = await self.stamper.stamp(sums)
            except StampError as exc:
                # Said once: an authority may be away for a day.
                if str(exc) != self._stamp_fault:
                    log.warning("evidence.unstamped", extra={"evidence_id": record.id, "reason": str(exc)})
                self._stamp_fault = str(exc)
                return
            self._stamp_fault = ""
            await self.on_disk(partial(replace_file, path / STAMP_NAME, answer))
            await self.store.note_stamped(record.id, at)

    # -- inside ------------------------------------------------------------------------------------

    async def _delete(self, record: EvidenceRecord, why: str) -> None:
        path = self.directory / record.id

        def remove() -> int:
            size = folder_bytes(path)
            if path.exists():
                shutil.rmtree(path)
            return size

        # The files first: a row that says that they are gone is never wrong.
        size = await self.on_disk(remove)
        self.total_bytes = max(0, self.total_bytes - size)
        now = self._clock.now()
        entry = entry_of(now, SERVER, "evidence.deleted", **_of(record, f"{record.id}: {why}"))
        await self.store.note_deleted(record, now, why, entry)
        log.info("evidence.deleted", extra={"evidence_id": record.id, "case_id": record.case_id, "reason": why})

    def _folder(self, record: EvidenceRecord) -> Path:
        if record.deleted_at is not None:
            raise EvidenceGoneError(f"the files of {record.id} are deleted: {record.delete_reason}")
        return self.directory / record.id


def _of(record: EvidenceRecord, words: str, seconds: int | None = None) -> dict[str, Any]:
    """What the audit log's row of an act on a piece says beside the act."""
    return {
        "user": record.channel or None,
        "stream": record.channel or None,
        "subject": record.case_id,
        "reason": ActDetails(category=record.category, seconds=seconds).text(words),
    }


def _read_folder(path: Path) -> tuple[bytes, dict[str, Any]]:
    """The SHA-256 of a folder's ``SHA256SUMS``, and its facts."""
    sums, _ = read_sums(path)
    with (path / FACTS_NAME).open("rb") as file:
        facts = json.loads(file.read(FACTS_BYTES_MAX))
    if not isinstance(facts, dict):
        raise ValueError("the facts are no object")  # as of any other text that is none of ours
    return sums, facts


def _record_of(facts: dict[str, Any], sums: bytes) -> EvidenceRecord:
    """The piece that a folder's facts tell of."""
    return EvidenceRecord(
        id=facts["id"],
        case_id=facts["case_id"],
        target_kind=facts["target"]["kind"],
        target_id=facts["target"]["id"],
        channel=facts["channel"],
        category=facts["category"],
        is_restricted=facts["is_restricted"],
        kept_at=datetime.fromisoformat(facts["kept_at"]),
        size_bytes=sum(file["bytes"] for file in facts["files"]),
        media_ms=facts["media_ms"],
        has_picture=facts["picture"] is not None,
        sums=sums,
    )
