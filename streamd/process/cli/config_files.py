"""``streamd config init``: the files that operators copy and change, written where they are to be."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import click

from streamd.errors import ConfigError
from streamd.process.cli.output import print_table, say
from streamd.process.config import default_config_text

CONFIG_FILE = "streamd.toml"
UNIT_FILE = "streamd.service"
FILES = {
    CONFIG_FILE: "every setting at its default, explained",
    UNIT_FILE: "systemd unit: a user of its own, and little else of the machine",
    "renewed-certificate": "deploy hook of certbot or lego: copies a renewed certificate for streamd",
    "Caddyfile": "Caddy in front: certificates, HTTP/2 and HTTP/3",
    "nginx.conf": "nginx in front: TLS, HTTP/2 and a cache",
    "streamd.vcl": "Varnish: the cache in front",
    "haproxy.cfg": "HAProxy: a TCP balancer in front",
    "prometheus.yml": "what Prometheus scrapes",
    "streamd.rules.yml": "alerts for Prometheus",
    "grafana-dashboard.json": "a dashboard for Grafana",
}
"""The files that can be written. The container's files are for the source tree, which they build from."""

# The wheel has configs/ beside the commands; in the source tree it is at the top.
_INSTALLED = Path(__file__).parents[1] / "configs"
_IN_SOURCE_TREE = Path(__file__).parents[3] / "configs"
# Where the unit's head installs streamd, and what a unit with ProtectHome= does not see.
_UNIT_PROGRAM = "/opt/streamd/bin/streamd"
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))


@click.command("init")
@click.argument("names", nargs=-1, metavar="[FILE]...", type=click.Choice(list(FILES)))
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where they are written; made where it is not there. Default: the working directory.",
)
@click.option("--data-dir", metavar="DIRECTORY", help=f"What data_dir in {CONFIG_FILE} says.")
@click.option("--list", "is_list", is_flag=True, help="Show what there is, and write nothing.")
def init_config(names: tuple[str, ...], directory: Path, data_dir: str | None, is_list: bool) -> None:
    """Write configuration files to begin with: streamd.toml, or those that are named.

    A file that exists is never written over: where one of them is there, nothing is written.
    """
    if is_list:
        print_table(("file", "what it is"), list(FILES.items()), nothing="")
        return
    # Named twice is written once.
    wanted = list(dict.fromkeys(names)) or [CONFIG_FILE]
    if data_dir is not None and CONFIG_FILE not in wanted:
        raise click.UsageError(f"--data-dir is for {CONFIG_FILE}, which is not among the files")
    there = [
        f"{directory / name} is there already; nothing was written" for name in wanted if (directory / name).exists()
    ]
    if there:
        raise ConfigError(there)
    texts = {name: text_of(name, data_dir) for name in wanted}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            # Exclusively: one that came since the look is not written over either.
            with (directory / name).open("x", encoding="utf-8") as file:
                file.write(text)
            click.echo(f"wrote {directory / name}")
    except OSError as exc:
        raise ConfigError([f"{exc.filename or directory}: {exc.strerror}"]) from exc
    if CONFIG_FILE in wanted:
        say(f"change what you need, then: streamd config check {directory / CONFIG_FILE}")
    program = this_program()
    if UNIT_FILE in wanted and program is not None and any(program.is_relative_to(home) for home in _HOMES):
        say(f"the unit sees no home directories (ProtectHome=yes), and this streamd is {program}: install it elsewhere")


def text_of(name: str, data_dir: str | None = None) -> str:
    """The content of a file.

    Args:
        name: One of ``FILES``.
        data_dir: The value of ``data_dir`` in streamd.toml; None for the default.

    Raises:
        ConfigError: The installation is without its files.
    """
    if name == CONFIG_FILE:
        return default_config_text() if data_dir is None else _with_data_dir(default_config_text(), data_dir)
    folder = _INSTALLED if _INSTALLED.is_dir() else _IN_SOURCE_TREE
    try:
        text = (folder / name).read_text("utf-8")
    except OSError as exc:
        raise ConfigError([f"this installation has no {folder / name}; install streamd anew"]) from exc
    program = this_program()
    return text.replace(_UNIT_PROGRAM, str(program)) if name == UNIT_FILE and program is not None else text


def this_program() -> Path | None:
    """The ``streamd`` of this installation; None where there is none, as in a source tree."""
    program = Path(sys.prefix) / "bin" / "streamd"
    return program if program.exists() else None


def _with_data_dir(text: str, data_dir: str) -> str:
    # TOML's basic strings are written as JSON's.
    line = f"data_dir = {json.dumps(data_dir, ensure_ascii=False)}"
    return re.sub(r"^data_dir = .*$", lambda _: line, text, count=1, flags=re.MULTILINE)
