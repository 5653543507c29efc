"""What moderators take down and block, and authorities' orders."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.services.store.schema import UtcDateTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing is taken down so far."""
    op.create_table(
        "takedowns",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("target", sa.String(64), nullable=False),
        sa.Column("channel", sa.String(64), nullable=False),
        sa.Column("statement", sa.Text, nullable=False),
        sa.Column("made_at", UtcDateTime, nullable=False),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("case_id", sa.String(32)),
        sa.Column("order_id", sa.String(32)),
        sa.Column("restored_at", UtcDateTime),
        sa.Column("restored_by", sa.Text),
        sa.Column("restore_reason", sa.Text, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_takedowns")),
    )
    op.create_index(op.f("ix_takedowns_channel_id"), "takedowns", ["channel", "id"])
    op.create_index(op.f("ix_takedowns_restored_at"), "takedowns", ["restored_at"])
    op.create_table(
        "blocks",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("value", sa.String(128), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("countries", sa.Text, nullable=False, server_default=""),
        sa.Column("until", UtcDateTime),
        sa.Column("order", sa.Text, nullable=False, server_default=""),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("added_at", UtcDateTime, nullable=False),
        sa.Column("added_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blocks")),
    )
    op.create_index(op.f("ix_blocks_value"), "blocks", ["value"])
    op.create_table(
        "orders",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("authority", sa.Text, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("legal_basis", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("received_at", UtcDateTime, nullable=False),
        sa.Column("deadline", UtcDateTime),
        sa.Column("acted_at", UtcDateTime, nullable=False),
        sa.Column("acted_by", sa.Text, nullable=False),
        sa.Column("answered_at", UtcDateTime),
        sa.Column("answered_by", sa.Text),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
    )
