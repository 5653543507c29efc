"""Indexes of the recordings that are there, and of those whose files are still to go."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A server that has deleted recordings for years finds the few that are there without reading all of them."""
    there, left = sa.text("state != 'deleted'"), sa.text("state = 'deleted' AND size_bytes > 0")
    for name, columns, where in (
        ("ix_recordings_there_id", ["id"], there),
        ("ix_recordings_there_user_id", ["user", "id"], there),
        ("ix_recordings_left_id", ["id"], left),
    ):
        op.create_index(name, "recordings", columns, sqlite_where=where, postgresql_where=where)
