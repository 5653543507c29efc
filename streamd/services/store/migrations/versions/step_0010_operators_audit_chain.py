"""Operators with names and roles; the audit log is a hash chain from here on.

Rows that are there already get no hash of their own, which would be to write a log of a million rows anew. The chain
begins with one hash over all of them, without their addresses, some of which are erased and others will be.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC

import sqlalchemy as sa
from alembic import op

from streamd.services.store.schema import UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_KEPT = (
    "sequence", "at", "actor", "action", '"user"', "key_id", "stream", "reason", "count", "subject", "address_digest",
    "hash",
)  # fmt: skip
_ROWS_AT_ONCE = 1_000


def upgrade() -> None:
    """Make the tables, give audit rows their place in a chain, and let a row's address and its salt become empty."""
    op.create_table(
        "operators",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("token_id", sa.String(32), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("token_made_at", UtcDateTime, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("expires_at", UtcDateTime),
        sa.Column("revoked_at", UtcDateTime),
        sa.Column("revoke_reason", sa.Text, nullable=False, server_default=""),
        sa.Column("revoked_by", sa.Text, nullable=False, server_default=""),
        sa.Column("last_used_at", UtcDateTime),
        sa.Column("totp_secret", sa.LargeBinary(20)),
        sa.Column("totp_step", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_operators")),
        sa.UniqueConstraint("token_id", name=op.f("uq_operators_token_id")),
    )
    for column in (
        sa.Column("subject", sa.Text),
        sa.Column("address_salt", sa.LargeBinary(16)),
        sa.Column("address_digest", sa.LargeBinary(32)),
        sa.Column("hash", sa.LargeBinary(32)),
    ):
        op.add_column("audit", column)
    chain = op.create_table(
        "audit_chain",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("begin_sequence", sa.BigInteger, nullable=False),
        sa.Column("begin_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("end_sequence", sa.BigInteger, nullable=False),
        sa.Column("end_hash", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_chain")),
    )
    _replace_trigger()
    sequence, begin = _begin()
    row = {"begin_sequence": sequence, "begin_hash": begin, "end_sequence": sequence, "end_hash": begin}
    op.bulk_insert(chain, [{"id": 1, **row}])


def _replace_trigger() -> None:
    if op.get_bind().dialect.name == "postgresql":
        # No server of an older version writes rows beside the chain while this is done.
        op.execute("LOCK TABLE audit IN EXCLUSIVE MODE")
        new, old = (", ".join(f"{row}.{column}" for column in _KEPT) for row in ("NEW", "OLD"))
        op.execute(
            "CREATE OR REPLACE FUNCTION audit_keeps_acts() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN IF NEW.address <> '' OR NEW.address_salt IS NOT NULL "
            f"OR ({new}) IS DISTINCT FROM ({old}) "
            "THEN RAISE EXCEPTION 'the audit log is append-only'; END IF; RETURN NEW; END $$"
        )
    else:
        changed = " OR ".join(f"NEW.{column} IS NOT OLD.{column}" for column in _KEPT)
        op.execute("DROP TRIGGER audit_refuses_update")
        op.execute(
            "CREATE TRIGGER audit_refuses_update BEFORE UPDATE ON audit "
            f"WHEN NEW.address <> '' OR NEW.address_salt IS NOT NULL OR {changed} "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        )


def _begin() -> tuple[int, bytes]:
    """The last row so far, and the hash over all of them; ``audit/verify.py`` has the same formula."""
    names = ("sequence", "at", "actor", "action", "user", "key_id", "stream", "reason", "count")
    audit = sa.table("audit", *(sa.column(name, UtcDateTime() if name == "at" else None) for name in names))
    digest, last = hashlib.sha256(b"streamd audit begin 1\0"), 0
    while True:
        query = sa.select(audit).where(audit.c.sequence > last).order_by(audit.c.sequence).limit(_ROWS_AT_ONCE)
        rows = op.get_bind().execute(query).all()
        if not rows:
            return last, digest.digest()
        for row in rows:
            at = row.at.astimezone(UTC).isoformat(timespec="microseconds")
            values = [at if name == "at" else getattr(row, name) for name in names]
            # Row has a method of this name.
            values[-1] = row._mapping["count"]
            digest.update(json.dumps(values, separators=(",", ":")).encode() + b"\n")
        last = rows[-1].sequence
