"""The words that a shell offers to complete: users, ids of keys and live streams, of the server or its store.

A completion must not make a person wait, and has nowhere to say why there is nothing to offer: it is silent then.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, TypeVar

from click.shell_completion import CompletionItem

from streamd.errors import StreamdError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    import click

    from streamd.process.admin_connection import AdminConnection
    from streamd.process.config import Config
    from streamd.process.key_desk import KeyDesk

# A person goes on typing after this; loading the program has taken a second by then.
PATIENCE_S = 2.0
# More are no help to choose from; another letter makes them fewer.
OFFERED_MAX = 100

_Found = TypeVar("_Found")


def offer_users(ctx: click.Context, typed: str) -> list[CompletionItem]:
    """Names of users that begin so."""
    from streamd.process.cli.ask import on_keys
    from streamd.process.cli.need import Need

    async def names(desk: KeyDesk) -> list[tuple[str, str]]:
        return [(user.name, user.state.value) for user in await desk.list_users(None)]

    return _offer(ctx, typed, lambda config: on_keys(config, Need.READ, _soon(names), tell=_unsaid))


def offer_keys(ctx: click.Context, typed: str) -> list[CompletionItem]:
    """Ids of keys that work and begin so, each with its user and label."""
    from streamd.process.cli.ask import on_keys
    from streamd.process.cli.need import Need
    from streamd.process.redaction import escape_controls
    from streamd.services.keys.records import KeyState

    async def ids(desk: KeyDesk) -> list[tuple[str, str]]:
        return [
            (key.id, escape_controls(f"{key.user} {key.label}".strip()))
            for key in await desk.list_keys(None)
            if key.state is KeyState.ACTIVE
        ]

    return _offer(ctx, typed, lambda config: on_keys(config, Need.READ, _soon(ids), tell=_unsaid))


def offer_operators(ctx: click.Context, typed: str) -> list[CompletionItem]:
    """Names of operators that begin so, each with the role."""
    from streamd.process.cli.ask import on_keys
    from streamd.process.cli.need import Need

    async def names(desk: KeyDesk) -> list[tuple[str, str]]:
        return [(operator.name, f"{operator.role} {operator.state}") for operator in await desk.operators.everybody()]

    return _offer(ctx, typed, lambda config: on_keys(config, Need.READ, _soon(names), tell=_unsaid))


def offer_streams(ctx: click.Context, typed: str) -> list[CompletionItem]:
    """Names of live streams that begin so."""
    from streamd.process.cli.ask import on_server
    from streamd.process.remote_streams import RemoteStreams

    async def names(connection: AdminConnection) -> list[tuple[str, str]]:
        return [(stream.name, "") for stream in await RemoteStreams(connection.call).list_streams()]

    return _offer(ctx, typed, lambda config: on_server(config, _soon(names)))


def _offer(ctx: click.Context, typed: str, find: Callable[[Config], Iterable[tuple[str, str]]]) -> list[CompletionItem]:
    from streamd.process.config import find_config, load_config

    file, data_dir = ctx.params.get("config_file"), ctx.params.get("data_dir")
    try:
        found = list(find(load_config(file or find_config(os.environ), environ=os.environ, data_dir=data_dir)))
    except (StreamdError, OSError, TimeoutError):
        return []
    items = [CompletionItem(value, help=about or None) for value, about in found if value.startswith(typed)]
    return items[:OFFERED_MAX]


def _soon(
    ask: Callable[[_Found], Awaitable[list[tuple[str, str]]]],
) -> Callable[[_Found], Awaitable[list[tuple[str, str]]]]:
    async def within_patience(desk: _Found) -> list[tuple[str, str]]:
        async with asyncio.timeout(PATIENCE_S):
            return await ask(desk)

    return within_patience


def _unsaid(_: str) -> None:
    """A remark that would stand in the middle of what is typed."""
