"""Evidence of what was reported, its chain, and what the public can count."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from alembic import op

from streamd.services.store.schema import UtcDateTime

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """No evidence so far, and nothing counted: the audit log is read from its beginning."""
    op.create_table(
        "evidence",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("case_id", sa.String(32), nullable=False),
        sa.Column("target_kind", sa.String(16), nullable=False),
        sa.Column("target_id", sa.String(64), nullable=False),
        sa.Column("channel", sa.String(64), nullable=False),
        sa.Column("category", sa.String(64), nullable=False),
        sa.Column("is_restricted", sa.Boolean, nullable=False),
        sa.Column("kept_at", UtcDateTime, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("media_ms", sa.BigInteger, nullable=False),
        sa.Column("has_picture", sa.Boolean, nullable=False),
        sa.Column("sums", sa.LargeBinary(32), nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("stamped_at", UtcDateTime),
        sa.Column("deleted_at", UtcDateTime),
        sa.Column("delete_reason", sa.Text, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evidence")),
        sa.UniqueConstraint("sequence", name=op.f("uq_evidence_sequence")),
    )
    op.create_index(op.f("ix_evidence_case_id_sequence"), "evidence", ["case_id", "sequence"])
    op.create_index(op.f("ix_evidence_channel_sequence"), "evidence", ["channel", "sequence"])
    chain = op.create_table(
        "evidence_chain",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("end_sequence", sa.BigInteger, nullable=False),
        sa.Column("end_hash", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evidence_chain")),
    )
    op.bulk_insert(
        chain,
        [{"id": 1, "end_sequence": 0, "end_hash": hashlib.sha256(b"streamd evidence begin 1\0").digest()}],
    )
    op.create_table(
        "transparency_days",
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("counts", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_transparency_days")),
    )
    cursor = op.create_table(
        "transparency_cursor",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transparency_cursor")),
    )
    op.bulk_insert(cursor, [{"id": 1, "sequence": 0}])
