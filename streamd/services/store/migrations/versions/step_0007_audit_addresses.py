"""Addresses in the audit log may be erased; the log stays as it is in all else."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_KEPT = ("sequence", "at", "actor", "action", '"user"', "key_id", "stream", "reason", "count")


def upgrade() -> None:
    """Let a row's address become empty, and refuse every other change of a row as before."""
    if op.get_bind().dialect.name == "postgresql":
        new, old = (", ".join(f"{row}.{column}" for column in _KEPT) for row in ("NEW", "OLD"))
        op.execute(
            "CREATE FUNCTION audit_keeps_acts() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN IF NEW.address <> '' OR ({new}) IS DISTINCT FROM ({old}) "
            "THEN RAISE EXCEPTION 'the audit log is append-only'; END IF; RETURN NEW; END $$"
        )
        op.execute("DROP TRIGGER audit_is_append_only ON audit")
        op.execute(
            "CREATE TRIGGER audit_is_append_only BEFORE DELETE OR TRUNCATE ON audit "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()"
        )
        op.execute(
            "CREATE TRIGGER audit_keeps_acts BEFORE UPDATE ON audit FOR EACH ROW EXECUTE FUNCTION audit_keeps_acts()"
        )
    else:
        changed = " OR ".join(f"NEW.{column} IS NOT OLD.{column}" for column in _KEPT)
        op.execute("DROP TRIGGER audit_refuses_update")
        op.execute(
            f"CREATE TRIGGER audit_refuses_update BEFORE UPDATE ON audit WHEN NEW.address <> '' OR {changed} "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        )
