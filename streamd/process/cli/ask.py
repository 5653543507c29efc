"""The answerer of a command: the server that runs on the data directory, or the key store itself."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from streamd.clock import SystemClock
from streamd.errors import DataDirError, StoreUnavailableError, StreamdError
from streamd.process.account import TOKEN_VARIABLE, account_name, cli_actor
from streamd.process.admin_client import AdminClient, AdminUnreachableError, KeyDesk, LocalKeys
from streamd.process.cli.output import say
from streamd.process.config import Config, secrets_of
from streamd.process.config.sections import DATABASE_NAME
from streamd.process.data_dir import RunningServer, admin_token, find_server, prepare_data_dir
from streamd.process.log import configure_logging
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.service import KeyService
from streamd.services.keys.sweeper import SweepOptions
from streamd.services.keys.verifier import KeyVerifier
from streamd.services.operators.service import OperatorService
from streamd.services.recording.index import RecordingIndex

# How long a server may take from its lock to its listeners; then it is taken for one without an admin API.
START_WAIT_S = 3.0
START_POLL_S = 0.05
# It is shown to a server whose token this command does not know; the answer says so.
NO_TOKEN = "unknown"  # noqa: S105  # a word in place of one

_Result = TypeVar("_Result")


class Need(enum.Enum):
    """The use that a command makes of the key store, where no server runs that it could ask."""

    READ = enum.auto()
    """Nothing is written or made: a mistyped directory stays as it is."""
    CHANGE = enum.auto()
    """Something that is in it is changed, so it has to be there."""
    MAKE = enum.auto()
    """It may be the first to use it."""


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
            try:
                async with _client(config, server) as client:
                    return await ask(client)
            except AdminUnreachableError as exc:
                tell(f"{exc}, though a server runs")
        # A stream that runs is closed by its server's next look at the store.
        tell(
            f"no server to ask on data directory {config.data_dir}: working on the key store itself; a server that "
            f"uses it follows within {SweepOptions().recheck_interval_s:g} s"
        )
        async with _local_keys(config, need) as desk:
            return await ask(desk)

    return asyncio.run(run())


def on_server(config: Config, ask: Callable[[AdminClient], Awaitable[_Result]]) -> _Result:
    """Ask the running server what only it knows."""

    async def run() -> _Result:
        server = await _running_server(config)
        if server is None:
            raise StreamdError(f"no server runs on data directory {config.data_dir}")
        if not server.admin_host:
            raise StreamdError("the server runs without an admin API; set admin.listen")
        async with _client(config, server) as client:
            return await ask(client)

    return asyncio.run(run())


async def _running_server(config: Config) -> RunningServer | None:
    """The server on the data directory; one that is just starting is given the time to."""
    server = find_server(config.data_dir)
    for _ in range(int(START_WAIT_S / START_POLL_S)):
        if server is None or server.pid:
            break
        await asyncio.sleep(START_POLL_S)
        server = find_server(config.data_dir)
    return server


def _client(config: Config, server: RunningServer) -> AdminClient:
    if named := os.environ.get(TOKEN_VARIABLE, ""):
        return AdminClient(server.admin_host, server.admin_port, named)
    token = config.admin.token.get_secret_value() or admin_token(config.data_dir, makes=False) or NO_TOKEN
    return AdminClient(server.admin_host, server.admin_port, token, account_name(os.environ))


@contextlib.asynccontextmanager
async def _local_keys(config: Config, need: Need) -> AsyncIterator[LocalKeys]:
    configure_logging("error", "console", secrets=secrets_of(config))
    if need is not Need.READ and (need is Need.MAKE or config.data_dir.exists()):
        prepare_data_dir(config.data_dir)
    store, clock = KeyStore(config.database_url, is_reading=need is Need.READ), SystemClock()
    try:
        try:
            await store.start(makes=need is Need.MAKE)
        except StoreUnavailableError as exc:
            if need is not Need.MAKE and not _has_store(config):
                raise DataDirError(
                    f"{exc}: is {config.data_dir} the server's data directory? 'streamd keys issue USER' makes one"
                ) from exc
            raise
        service = KeyService(store, clock, KeyVerifier(store, clock))
        operators = OperatorService(store.database, clock)
        recordings, by = RecordingIndex(store.database), cli_actor(os.environ)
        yield LocalKeys(service, config.rtmp_urls, recordings, clock, operators, by)
    finally:
        await store.close()


def _has_store(config: Config) -> bool:
    """Whether there is a file in which the keys could be; a database elsewhere is not looked for."""
    return bool(config.keys.database_url.get_secret_value()) or (config.data_dir / DATABASE_NAME).exists()
