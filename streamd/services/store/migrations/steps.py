"""The steps of the schema, taken by Alembic. It is loaded where there are steps to take, or to be told apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from streamd.errors import StoreUnavailableError

if TYPE_CHECKING:
    from sqlalchemy import Connection

SCRIPT_LOCATION = "streamd.services.store:migrations"


def take_steps(connection: Connection, revision: str) -> None:
    """Go up to a step, within the caller's transaction.

    Args:
        connection: In a transaction that writes, which the caller commits.
        revision: Step to go up to; ``head`` is the last.

    Raises:
        StoreUnavailableError: The schema is newer than this program.
    """
    refuse_unknown(set(MigrationContext.configure(connection).get_current_heads()))
    command.upgrade(_config(connection), revision)


def refuse_unknown(found: set[str]) -> None:
    """See that this version knows the steps that a database has come to.

    Args:
        found: Their names.

    Raises:
        StoreUnavailableError: It does not.
    """
    known = {step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions()}
    if unknown := found - known:
        raise StoreUnavailableError(
            f"the key store was made by a newer streamd (schema {', '.join(sorted(unknown))}); "
            "run that version, or restore a backup made by this one"
        )


def _config(connection: Connection | None = None) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", SCRIPT_LOCATION)
    # Alembic lists the files of a folder: by its own word it looks for sources alone.
    config.set_main_option("sourceless", "false" if _has_sources() else "true")
    return config


def _has_sources() -> bool:
    """Whether the steps are there as sources, and not as bytecode alone."""
    return any((Path(__file__).parent / "versions").glob("step_*.py"))
