"""The ``streamd`` command.

Each group of commands has a file of its own, which is read when one of its commands is asked for: ``--version`` and a
shell's completion do not wait for the libraries of a server.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from streamd import __version__
from streamd.process.cli.exit_codes import EXIT_CODES, EXIT_FAILED, EXIT_NOT_FOUND, EXIT_USAGE, Commands
from streamd.process.loading import loading

if TYPE_CHECKING:
    from collections.abc import Mapping

# Nothing that happens to be installed beside us has a part in what we validate; and to look for it is to read what
# every package says of itself, at each command.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

__all__ = ["EXIT_FAILED", "EXIT_NOT_FOUND", "EXIT_USAGE", "main"]

# Module below this one, and the name of the command in it.
_COMMANDS = {
    "audit": ("audit", "audit_group"),
    "blocks": ("blocks", "blocks_group"),
    "cases": ("cases", "cases_group"),
    "completion": ("completion", "completion"),
    "config": ("config", "config_group"),
    "demo": ("serve", "demo"),
    "doctor": ("doctor", "doctor"),
    "evidence": ("evidence", "evidence_group"),
    "keys": ("keys", "keys_group"),
    "nodes": ("nodes", "nodes_group"),
    "obs-config": ("obs", "obs_config"),
    "operators": ("operators", "operators_group"),
    "playback": ("playback", "playback_group"),
    "recordings": ("recordings", "recordings_group"),
    "secrets": ("secrets", "secrets_group"),
    "serve": ("serve", "serve"),
    "streams": ("streams", "streams_group"),
    "takedown": ("takedown", "takedown"),
    "targets": ("targets", "targets_group"),
    "transparency": ("transparency", "transparency"),
    "users": ("users", "users_group"),
}


class _CommandsWhenAsked(Commands):
    """Commands whose modules are imported when they are asked for.

    Args:
        places: Module and name of each.
        options: As of ``click.Group``.
    """

    def __init__(self, *, places: Mapping[str, tuple[str, str]] = _COMMANDS, **options: Any) -> None:
        super().__init__(**options)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        del ctx
        return sorted(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of them; None for another name."""
        del ctx
        if (place := self._places.get(cmd_name)) is None:
            return None
        module, name = place
        with loading():
            command: click.Command = getattr(import_module(f"{__name__}.{module}"), name)
        return command


@click.group(
    cls=_CommandsWhenAsked,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="streamd")
def main() -> None:
    """A live-streaming server: broadcasters send RTMP with a stream key, viewers watch in a browser.

    See it work: streamd demo. For real use: streamd serve, then streamd keys issue USER.
    """
