"""``streamd config``: the configuration, written to begin with, checked and shown."""

from __future__ import annotations

import os
from pathlib import Path

import click

from streamd.process.cli.arguments import config_options, load
from streamd.process.cli.config_files import init_config
from streamd.process.config import config_text, find_config, load_config


@click.group("config")
def config_group() -> None:
    """Begin, check and show the configuration."""


config_group.add_command(init_config)


@config_group.command("check")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
def check_config(file: Path | None) -> None:
    """Find every fault of FILE and of the environment at once, with line and key.

    Certificates are loaded and addresses tried as at a start; nothing is started, made or written. Run it as the user
    who runs the server.
    """
    from streamd.process.building import refusals

    path = file or find_config(os.environ)
    load_config(path, environ=os.environ, more=refusals)
    click.echo(f"{path}: no faults" if path else "no configuration file; the defaults and the environment: no faults")


@config_group.command("show")
@config_options
def show_config(config_file: Path | None, data_dir: Path | None) -> None:
    """Show the configuration as it takes effect, with its secrets masked."""
    click.echo(config_text(load(config_file, data_dir)), nl=False)
