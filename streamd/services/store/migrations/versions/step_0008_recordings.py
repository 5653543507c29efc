"""Recordings, and whether a user's broadcasts are recorded."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.services.store.schema import UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """No recording so far; every user is recorded as the server's configuration says."""
    op.create_table(
        "recordings",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("user", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("started_at", UtcDateTime, nullable=False),
        sa.Column("ended_at", UtcDateTime),
        sa.Column("duration_ms", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("size_bytes", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False, server_default=""),
        sa.Column("visibility", sa.String(16), nullable=False, server_default="public"),
        sa.Column("is_kept", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recordings")),
    )
    op.create_index(op.f("ix_recordings_user_id"), "recordings", ["user", "id"])
    op.create_index(op.f("ix_recordings_state_id"), "recordings", ["state", "id"])
    op.create_table(
        "recording_wishes",
        sa.Column("user", sa.String(64), nullable=False),
        sa.Column("record", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("user", name=op.f("pk_recording_wishes")),
    )
