"""``streamd serve`` and ``streamd demo``: what runs a server."""

from __future__ import annotations

from pathlib import Path

import click

from streamd.process.cli.arguments import config_options, load
from streamd.process.loading import loading


@click.command()
@config_options
@click.option("--final", "is_final", is_flag=True, help="SIGTERM ends the broadcasts, and leaves none open.")
def serve(config_file: Path | None, data_dir: Path | None, is_final: bool) -> None:
    """Run the server in the foreground.

    SIGTERM or Ctrl-C tells encoders to come back, lets viewers fetch the last seconds, and ends with exit code 0:
    broadcasts go on with the next server on the same data directory within [live] reconnect_window_s. A second one
    ends the broadcasts, and a third does not wait for viewers.
    SIGHUP reads the configuration again and takes [clips], [dvr], [hls], [ingest], [live], [limits], [log],
    [playback], [privacy], [recording] and renewed certificates from it.
    """
    config = load(config_file, data_dir)
    with loading():
        from streamd.process import run as process

    click.get_current_context().exit(process.run(config, lambda: load(config_file, data_dir), is_final=is_final))


@click.command()
@click.option("--duration", type=click.FloatRange(min=1), metavar="S", help="Stop after S seconds.")
@click.option("--no-browser", is_flag=True, help="Do not open the watch page.")
def demo(duration: float | None, no_browser: bool) -> None:
    """Show all of it: a server, a key, and a test broadcast, to watch at once.

    Everything is kept in a temporary directory and gone afterwards.
    """
    with loading():
        from streamd.process.demo import run_demo

    click.get_current_context().exit(run_demo(duration, open_browser=not no_browser))
