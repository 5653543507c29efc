"""Users whose channels are in no list."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Every channel so far is listed."""
    op.add_column("users", sa.Column("listed", sa.Boolean, nullable=False, server_default=sa.true()))
