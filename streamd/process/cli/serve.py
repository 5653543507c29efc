"""``streamd serve`` and ``streamd demo``: what runs a server."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamd.process.cli.arguments import config_options, load
from streamd.process.loading import loading

if TYPE_CHECKING:
    from streamd.process.config import Config


@click.command()
@config_options
@click.option("--final", "is_final", is_flag=True, help="SIGTERM ends the broadcasts, and leaves none open.")
@click.option("--worker", nargs=2, type=int, hidden=True)
def serve(config_file: Path | None, data_dir: Path | None, is_final: bool, worker: tuple[int, int] | None) -> None:
    """Run the server in the foreground.

    SIGTERM or Ctrl-C tells encoders to come back, lets viewers fetch the last seconds, and ends with exit code 0:
    broadcasts go on with the next server on the same data directory within [live] reconnect_window_s. A second one
    ends the broadcasts, and a third does not wait for viewers.
    SIGHUP reads the configuration again and takes [clips], [dvr], [hls], [ingest], [live], [limits], [log],
    [playback], [privacy], [recording] and renewed certificates from it.
    """
    config = load(config_file, data_dir)

    def read_again() -> Config:
        return load(config_file, data_dir)

    context = click.get_current_context()
    if worker is not None:
        # The supervisor's, of its own: the number, and the descriptor of the line to it.
        with loading():
            from streamd.process.crew import worker as workers

        number, line = worker
        context.exit(workers.run(config, read_again, number=number, sock=socket.socket(fileno=line), is_final=is_final))
    if (count := config.server.workers_count) > 1:
        from streamd.process import supervisor

        command = [sys.executable, "-m", "streamd", "serve", *(["--final"] if is_final else [])]
        command += [] if config_file is None else ["--config", str(config_file)]
        command += [] if data_dir is None else ["--data-dir", str(data_dir)]
        context.exit(supervisor.run(config, [*command, "--worker"], count, read_again))
    with loading():
        from streamd.process import run as process

    context.exit(process.run(config, read_again, is_final=is_final))


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
