"""The key store's schema, step by step, and the look at every start whether there are steps to take.

A database that is up to date is told by its one row, and Alembic, which is a tenth of a server's start, is not loaded.
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

_STEPS = Path(__file__).parent / "versions"
# Alembic's table of the steps that were taken.
_VERSIONS = "alembic_version"
# Any number that no other program takes on the same PostgreSQL database; the letters of "streamd".
_POSTGRESQL_LOCK = 0x73_74_72_65_61_6D_64


class SchemaStanding(enum.Enum):
    """How a database's schema stands to this version's."""

    EMPTY = enum.auto()
    OLDER = enum.auto()
    OURS = enum.auto()


def head() -> str:
    """The last step, as its file names it: ``step_NUMBER_what_it_does.py``, or ``.pyc`` where sources are left out."""
    return max(path.name for path in _STEPS.glob("step_*.py*")).split("_")[1]


def schema_standing(connection: Connection) -> SchemaStanding:
    """Look at the schema of a database, and change nothing.

    Raises:
        StoreUnavailableError: It is newer than this program.
    """
    found = _found(connection)
    if not found:
        return SchemaStanding.EMPTY
    if found == {head()}:
        return SchemaStanding.OURS
    from streamd.services.store.migrations.steps import refuse_unknown

    refuse_unknown(found)
    return SchemaStanding.OLDER


def migrate(connection: Connection, revision: str = "head") -> None:
    """Bring the schema to this version's, within the caller's transaction.

    Two processes that start at once do it one after the other: SQLite's transaction holds the
    write lock from its first statement, PostgreSQL takes an advisory lock for the transaction.

    Args:
        connection: In a transaction that writes, which the caller commits.
        revision: Step to go up to.

    Raises:
        StoreUnavailableError: The schema is newer than this program.
    """
    # No version goes back, so what is up to date needs nobody's turn.
    if revision == "head" and _found(connection) == {head()}:
        return
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_POSTGRESQL_LOCK})")
    from streamd.services.store.migrations.steps import take_steps

    take_steps(connection, revision)


def _found(connection: Connection) -> set[str]:
    """The steps that a database has come to; none for an empty one."""
    if not connection.dialect.has_table(connection, _VERSIONS):
        return set()
    return set(connection.exec_driver_sql(f"SELECT version_num FROM {_VERSIONS}").scalars())  # noqa: S608  # ours
