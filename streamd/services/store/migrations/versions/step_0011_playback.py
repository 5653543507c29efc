"""Who may watch: keys of tokens, what was withdrawn, and rules of channels and recordings."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

from streamd.services.store.schema import Sequence, UtcDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """No key and no rule so far. The secret of tickets is drawn once; whoever shares the database shares it."""
    op.create_table(
        "playback_keys",
        sa.Column("kid", sa.String(32), nullable=False),
        sa.Column("algorithm", sa.String(8), nullable=False),
        sa.Column("material", sa.LargeBinary, nullable=False),
        sa.Column("label", sa.Text, nullable=False, server_default=""),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("ends_at", UtcDateTime),
        sa.Column("withdrawn_at", UtcDateTime),
        sa.Column("replaced_by", sa.String(32)),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_playback_keys")),
    )
    op.create_table(
        "playback_revocations",
        sa.Column("sequence", Sequence, nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("value", sa.String(128), nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_playback_revocations")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "playback_rules",
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("policy", sa.String(16), nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_playback_rules")),
    )
    salts = sa.table("salts", sa.column("name", sa.String), sa.column("value", sa.LargeBinary))
    op.bulk_insert(salts, [{"name": "playback", "value": secrets.token_bytes(32)}])
