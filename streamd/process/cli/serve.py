"""``streamd serve`` and ``streamd demo``: what runs a server."""

from __future__ import annotations

from pathlib import Path

import click

from streamd.process.cli.arguments import config_options, load


@click.command()
@config_options
def serve(config_file: Path | None, data_dir: Path | None) -> None:
    """Run the server in the foreground.

    SIGTERM or Ctrl-C lets viewers fetch the last seconds, then ends with exit code 0; a second one ends at once.
    SIGHUP reads the configuration again and takes [hls], [ingest], [live], [limits], [log] and renewed certificates
    from it.
    """
    config = load(config_file, data_dir)
    from streamd.process import run as process

    click.get_current_context().exit(process.run(config, lambda: load(config_file, data_dir)))


@click.command()
@click.option("--duration", type=click.FloatRange(min=1), metavar="S", help="Stop after S seconds.")
@click.option("--no-browser", is_flag=True, help="Do not open the watch page.")
def demo(duration: float | None, no_browser: bool) -> None:
    """Show all of it: a server, a key, and a test broadcast, to watch at once.

    Everything is kept in a temporary directory and gone afterwards.
    """
    from streamd.process.demo import run_demo

    click.get_current_context().exit(run_demo(duration, open_browser=not no_browser))
