"""``streamd recordings verify``: what was kept, compared with its hashes, on the disk and in the bucket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from streamd.errors import StorageError
from streamd.process.options import storage_options
from streamd.services.recording.folder import RecordingFolder
from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.records import RecordingState
from streamd.services.recording.verify import find_recordings, verify
from streamd.services.storage.bucket import Bucket
from streamd.services.storage.upload_journal import UploadJournal, read_journal
from streamd.services.storage.verify import find_stored, verify_stored
from streamd.services.store.database import Database

if TYPE_CHECKING:
    from streamd.process.config import Config
    from streamd.services.recording.records import RecordingRecord
    from streamd.services.recording.verify import FileFault
    from streamd.services.storage.place import StorageOptions


def verify_disk(config: Config, recording_id: str | None, *, enters: bool) -> bool:
    """Read what the disk has, and say what became of it; whether all of it is as it was written.

    Args:
        config: Where recordings are.
        recording_id: The one to look at; None for all that have ended.
        enters: What is found is entered into the database first.
    """
    directory, storage = config.recordings_dir, storage_options(config)
    found = [record for record in find_recordings(directory) if recording_id in (None, record.id)]
    if not found:
        click.echo(f"There is no such recording in {directory}." if recording_id else f"No recordings in {directory}.")
        return recording_id is None
    if enters:
        asyncio.run(_enter(config.database_url, found))
    is_whole = True
    for record in found:
        if record.state is RecordingState.RECORDING:
            click.echo(f"{record.id}  has not ended")
            continue
        folder = RecordingFolder(directory / record.path)
        journal = read_journal(folder, str(storage.place)) if storage is not None else UploadJournal()
        elsewhere = journal.files if journal.is_media_deleted else {}
        faults = verify(folder, elsewhere)
        is_whole = is_whole and not faults
        _tell(record, faults, "; its media is in the bucket (--bucket reads it)" if elsewhere else "")
    return is_whole


def verify_storage(config: Config, recording_id: str | None, *, enters: bool) -> bool:
    """Read what the bucket has, and say what became of it; whether all of it is as it was written.

    Args:
        config: Where the bucket is.
        recording_id: The one to look at; None for all.
        enters: What is found is entered into the database afterwards.

    Raises:
        click.UsageError: There is no bucket.
    """
    storage = storage_options(config)
    if storage is None:
        raise click.UsageError("there is no bucket: [storage] url is empty")
    return asyncio.run(_verify_bucket(config, storage, recording_id, enters=enters))


def _tell(record: RecordingRecord, faults: list[FileFault], more: str = "") -> None:
    click.echo(f"{record.id}  {'whole' if not faults else f'{len(faults)} faults'}{more}")
    for fault in faults:
        click.echo(f"  {fault.path} {fault.fault}")


async def _verify_bucket(config: Config, storage: StorageOptions, recording_id: str | None, *, enters: bool) -> bool:
    bucket = Bucket(storage)
    is_whole, found = True, []
    try:
        async for record, document in find_stored(bucket, config.recordings_dir):
            if recording_id not in (None, record.id):
                continue
            found.append(record)
            faults = await verify_stored(bucket, record.path, document)
            is_whole = is_whole and not faults
            _tell(record, faults)
    except StorageError as exc:
        click.echo(f"{storage.place}: {exc}")
        return False
    finally:
        bucket.close()
    if enters:
        await _enter(config.database_url, found)
    if not found:
        click.echo(f"There is no such recording in {storage.place}." if recording_id else "No recordings there.")
    return is_whole and (bool(found) or recording_id is None)


async def _enter(database_url: str, records: list[RecordingRecord]) -> None:
    """Have the index know recordings as their folders have them; titles, visibilities and pins that it knows stay."""
    database = Database(database_url)
    await database.start()
    try:
        index = RecordingIndex(database)
        for record in records:
            # One that has not ended is a running server's to speak of.
            if record.state is not RecordingState.RECORDING:
                await index.save(record)
    finally:
        await database.close()
