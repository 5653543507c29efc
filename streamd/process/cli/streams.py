"""``streamd streams``: who is live."""

from __future__ import annotations

from pathlib import Path

import click

from streamd.process.cli.arguments import StreamName, config_options, json_option, load
from streamd.process.cli.ask import on_server
from streamd.process.cli.output import format_time, print_json, print_table, say
from streamd.process.remote_streams import RemoteStreams
from streamd.services.keys.request import checked_reason


@click.group("streams")
def streams_group() -> None:
    """See who is live, and close a stream."""


@streams_group.command("list")
@json_option
@config_options
def list_streams(as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """List the streams that are live now."""
    found = on_server(load(config_file, data_dir), lambda server: RemoteStreams(server.call).list_streams())
    if as_json:
        print_json(found)
        return
    print_table(
        ("name", "live since", "picture", "fps", "kb/s", "keyframes", "codecs", "viewers", "publisher", "key id"),
        [
            (
                stream.name,
                format_time(stream.live_since),
                f"{stream.width}x{stream.height}" if stream.width else "none",
                f"{stream.frame_rate:.4g}" if stream.frame_rate else "",
                f"{stream.bitrate_bps / 1000:.0f}",
                "" if stream.keyframe_interval_s is None else f"{stream.keyframe_interval_s:.3g} s",
                " ".join(stream.codecs),
                str(sum(stream.viewers.values())),
                stream.publisher_address,
                stream.key_id,
            )
            for stream in found
        ],
        nothing="Nobody is live.",
    )


@streams_group.command("kick")
@click.argument("name", type=StreamName())
@click.option("--reason", default="", help="Why, for the audit log.")
@config_options
def kick_stream(name: str, reason: str, config_file: Path | None, data_dir: Path | None) -> None:
    """Close the live stream NAME. Its key stays good: the encoder may come back."""
    reason = checked_reason(reason)
    kick = on_server(load(config_file, data_dir), lambda server: RemoteStreams(server.call).kick(name, reason=reason))
    if kick.unwritten:
        say(kick.unwritten)
    click.echo(f"Stream {name} was closed. To keep it off, revoke its key: streamd keys revoke KEY_ID")
