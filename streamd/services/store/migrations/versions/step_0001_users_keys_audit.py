"""Users, keys and the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and the triggers that keep the audit log append-only."""
    running_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    instant = sa.DateTime(timezone=True)

    op.create_table(
        "users",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("suspended_at", instant),
        sa.Column("suspend_reason", sa.Text, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("name", name="pk_users"),
    )
    op.create_table(
        "keys",
        sa.Column("sequence", running_number, nullable=False),
        sa.Column("key_id", sa.String(32), nullable=False),
        sa.Column("user", sa.String(64), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("expires_at", instant),
        sa.Column("revoked_at", instant),
        sa.Column("revoke_reason", sa.Text, nullable=False, server_default=""),
        sa.Column("revoked_by", sa.Text, nullable=False, server_default=""),
        sa.Column("replaced_by", sa.String(32)),
        sa.Column("closed_streams", sa.Text, nullable=False, server_default=""),
        sa.Column("last_used_at", instant),
        sa.Column("last_used_address", sa.Text, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("sequence", name="pk_keys"),
        sa.UniqueConstraint("key_id", name="uq_keys_key_id"),
        sa.ForeignKeyConstraint(["user"], ["users.name"], name="fk_keys_user"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_keys_user_sequence", "keys", ["user", "sequence"])
    op.create_table(
        "audit",
        sa.Column("sequence", running_number, nullable=False),
        sa.Column("at", instant, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("user", sa.String(64)),
        sa.Column("key_id", sa.String(32)),
        sa.Column("stream", sa.String(64)),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_audit"),
        sqlite_autoincrement=True,
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()"
        )
    else:
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_refuses_{change.lower()} BEFORE {change} ON audit "
                "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
            )
