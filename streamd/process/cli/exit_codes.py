"""What a command's failure is: one clear line on stderr and an exit code, never a traceback."""

from __future__ import annotations

from typing import Any, NoReturn

import click

from streamd.errors import (
    ConfigError,
    DataDirError,
    ImportRefusedError,
    KeyNotFoundError,
    KeyRequestError,
    StreamdError,
    UserNotFoundError,
)
from streamd.process.admin_client import AdminApiError
from streamd.process.cli.output import say

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_FOUND = 3

EXIT_CODES = """\
\b
Exit codes:
  0  done
  1  could not be done: no server, no key store, refused
  2  wrong usage or configuration, a port in use, an unusable data directory
  3  no such key, user or stream
"""


class Commands(click.Group):
    """Turns our errors into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except ConfigError as exc:
            for fault in exc.faults:
                click.echo(f"streamd: {fault}", err=True)
            ctx.exit(EXIT_USAGE)
        except ImportRefusedError as exc:
            for fault in exc.faults:
                say(fault)
            _fail(exc, EXIT_USAGE)
        except (DataDirError, KeyRequestError) as exc:
            _fail(exc, EXIT_USAGE)
        except (KeyNotFoundError, UserNotFoundError) as exc:
            _fail(exc, EXIT_NOT_FOUND)
        except AdminApiError as exc:
            _fail(exc, {404: EXIT_NOT_FOUND, 422: EXIT_USAGE}.get(exc.status, EXIT_FAILED))
        except StreamdError as exc:
            _fail(exc, EXIT_FAILED)


def _fail(exc: StreamdError, exit_code: int) -> NoReturn:
    say(str(exc))
    click.get_current_context().exit(exit_code)
