"""An index by which the keys are found that have just expired."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Of the keys that expire at all, which are few."""
    dated = sa.text("expires_at IS NOT NULL")
    op.create_index("ix_keys_expires_at", "keys", ["expires_at"], sqlite_where=dated, postgresql_where=dated)
