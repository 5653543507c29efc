"""Other servers that broadcasts are passed on to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.services.store.schema import UtcDateTime

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing was passed on so far."""
    op.create_table(
        "restream_targets",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("user", sa.String(64), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("locked_key", sa.LargeBinary, nullable=False),
        sa.Column("key_hint", sa.String(8), nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("is_enabled", sa.Boolean, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_restream_targets")),
    )
    op.create_index(op.f("ix_restream_targets_user_id"), "restream_targets", ["user", "id"])
