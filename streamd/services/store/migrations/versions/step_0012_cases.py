"""Reports, the cases that they make, decisions and appeals."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

from streamd.services.store.schema import Sequence, UtcDateTime

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing was reported so far. The secret of receipts is drawn once; whoever shares the database shares it."""
    op.create_table(
        "cases",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("open_key", sa.String(192)),
        sa.Column("target_kind", sa.String(16), nullable=False),
        sa.Column("target_id", sa.String(64), nullable=False),
        sa.Column("channel", sa.String(64), nullable=False),
        sa.Column("category", sa.String(64), nullable=False),
        sa.Column("source_type", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("is_restricted", sa.Boolean, nullable=False),
        sa.Column("is_on_top", sa.Boolean, nullable=False),
        sa.Column("priority", sa.Float, nullable=False),
        sa.Column("reports", sa.BigInteger, nullable=False),
        sa.Column("reports_kept", sa.Integer, nullable=False),
        sa.Column("reporters", sa.Integer, nullable=False),
        sa.Column("records", sa.Float, nullable=False),
        sa.Column("has_flagger", sa.Boolean, nullable=False),
        sa.Column("viewers", sa.Integer, nullable=False),
        sa.Column("machine_factor", sa.Float, nullable=False),
        sa.Column("machine_summary", sa.Text, nullable=False),
        sa.Column("opened_at", UtcDateTime, nullable=False),
        sa.Column("last_report_at", UtcDateTime, nullable=False),
        sa.Column("claimed_by", sa.Text, nullable=False),
        sa.Column("claimed_at", UtcDateTime),
        sa.Column("decision_id", sa.String(32)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cases")),
        sa.UniqueConstraint("open_key", name=op.f("uq_cases_open_key")),
    )
    op.create_index(op.f("ix_cases_state_priority_id"), "cases", ["state", "priority", "id"])
    op.create_index(op.f("ix_cases_channel_id"), "cases", ["channel", "id"])
    op.create_table(
        "reports",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("case_id", sa.String(32), nullable=False),
        sa.Column("reference", sa.String(6), nullable=False),
        sa.Column("received_at", UtcDateTime, nullable=False),
        sa.Column("at", UtcDateTime),
        sa.Column("source", sa.String(72), nullable=False),
        sa.Column("digest", sa.String(32), nullable=False),
        sa.Column("keyword", sa.String(64), nullable=False),
        sa.Column("explanation", sa.Text, nullable=False),
        sa.Column("contact", sa.Text, nullable=False),
        sa.Column("flagger", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reports")),
    )
    op.create_index(op.f("ix_reports_case_id_source"), "reports", ["case_id", "source"])
    op.create_index(op.f("ix_reports_case_id_id"), "reports", ["case_id", "id"])
    op.create_index(op.f("ix_reports_reference"), "reports", ["reference"])
    op.create_table(
        "reporters",
        sa.Column("source", sa.String(72), nullable=False),
        sa.Column("upheld", sa.Integer, nullable=False),
        sa.Column("rejected", sa.Integer, nullable=False),
        sa.Column("unfounded", sa.Integer, nullable=False),
        sa.Column("suspended_until", UtcDateTime),
        sa.Column("changed_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_reporters")),
    )
    op.create_index(op.f("ix_reporters_changed_at"), "reporters", ["changed_at"])
    op.create_table(
        "case_history",
        sa.Column("sequence", Sequence, nullable=False),
        sa.Column("case_id", sa.String(32), nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("act", sa.String(16), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_case_history")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_case_history_case_id_sequence"), "case_history", ["case_id", "sequence"])
    op.create_table(
        "decisions",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("case_id", sa.String(32), nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("statement", sa.Text, nullable=False),
        sa.Column("takedown_id", sa.String(32), nullable=False),
        sa.Column("is_unfounded", sa.Boolean, nullable=False),
        sa.Column("reversed_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
    )
    op.create_index(op.f("ix_decisions_case_id_id"), "decisions", ["case_id", "id"])
    op.create_table(
        "appeals",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("decision_id", sa.String(32), nullable=False),
        sa.Column("case_id", sa.String(32), nullable=False),
        sa.Column("party", sa.String(16), nullable=False),
        sa.Column("appellant", sa.String(32), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("received_at", UtcDateTime, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("decided_by", sa.Text, nullable=False),
        sa.Column("decided_at", UtcDateTime),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_appeals")),
    )
    op.create_index(op.f("ix_appeals_decision_id_appellant"), "appeals", ["decision_id", "appellant"], unique=True)
    op.create_index(op.f("ix_appeals_state_id"), "appeals", ["state", "id"])
    salts = sa.table("salts", sa.column("name", sa.String), sa.column("value", sa.LargeBinary))
    op.bulk_insert(salts, [{"name": "reports", "value": secrets.token_bytes(32)}])
