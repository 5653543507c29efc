"""The key store's schema, step by step, and the run of those steps at every start."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from streamd.errors import StoreUnavailableError

if TYPE_CHECKING:
    from sqlalchemy import Connection

SCRIPT_LOCATION = "streamd.services.store:migrations"
# Any number that no other program takes on the same PostgreSQL database; the letters of "streamd".
_POSTGRESQL_LOCK = 0x73_74_72_65_61_6D_64


class SchemaStanding(enum.Enum):
    """How a database's schema stands to this version's."""

    EMPTY = enum.auto()
    OLDER = enum.auto()
    OURS = enum.auto()


def schema_standing(connection: Connection) -> SchemaStanding:
    """Look at the schema of a database, and change nothing.

    Raises:
        StoreUnavailableError: It is newer than this program.
    """
    scripts = ScriptDirectory.from_config(_config())
    found = _found(connection, scripts)
    if not found:
        return SchemaStanding.EMPTY
    return SchemaStanding.OURS if found == set(scripts.get_heads()) else SchemaStanding.OLDER


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
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_POSTGRESQL_LOCK})")
    config = _config(connection)
    _found(connection, ScriptDirectory.from_config(config))
    command.upgrade(config, revision)


def _config(connection: Connection | None = None) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", SCRIPT_LOCATION)
    return config


def _found(connection: Connection, scripts: ScriptDirectory) -> set[str]:
    """The steps that a database has come to; raises for one that this version does not know."""
    found = set(MigrationContext.configure(connection).get_current_heads())
    if unknown := found - {step.revision for step in scripts.walk_revisions()}:
        raise StoreUnavailableError(
            f"the key store was made by a newer streamd (schema {', '.join(sorted(unknown))}); "
            "run that version, or restore a backup made by this one"
        )
    return found
