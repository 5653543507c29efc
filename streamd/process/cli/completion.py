"""``streamd completion``: the script by which a shell completes our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

# Those that click knows.
SHELLS = ("bash", "zsh", "fish")


HELP = """\
Print what SHELL needs to complete streamd's commands and options.

\b
bash: streamd completion bash > ~/.local/share/bash-completion/completions/streamd
zsh:  streamd completion zsh > DIRECTORY/_streamd, for a directory of $fpath
fish: streamd completion fish > ~/.config/fish/completions/streamd.fish
"""


@click.command("completion", help=HELP)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print a shell's script."""
    context = click.get_current_context().find_root()
    program = get_completion_class(shell)
    assert program is not None, "one of SHELLS"
    click.echo(program(context.command, {}, "streamd", "_STREAMD_COMPLETE").source())
