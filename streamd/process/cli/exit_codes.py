"""The failure of a command: one clear line on stderr and an exit code, never a traceback."""

from __future__ import annotations

import io
import re
import sys
from typing import Any, NoReturn

import click

from streamd.errors import (
    ConfigError,
    DataDirError,
    ImportRefusedError,
    KeyNotFoundError,
    KeyRequestError,
    OperatorNotFoundError,
    OperatorRequestError,
    StreamdError,
    UserNotFoundError,
)

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_FOUND = 3

# A byte that is no text, as ``os.fsdecode`` makes it one.
_BYTE = re.compile("[\udc80-\udcff]")

EXIT_CODES = """\
\b
Exit codes:
  0  done
  1  could not be done: no server, no key store, refused
  2  wrong usage or configuration, a port in use, an unusable data directory
  3  no such key, user, stream or operator
"""


class Commands(click.Group):
    """Turns our errors into one line and an exit code."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run it for the shell: a terminal that lacks a letter, in ASCII or Latin-1, is shown the letter's number."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return super().main(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except ConfigError as exc:
            for fault in exc.faults:
                click.echo(f"streamd: {fault}", err=True)
            ctx.exit(EXIT_USAGE)
        except ImportRefusedError as exc:
            _fail(exc, EXIT_USAGE, *exc.faults)
        except (DataDirError, KeyRequestError, OperatorRequestError) as exc:
            _fail(exc, EXIT_USAGE)
        except (KeyNotFoundError, UserNotFoundError, OperatorNotFoundError) as exc:
            _fail(exc, EXIT_NOT_FOUND)
        except StreamdError as exc:
            from streamd.process.admin_connection import AdminApiError

            status = exc.status if isinstance(exc, AdminApiError) else 0
            _fail(exc, {404: EXIT_NOT_FOUND, 422: EXIT_USAGE}.get(status, EXIT_FAILED))
        except UnicodeEncodeError as exc:
            # Python reads a byte of the command line that is no text as half a character, which nobody can be sent.
            if not _BYTE.search(exc.object):
                raise
            _fail(StreamdError("an argument holds bytes that are no text; write it in UTF-8"), EXIT_USAGE)


def _fail(exc: StreamdError, exit_code: int, *faults: str) -> NoReturn:
    # Not before there is something to say: it brings the log's libraries.
    from streamd.process.cli.output import say

    for line in (*faults, str(exc)):
        say(line)
    click.get_current_context().exit(exit_code)
