"""The ``streamd`` command.

Each group of commands has a file of its own; here they come together.
"""

from __future__ import annotations

import click

from streamd import __version__
from streamd.process.cli.audit import list_audit
from streamd.process.cli.completion import completion
from streamd.process.cli.config import config_group
from streamd.process.cli.doctor import doctor
from streamd.process.cli.exit_codes import EXIT_CODES, EXIT_FAILED, EXIT_NOT_FOUND, EXIT_USAGE, Commands
from streamd.process.cli.keys import keys_group
from streamd.process.cli.obs import obs_config
from streamd.process.cli.recordings import recordings_group
from streamd.process.cli.serve import demo, serve
from streamd.process.cli.streams import streams_group
from streamd.process.cli.users import users_group

__all__ = ["EXIT_FAILED", "EXIT_NOT_FOUND", "EXIT_USAGE", "main"]


@click.group(
    cls=Commands, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="streamd")
def main() -> None:
    """A live-streaming server: broadcasters send RTMP with a stream key, viewers watch in a browser.

    See it work: streamd demo. For real use: streamd serve, then streamd keys issue USER.
    """


for _command in (
    serve,
    demo,
    keys_group,
    users_group,
    list_audit,
    streams_group,
    recordings_group,
    obs_config,
    config_group,
    doctor,
    completion,
):
    main.add_command(_command)
