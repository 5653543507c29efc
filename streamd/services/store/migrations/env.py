"""Run by Alembic for each command: hands it the connection that ``migrate`` was given."""

from __future__ import annotations

from alembic import context

from streamd.services.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite's DDL is transactional when the transaction is begun by hand (sqlite.py does).
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
