"""Limits of a user's own, in place of those of the server's configuration."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Every user so far has the server's limits."""
    op.add_column("users", sa.Column("bitrate_kbps_max", sa.Integer))
    op.add_column("users", sa.Column("picture_pixels_max", sa.Integer))
