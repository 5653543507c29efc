"""How often an audit row happened."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Every row so far happened once."""
    op.add_column("audit", sa.Column("count", sa.Integer, nullable=False, server_default="1"))
