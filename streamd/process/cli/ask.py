"""The answerer of a command: the server that runs on the data directory, or the key store itself.

A command that asks a server loads neither the store nor anything of a server, which take four times as long as all else
that it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from streamd.errors import StreamdError
from streamd.process.account import TOKEN_VARIABLE, account_name
from streamd.process.admin_connection import AdminApiError, AdminConnection, AdminUnreachableError
from streamd.process.cli.output import say
from streamd.process.data_dir import RunningServer, admin_token, find_server
from streamd.process.loading import loading

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from streamd.process.cli.need import Need
    from streamd.process.config import Config
    from streamd.process.key_desk import KeyDesk

# How long a server may take from its lock to its listeners; then it is taken for one without an admin API.
START_WAIT_S = 3.0
START_POLL_S = 0.05
# It is shown to a server whose token this command does not know; the answer says so.
NO_TOKEN = "unknown"  # noqa: S105  # a word in place of one

_Result = TypeVar("_Result")


def on_keys(
    config: Config, need: Need, ask: Callable[[KeyDesk], Awaitable[_Result]], *, tell: Callable[[str], None] = say
) -> _Result:
    """Ask the keeper of the keys: the running server, else the store.

    Args:
        config: Where both are.
        need: The use that is made of the store.
        ask: Gets the one that answers.
        tell: Told who answers, where that is not the server.
    """

    async def run() -> _Result:
        server = await _running_server(config)
        if server is not None and server.admin_host:
            with loading():
                from streamd.process.remote_keys import RemoteKeys

            try:
                with _understanding():
                    return await ask(RemoteKeys(_connect(config, server).call))
            except AdminUnreachableError as exc:
                tell(f"{exc}, though a server runs")
        with loading():
            from streamd.process.cli.local import local_keys
            from streamd.services.keys.sweeper import SweepOptions

        # A stream that runs is closed by its server's next look at the store.
        tell(
            f"no server to ask on data directory {config.data_dir}: working on the key store itself; a server that "
            f"uses it follows within {SweepOptions().recheck_interval_s:g} s"
        )
        async with local_keys(config, need) as desk:
            return await ask(desk)

    return asyncio.run(run())


def on_server(config: Config, ask: Callable[[AdminConnection], Awaitable[_Result]]) -> _Result:
    """Ask the running server what only it knows."""

    async def run() -> _Result:
        server = await _running_server(config)
        if server is None:
            raise StreamdError(f"no server runs on data directory {config.data_dir}")
        if not server.admin_host:
            raise StreamdError("the server runs without an admin API; set admin.listen")
        with _understanding():
            return await ask(_connect(config, server))

    return asyncio.run(run())


@contextlib.contextmanager
def _understanding() -> Iterator[None]:
    """Say in a line what it means that an answer cannot be read."""
    try:
        yield
    except ValidationError as exc:
        raise AdminApiError(502, "the server's answer cannot be read here: it is of another version") from exc


async def _running_server(config: Config) -> RunningServer | None:
    """The server on the data directory; one that is just starting is given the time to."""
    server = find_server(config.data_dir)
    for _ in range(int(START_WAIT_S / START_POLL_S)):
        if server is None or server.pid:
            break
        await asyncio.sleep(START_POLL_S)
        server = find_server(config.data_dir)
    return server


def _connect(config: Config, server: RunningServer) -> AdminConnection:
    if named := os.environ.get(TOKEN_VARIABLE, ""):
        if not named.isprintable():
            raise StreamdError(f"{TOKEN_VARIABLE} holds a line break, or what is no text: it is not a token")
        return AdminConnection(server.admin_host, server.admin_port, named)
    token = config.admin.token.get_secret_value() or admin_token(config.data_dir, makes=False) or NO_TOKEN
    return AdminConnection(server.admin_host, server.admin_port, token, account_name(os.environ))
