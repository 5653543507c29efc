"""The index of recordings, in the key store's database.

The folder of a recording holds all that the index knows but its title, its visibility and its pin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, case, delete, func, insert, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from streamd.errors import RecordingNotFoundError, UserNotFoundError
from streamd.services.audit.audit_log import append_entries
from streamd.services.audit.records import AuditEntry
from streamd.services.recording.clip_records import VIEWER, ClipState
from streamd.services.recording.records import RecordingFilter, RecordingRecord, RecordingState, Visibility
from streamd.services.store.database import Database
from streamd.services.store.page import Page
from streamd.services.store.schema import clips, recording_wishes, recordings, users

# Facts of the recorder; a title, a visibility and a pin are people's.
_RECORDED = ("state", "reason", "ended_at", "duration_ms", "size_bytes")


# In the words of two indexes, as databases ask: those that are there, which may be few among all that ever were, and
# those whose files are still to go.
_THERE = recordings.c.state != literal_column("'deleted'")
_LEFT = (recordings.c.state == literal_column("'deleted'")) & (recordings.c.size_bytes > literal_column("0"))

# The size that a deleted recording counts until its files are removed; there are documents where there is no media.
_LEFT_BYTES = case((recordings.c.size_bytes > 0, recordings.c.size_bytes), else_=1)


@dataclass(frozen=True, slots=True)
class Clipped:
    """The clips for which a recording is spared: those of operators and broadcasters, and newer ones of viewers."""

    by_viewers_since: datetime | None = None
    """Clips of viewers hold it if they are no older than this, aware; None: they do not hold it."""

    @property
    def condition(self) -> ColumnElement[bool]:
        """Holds of such a clip."""
        by_others = clips.c.created_by != VIEWER
        if self.by_viewers_since is None:
            return (clips.c.state == ClipState.READY) & by_others
        return (clips.c.state == ClipState.READY) & (by_others | (clips.c.created_at >= self.by_viewers_since))


class RecordingIndex:
    """The recordings of a server, or of several on one database.

    Args:
        database: The key store's.

    Attributes:
        edits: Counts what people and rules of this process have changed: what was read before may be no more so.
        begun_or_ended: Counts recordings of this process that are new, or in another state.
        is_shared: Other servers may have recordings in it, whose folders are not here.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.edits = 0
        self.begun_or_ended = 0
        self.is_shared = not database.is_sqlite

    def note_edit(self) -> None:
        """Take note that something of a recording was decided elsewhere: what was read of any may be no more so."""
        self.edits += 1

    async def save(self, record: RecordingRecord) -> None:
        """Add a recording, or say what has become of it; people's facts about it stay, and a deletion is for good.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        values = asdict(record)
        async with self._database.writing() as connection:
            chosen = recordings.c.id == record.id
            known = (await connection.execute(select(recordings.c.state).where(chosen))).scalar_one_or_none()
            if known is None:
                await connection.execute(insert(recordings).values(values))
            else:
                # A word that comes late does not bring it back, nor do files that could not be removed.
                await connection.execute(
                    update(recordings)
                    .where(chosen, recordings.c.state != RecordingState.DELETED)
                    .values({name: values[name] for name in _RECORDED})
                )
        # Its size changes with each segment, and nobody looks at a list for that.
        self.begun_or_ended += known != record.state

    async def change(
        self,
        recording_id: str,
        entry: AuditEntry | None = None,
        *,
        title: str | None = None,
        visibility: Visibility | None = None,
        is_kept: bool | None = None,
    ) -> RecordingRecord:
        """Change people's facts about a recording.

        Args:
            recording_id: Its id.
            entry: The row of the audit log that tells of it; None for none.
            title: The new one; None leaves it, as with the others.
            visibility: Likewise.
            is_kept: Likewise.

        Returns:
            The recording as it is now.

        Raises:
            RecordingNotFoundError: There is none.
            StoreUnavailableError: It could not be written.
        """
        asked = {"title": title, "visibility": visibility, "is_kept": is_kept}
        values = {name: value for name, value in asked.items() if value is not None}
        chosen = recordings.c.id == recording_id
        async with self._database.writing() as connection:
            if values:
                await connection.execute(update(recordings).where(chosen).values(values))
            row = (await connection.execute(select(recordings).where(chosen))).one_or_none()
            if row is None:
                raise RecordingNotFoundError(recording_id)
            if entry is not None:
                await append_entries(connection, [entry])
        self.edits += 1
        return _record(row)

    async def note_deleted(
        self, recording_id: str, reason: str, entry: AuditEntry, *, spared: Clipped | None = None
    ) -> bool:
        """Note that a recording is deleted, with its row in the audit log; its bytes count until its files are gone.

        Its clips are deleted in the same step.

        Args:
            recording_id: Its id.
            reason: The reason.
            entry: The row of the audit log.
            spared: One of which there is such a clip stays; None: however many there are.

        Returns:
            Whether it is deleted.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        chosen = recordings.c.id == recording_id
        async with self._database.writing() as connection:
            if spared is not None:
                # Held, so that no clip is made of it in this moment.
                await connection.execute(select(recordings.c.id).where(chosen).with_for_update())
                made = (clips.c.recording_id == recording_id) & spared.condition
                if (await connection.execute(select(clips.c.id).where(made).limit(1))).one_or_none() is not None:
                    return False
            await connection.execute(
                update(recordings)
                .where(chosen)
                .values(state=RecordingState.DELETED, reason=reason, size_bytes=_LEFT_BYTES)
            )
            await _delete_clips(connection, clips.c.recording_id == recording_id, reason)
            await append_entries(connection, [entry])
        self.edits += 1
        return True

    async def clipped(self, recording_ids: Sequence[str], spared: Clipped) -> frozenset[str]:
        """Those of some recordings of which somebody has made such a clip.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        found = clips.c.recording_id.in_(recording_ids) & spared.condition
        async with self._database.reading() as connection:
            rows = await connection.execute(select(clips.c.recording_id).where(found).distinct())
            return frozenset(row.recording_id for row in rows)

    async def existing(self, recording_ids: Sequence[str]) -> frozenset[str]:
        """Those of some recordings that are not deleted.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        found = recordings.c.id.in_(recording_ids) & (recordings.c.state != RecordingState.DELETED)
        async with self._database.reading() as connection:
            rows = await connection.execute(select(recordings.c.id).where(found))
            return frozenset(row.id for row in rows)

    async def note_files_gone(self, recording_id: str) -> None:
        """Note that the files of a recording that is deleted are removed.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            await connection.execute(
                update(recordings)
                .where(recordings.c.id == recording_id, recordings.c.state == RecordingState.DELETED)
                .values(size_bytes=0)
            )

    async def with_files_left(self, limit: int) -> list[RecordingRecord]:
        """Recordings that are deleted, and whose files were not removed: the server was stopped, or the disk failed.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        query = select(recordings).where(_LEFT).order_by(recordings.c.id.desc()).limit(limit)
        async with self._database.reading() as connection:
            return [_record(row) for row in (await connection.execute(query)).all()]

    async def find(self, recording_id: str) -> RecordingRecord | None:
        """Find a recording; None where there is none.

        Raises:
            StoreUnavailableError: It could not be read.
        """
        async with self._database.reading() as connection:
            row = (await connection.execute(select(recordings).where(recordings.c.id == recording_id))).one_or_none()
        return _record(row) if row is not None else None

    async def page(
        self, found: RecordingFilter, *, before: str = "", limit: int, is_oldest_first: bool = False
    ) -> Page[RecordingRecord]:
        """Recordings, the newest first.

        Args:
            found: Which.
            before: Only those that come behind this id in that order; empty for all.
            limit: The most that are returned.
            is_oldest_first: The oldest first.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        by = recordings.c.id
        query = select(recordings).order_by(by if is_oldest_first else by.desc()).limit(limit + 1)
        if found.user:
            query = query.where(recordings.c.user == found.user)
        if found.state is not None:
            query = query.where(recordings.c.state == found.state)
        if found.state is not RecordingState.DELETED:
            query = query.where(_THERE)
        if found.visibility is not None:
            query = query.where(recordings.c.visibility == found.visibility)
        if before:
            query = query.where(by > before if is_oldest_first else by < before)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return Page([_record(row) for row in rows[:limit]], has_more=len(rows) > limit)

    async def size_bytes(self) -> int:
        """Bytes of all recordings but deleted ones.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        query = select(func.sum(recordings.c.size_bytes)).where(_THERE)
        async with self._database.reading() as connection:
            return int((await connection.execute(query)).scalar_one() or 0)

    # -- users' wishes ---------------------------------------------------------------------------

    async def wishes(self) -> dict[str, bool]:
        """The users for whom it is decided whether they are recorded.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        async with self._database.reading() as connection:
            return {row.user: row.record for row in await connection.execute(select(recording_wishes))}

    async def set_wish(self, user: str, *, record: bool | None, entry: AuditEntry) -> None:
        """Decide whether a user's broadcasts are recorded; None leaves it to the configuration.

        Raises:
            UserNotFoundError: There is no such user.
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            if (await connection.execute(select(users.c.name).where(users.c.name == user))).one_or_none() is None:
                raise UserNotFoundError(user)
            await connection.execute(delete(recording_wishes).where(recording_wishes.c.user == user))
            if record is not None:
                await connection.execute(insert(recording_wishes).values(user=user, record=record))
            await append_entries(connection, [entry])

    async def forget_user(self, user: str, entry: AuditEntry) -> Sequence[str]:
        """Delete the recordings of a user who is deleted with their clips, and the decision over them, in one step.

        The files are the server's to remove (``with_files_left``).

        Args:
            user: Name of the user.
            entry: The row of the audit log that tells of each.

        Returns:
            The ids of the recordings.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        found = (recordings.c.user == user) & _THERE
        async with self._database.writing() as connection:
            # Held until they are deleted: no state of one is written between.
            held = select(recordings.c.id).where(found).with_for_update()
            deleted = [row.id for row in await connection.execute(held)]
            await connection.execute(
                update(recordings)
                .where(found)
                .values(state=RecordingState.DELETED, reason=entry.reason, size_bytes=_LEFT_BYTES)
            )
            await _delete_clips(connection, clips.c.user == user, entry.reason)
            await _forget_titles(connection, user)
            await connection.execute(delete(recording_wishes).where(recording_wishes.c.user == user))
            await append_entries(connection, [entry] * len(deleted))
        self.edits += 1
        return deleted


async def _forget_titles(connection: AsyncConnection, user: str) -> None:
    """Erase the words of a user who is deleted; when something was recorded, and why it was deleted, stays."""
    chosen = (recordings.c.user == user) & (recordings.c.state == RecordingState.DELETED)
    await connection.execute(update(recordings).where(chosen).values(title=""))
    of_user = (clips.c.user == user) & (clips.c.state == ClipState.DELETED)
    await connection.execute(update(clips).where(of_user).values(title=""))


async def _delete_clips(connection: AsyncConnection, chosen: ColumnElement[bool], reason: str) -> None:
    ready = chosen & (clips.c.state == ClipState.READY)
    await connection.execute(update(clips).where(ready).values(state=ClipState.DELETED, reason=reason))


def _record(row: Row[Any]) -> RecordingRecord:
    values = row._asdict()
    return RecordingRecord(
        **values | {"state": RecordingState(values["state"]), "visibility": Visibility(values["visibility"])}
    )
