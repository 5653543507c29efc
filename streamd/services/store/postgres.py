"""PostgreSQL as the key store, by URL: ``postgresql+asyncpg://user:password@host/database``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import create_async_engine

from streamd.errors import StoreUnavailableError

if TYPE_CHECKING:
    from sqlalchemy import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

# A publish needs a connection for about a millisecond; a server's default is 100 for all its clients. Some connections
# are for writes alone: a revocation must not wait for the look-ups of publishers.
READERS_MAX = 7
WRITERS_MAX = 3
# Seconds to connect, and for one statement; a publisher waits for the answer (verify_timeout_s is 5).
CONNECT_TIMEOUT_S = 4.0
COMMAND_TIMEOUT_S = 4.0


def create_postgres_engine(url: URL, connections_max: int) -> AsyncEngine:
    """An engine on a PostgreSQL database; connects at the first use.

    Args:
        url: ``postgresql+asyncpg://…``.
        connections_max: Statements at once; the others wait, for ``CONNECT_TIMEOUT_S``.

    Raises:
        StoreUnavailableError: asyncpg is not installed.
    """
    try:
        engine = _create(url, connections_max)
    except ModuleNotFoundError as exc:
        raise StoreUnavailableError("PostgreSQL as the key store needs asyncpg: pip install asyncpg") from exc
    return engine


def connect_errors() -> tuple[type[Exception], ...]:
    """Errors of asyncpg while it connects, which SQLAlchemy passes on as they are."""
    import asyncpg  # type: ignore[import-untyped]  # an optional dependency without types

    return (asyncpg.PostgresError, asyncpg.InterfaceError)


def _create(url: URL, connections_max: int) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=connections_max,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_S,
        # A connection that died while it lay in the pool (a restart of PostgreSQL) is replaced, not handed out.
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={"timeout": CONNECT_TIMEOUT_S, "command_timeout": COMMAND_TIMEOUT_S},
    )
