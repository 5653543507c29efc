"""The common end of ``audit verify`` and ``evidence verify``: the faults that were found, and the exit code."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, TypeVar

import click

from streamd.process.cli.exit_codes import EXIT_FAILED
from streamd.process.cli.output import print_json, say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pydantic import BaseModel

    from streamd.process.config import Config
    from streamd.services.store.database import Database

_Verdict = TypeVar("_Verdict")


class Verdict(Protocol):
    """The faults of a chain that was read."""

    @property
    def faults(self) -> Sequence[str]:
        """The first of them, in words."""

    @property
    def fault_count(self) -> int:
        """All of them."""


def read_database(config: Config, read: Callable[[Database], Awaitable[_Verdict]]) -> _Verdict:
    """Read the database itself, also while a server runs.

    Args:
        config: Where it is.
        read: Reads it.

    Raises:
        StoreUnavailableError: It cannot be asked at all.
    """
    from streamd.process.config import secrets_of
    from streamd.process.log import configure_logging
    from streamd.services.store.database import Database

    async def run() -> _Verdict:
        # Quiet, as the command itself says what is wrong.
        configure_logging("error", "console", secrets=secrets_of(config))
        database = Database(config.database_url, is_reading=True)
        try:
            await database.start()
            return await read(database)
        finally:
            await database.close()

    return asyncio.run(run())


def tell(ctx: click.Context, verdict: Verdict, *, as_json: BaseModel | None, accusation: str, read: str) -> bool:
    """Print a verdict, and end the command where there are faults.

    Args:
        ctx: The command's.
        verdict: Its faults.
        as_json: The verdict for scripts; None for people.
        accusation: "the audit log is not as it was written".
        read: "12 rows".

    Returns:
        Whether the command says more, to people.
    """
    count = verdict.fault_count
    if as_json is not None:
        print_json(as_json)
    else:
        for fault in verdict.faults:
            click.echo(fault)
        if count > len(verdict.faults):
            click.echo(f"… and {count - len(verdict.faults)} more")
    if count:
        say(f"{accusation}: {count} fault{'' if count == 1 else 's'} in {read}")
        ctx.exit(EXIT_FAILED)
    return as_json is None
