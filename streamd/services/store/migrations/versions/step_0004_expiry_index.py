"""An index that finds the keys that have just expired."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """It holds only keys with an expiry, which are few."""
    dated = sa.text("expires_at IS NOT NULL")
    op.create_index("ix_keys_expires_at", "keys", ["expires_at"], sqlite_where=dated, postgresql_where=dated)
