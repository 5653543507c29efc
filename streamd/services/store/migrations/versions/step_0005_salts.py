"""Random numbers that belong to this store: keys from elsewhere get their ids by one."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Draw the salt once; whoever shares the database shares it."""
    salts = op.create_table(
        "salts",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("value", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_salts"),
    )
    op.bulk_insert(salts, [{"name": "imported_keys", "value": secrets.token_bytes(32)}])
