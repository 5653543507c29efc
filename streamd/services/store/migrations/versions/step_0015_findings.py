"""What the machine found in pictures, and whether people agreed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from streamd.services.store.schema import UtcDateTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing was looked at so far."""
    op.create_table(
        "findings",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("case_id", sa.String(32), nullable=False),
        sa.Column("channel", sa.String(64), nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("quality", sa.Integer, nullable=False),
        sa.Column("matches", sa.Text, nullable=False),
        sa.Column("scores", sa.Text, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("fault", sa.Text, nullable=False),
        sa.Column("duplicates", sa.Text, nullable=False),
        sa.Column("signs", sa.Text, nullable=False),
        sa.Column("suggestion", sa.Text, nullable=False),
        sa.Column("agreed", sa.Boolean),
        sa.Column("judged_by", sa.Text, nullable=False),
        sa.Column("judged_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_findings")),
    )
    op.create_index(op.f("ix_findings_case_id_id"), "findings", ["case_id", "id"])
