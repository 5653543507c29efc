"""``streamd recordings``: what was kept of broadcasts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from streamd.process.cli.arguments import User, config_options, json_option, load
from streamd.process.cli.ask import on_server
from streamd.process.cli.exit_codes import EXIT_FAILED
from streamd.process.cli.output import format_time, print_json, print_table
from streamd.process.remote_recordings import RemoteRecordings
from streamd.services.recording.export_records import ExportState
from streamd.services.recording.recording_id import is_recording_id
from streamd.services.recording.records import RecordingState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streamd.process.config import Config

_Result = TypeVar("_Result")

# An export is asked after this often, seconds; a short one is done within one.
EXPORT_POLL_S = 0.5


class RecordingIdType(click.ParamType[str]):
    """The id of a recording."""

    name = "recording_id"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take an id, or say what one looks like."""
        if not is_recording_id(value):
            self.fail("a recording's id begins with rec_ (see: streamd recordings list)", param, ctx)
        return value


recording_argument = click.argument("recording_id", type=RecordingIdType())


@click.group("recordings")
def recordings_group() -> None:
    """List, show, verify, export and delete recordings."""


@recordings_group.command("list")
@click.option("--user", type=User(), help="Only recordings of this user.")
@click.option("--state", type=click.Choice([state.value for state in RecordingState]), help="Only those in this state.")
@json_option
@config_options
def list_recordings(
    user: str | None, state: str | None, as_json: bool, config_file: Path | None, data_dir: Path | None
) -> None:
    """List recordings, the newest first."""
    found = _ask(load(config_file, data_dir), lambda client: client.list_recordings(user=user, state=state))
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "user", "state", "began", "length", "MB", "visibility", "kept", "title"),
        [
            (
                each.id,
                each.user,
                each.state,
                format_time(each.started_at),
                _length(each.duration_s),
                f"{each.bytes / 1e6:.1f}",
                each.visibility,
                "yes" if each.keep else "",
                each.title,
            )
            for each in found
        ],
        nothing="There are no such recordings. [recording] mode says which broadcasts are recorded.",
    )


@recordings_group.command("show")
@recording_argument
@config_options
def show_recording(recording_id: str, config_file: Path | None, data_dir: Path | None) -> None:
    """Show all facts of a recording, as JSON."""
    print_json(_ask(load(config_file, data_dir), lambda client: client.get_recording(recording_id)))


@recordings_group.command("delete")
@recording_argument
@click.option("--reason", default="", help="Why, for the audit log.")
@config_options
def delete_recording(recording_id: str, reason: str, config_file: Path | None, data_dir: Path | None) -> None:
    """Delete a recording and its files. When the command returns, nobody finds it."""
    _ask(
        load(config_file, data_dir),
        lambda client: client.delete_recording(recording_id, reason=reason),
    )
    click.echo(f"Recording {recording_id} is deleted.")


@recordings_group.command("export")
@recording_argument
@click.option(
    "--to", "target", type=click.Path(path_type=Path, dir_okay=False), help="The file to write; {recording id}.mp4."
)
@click.option("--variant", default="", help="Which quality; the first where it is left out.")
@click.option("--run", default=0, type=click.IntRange(0), help="Where the encoder changed its tracks: which piece.")
@config_options
def export_recording(
    recording_id: str, target: Path | None, variant: str, run: int, config_file: Path | None, data_dir: Path | None
) -> None:
    """Write a recording as one progressive MP4, which every player and editor reads; nothing is encoded again."""
    path = target or Path(f"{recording_id}.mp4")
    if path.exists():
        raise click.ClickException(f"{path} is there already.")
    part = path.with_name(f"{path.name}.part")

    async def fetch(client: RemoteRecordings) -> None:
        export = await client.export_recording(recording_id, variant=variant, run=run)
        while export.state in (ExportState.WAITING, ExportState.RUNNING):
            await asyncio.sleep(EXPORT_POLL_S)
            export = await client.get_export(recording_id)
        if export.state is ExportState.FAILED:
            raise click.ClickException(f"It cannot be exported: {export.reason}.")
        with part.open("wb") as file:
            await client.fetch_export(recording_id, file.write)

    try:
        _ask(load(config_file, data_dir), fetch)
        part.replace(path)
    except OSError as exc:
        raise click.ClickException(f"{path}: {exc.strerror}") from exc
    finally:
        part.unlink(missing_ok=True)
    click.echo(f"Recording {recording_id} is in {path}.")


@recordings_group.command("verify")
@click.argument("recording_id", type=RecordingIdType(), required=False)
@click.option("--rebuild-index", is_flag=True, help="Enter what the folders say into the database, before the look.")
@click.option("--bucket", "in_bucket", is_flag=True, help="Read every object of the bucket, in place of the disk.")
@config_options
@click.pass_context
def verify_recordings(
    context: click.Context,
    recording_id: str | None,
    rebuild_index: bool,
    in_bucket: bool,
    config_file: Path | None,
    data_dir: Path | None,
) -> None:
    """Compare every file of a recording, or of all that have ended, with its hash.

    Needs no server: it reads the directory of recordings. Exits with 1 where a file is not as it was written. Media
    that the bucket alone has is read with --bucket, which finds the recordings of a lost disk, too.
    """
    config = load(config_file, data_dir)
    from streamd.process.cli.verifying import verify_disk, verify_storage

    look = verify_storage if in_bucket else verify_disk
    context.exit(0 if look(config, recording_id, enters=rebuild_index) else EXIT_FAILED)


def _length(seconds: float) -> str:
    """A length as people write it, such as 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _ask(config: Config, ask: Callable[[RemoteRecordings], Awaitable[_Result]]) -> _Result:
    return on_server(config, lambda server: ask(RemoteRecordings(server)))
