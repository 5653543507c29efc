"""The index of clips, in the key store's database."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, func, insert, select, update

from streamd.errors import ClipNotFoundError, ClipRefusedError, RecordingNotFoundError
from streamd.services.audit.audit_log import append_entries
from streamd.services.recording.clip_records import MEDIA, Clip, ClipMedia, ClipState
from streamd.services.recording.records import RecordingState
from streamd.services.store.page import Page
from streamd.services.store.schema import clips, recordings

if TYPE_CHECKING:
    from streamd.services.audit.records import AuditEntry
    from streamd.services.recording.clip_records import ClipFilter
    from streamd.services.recording.index import RecordingIndex
    from streamd.services.store.database import Database

# A clip is 1 to 20 kB of the database, and each keeps its recording from being deleted by a rule.
CLIPS_PER_RECORDING_MAX = 1000
# Of a list: a thousand clips have megabytes of media facts.
_FACTS = tuple(column for column in clips.c if column.name != "media")


class ClipIndex:
    """The clips of a server, or of several on one database.

    Args:
        database: The key store's.
        recordings: The index of recordings: its ``edits`` move with a clip that is deleted.
    """

    def __init__(self, database: Database, recordings: RecordingIndex) -> None:
        self._database = database
        self._recordings = recordings

    async def add(self, clip: Clip, entry: AuditEntry) -> None:
        """Add a clip; its recording is not deleted by a rule from here on.

        Args:
            clip: The clip.
            entry: The row of the audit log that tells of it.

        Raises:
            RecordingNotFoundError: There is no such recording.
            ClipRefusedError: It is deleted, or has too many clips.
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            # It is held, so that no rule deletes it in this moment.
            held = select(recordings.c.state).where(recordings.c.id == clip.recording_id).with_for_update()
            state = (await connection.execute(held)).scalar_one_or_none()
            if state is None:
                raise RecordingNotFoundError(clip.recording_id)
            if state == RecordingState.DELETED:
                raise ClipRefusedError("the recording is deleted")
            of_it = (clips.c.recording_id == clip.recording_id) & (clips.c.state == ClipState.READY)
            count = (await connection.execute(select(func.count()).where(of_it))).scalar_one()
            if count >= CLIPS_PER_RECORDING_MAX:
                raise ClipRefusedError(f"a recording has {CLIPS_PER_RECORDING_MAX} clips at most")
            values = {each.name: getattr(clip, each.name) for each in fields(clip)}
            await connection.execute(insert(clips).values(values | {"media": MEDIA.dump_json(clip.media).decode()}))
            await append_entries(connection, [entry])
        # A reader of the lists learns of it.
        self._recordings.begun_or_ended += 1

    async def delete(self, clip_id: str, reason: str, entry: AuditEntry) -> Clip:
        """Delete a clip; one that is deleted already stays as it is.

        Returns:
            The clip as it is now.

        Raises:
            ClipNotFoundError: There is none.
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            deleted = await connection.execute(
                update(clips)
                .where(clips.c.id == clip_id, clips.c.state == ClipState.READY)
                .values(state=ClipState.DELETED, reason=reason)
            )
            row = (await connection.execute(select(clips).where(clips.c.id == clip_id))).one_or_none()
            if row is None:
                raise ClipNotFoundError(clip_id)
            if deleted.rowcount:
                await append_entries(connection, [entry])
        self._recordings.edits += 1
        return _clip(row)

    async def rename(self, clip_id: str, title: str, entry: AuditEntry) -> Clip:
        """Give a clip another title.

        Args:
            clip_id: Its id.
            title: The title; empty for none.
            entry: The row of the audit log that tells of it.

        Returns:
            The clip as it is now.

        Raises:
            ClipNotFoundError: There is none, or it is deleted.
            StoreUnavailableError: It could not be written.
        """
        chosen = (clips.c.id == clip_id) & (clips.c.state == ClipState.READY)
        async with self._database.writing() as connection:
            await connection.execute(update(clips).where(chosen).values(title=title))
            row = (await connection.execute(select(clips).where(chosen))).one_or_none()
            if row is None:
                raise ClipNotFoundError(clip_id)
            await append_entries(connection, [entry])
        # The answer of a moment ago is forgotten.
        self._recordings.edits += 1
        return _clip(row)

    async def find(self, clip_id: str) -> Clip | None:
        """Find a clip; None where there is none.

        Raises:
            StoreUnavailableError: It could not be read.
        """
        async with self._database.reading() as connection:
            row = (await connection.execute(select(clips).where(clips.c.id == clip_id))).one_or_none()
        return _clip(row) if row is not None else None

    async def page(self, found: ClipFilter, *, before: str = "", limit: int) -> Page[Clip]:
        """Clips, the newest first, without their media.

        Args:
            found: Which.
            before: Only those that are older than this id; empty for all.
            limit: The most that are returned.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        query = select(*_FACTS).order_by(clips.c.id.desc()).limit(limit + 1)
        if found.user:
            query = query.where(clips.c.user == found.user)
        if found.recording_id:
            query = query.where(clips.c.recording_id == found.recording_id)
        if found.state is not None:
            query = query.where(clips.c.state == found.state)
        if before:
            query = query.where(clips.c.id < before)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return Page([_clip(row) for row in rows[:limit]], has_more=len(rows) > limit)


def _clip(row: Row[Any]) -> Clip:
    values = row._asdict()
    media = MEDIA.validate_json(values["media"]) if "media" in values else ClipMedia()
    return Clip(**values | {"state": ClipState(values["state"]), "media": media})
