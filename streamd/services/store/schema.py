"""The tables of the key store, for SQLite and PostgreSQL alike.

The migrations make the tables in a database; a test compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
    true,
)
from sqlalchemy.types import TypeDecorator

# Named constraints, so that a later migration can change them by name on either database.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """An instant, aware and in UTC on the Python side.

    PostgreSQL keeps ``timestamptz``. SQLite has no type for time; SQLAlchemy keeps text there, to
    the microsecond and without a zone, which sorts as the instants do because all of it is UTC.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive time, which could mean any instant."""
        del dialect
        if value is None:
            return None
        assert value.tzinfo is not None
        return value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """Give SQLite's text its zone back."""
        del dialect
        if value is None:
            return None
        assert isinstance(value, datetime)
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# A running number. SQLite numbers a table by itself only through a column declared INTEGER.
Sequence = BigInteger().with_variant(Integer(), "sqlite")

users = Table(
    "users",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    # A user is suspended while this is set.
    Column("suspended_at", UtcDateTime),
    Column("suspend_reason", Text, nullable=False, server_default=""),
    # The user's own limits; the server's configuration stands for one that is not set.
    Column("bitrate_kbps_max", Integer),
    Column("picture_pixels_max", Integer),
    # Whether the public list of channels has the user's.
    Column("listed", Boolean, nullable=False, server_default=true()),
)

keys = Table(
    "keys",
    metadata,
    Column("sequence", Sequence, primary_key=True),
    Column("key_id", String(32), nullable=False, unique=True),
    Column("user", String(64), ForeignKey("users.name"), nullable=False),
    Column("secret_hash", LargeBinary(32), nullable=False),
    Column("label", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("revoke_reason", Text, nullable=False, server_default=""),
    Column("revoked_by", Text, nullable=False, server_default=""),
    Column("replaced_by", String(32)),
    # Stream names, which hold no spaces, with a space between.
    Column("closed_streams", Text, nullable=False, server_default=""),
    Column("last_used_at", UtcDateTime),
    Column("last_used_address", Text, nullable=False, server_default=""),
    Index(None, "user", "sequence"),
    # The sweep asks every few seconds for the keys that have expired since: 120 ms of SQLite and 150 ms of PostgreSQL
    # with a million keys without it, 1 and 4 ms with it. Step 0004 leaves the many out that never expire; to say so
    # here would load PostgreSQL's dialect for SQLite, too.
    Index(None, "expires_at"),
    sqlite_autoincrement=True,
)

# Random numbers that belong to this store, drawn by a migration.
salts = Table(
    "salts",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", LargeBinary(32), nullable=False),
)

# Rows are only ever added: triggers made by the migrations refuse DELETE, and UPDATE but of an address to an empty one.
# The fields that the hashes are over are in audit/chain.py.
audit = Table(
    "audit",
    metadata,
    Column("sequence", Sequence, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("user", String(64)),
    Column("key_id", String(32)),
    Column("stream", String(64)),
    Column("reason", Text, nullable=False),
    # Refused publishes that are alike share one row.
    Column("count", Integer, nullable=False, server_default="1"),
    Column("subject", Text),
    Column("address_salt", LargeBinary(16)),
    Column("address_digest", LargeBinary(32)),
    # Rows that were there before the chain have none; its beginning has one over all of them.
    Column("hash", LargeBinary(32)),
    sqlite_autoincrement=True,
)

# One row: the beginning and the end of the audit log's hash chain. A writer of rows locks it first.
audit_chain = Table(
    "audit_chain",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    # The last row that was there before the chain, and the hash over those rows.
    Column("begin_sequence", BigInteger, nullable=False),
    Column("begin_hash", LargeBinary(32), nullable=False),
    Column("end_sequence", BigInteger, nullable=False),
    Column("end_hash", LargeBinary(32), nullable=False),
)

# People who act through the admin API. Their tokens are kept as hashes; what TOTP shares is kept as it is, for codes
# are computed of it: whoever reads the database has half of a sign-in with it.
operators = Table(
    "operators",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("token_id", String(32), nullable=False, unique=True),
    Column("secret_hash", LargeBinary(32), nullable=False),
    Column("token_made_at", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("revoke_reason", Text, nullable=False, server_default=""),
    Column("revoked_by", Text, nullable=False, server_default=""),
    Column("last_used_at", UtcDateTime),
    Column("totp_secret", LargeBinary(20)),
    # The number of the last code that was taken: none is taken twice.
    Column("totp_step", BigInteger, nullable=False, server_default="0"),
)

recordings = Table(
    "recordings",
    metadata,
    # ``rec_`` and a ULID: the order of ids is that of their beginnings.
    Column("id", String(32), primary_key=True),
    Column("user", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("duration_ms", BigInteger, nullable=False, server_default="0"),
    Column("size_bytes", BigInteger, nullable=False, server_default="0"),
    Column("path", Text, nullable=False),
    Column("title", Text, nullable=False, server_default=""),
    Column("visibility", String(16), nullable=False, server_default="public"),
    Column("is_kept", Boolean, nullable=False, server_default=false()),
    Index(None, "user", "id"),
    Index(None, "state", "id"),
    # Partial, as the migration has them: of those that are there, which may be few among all that ever were, and of
    # those that are deleted and have files left.
    Index("ix_recordings_there_id", "id"),
    Index("ix_recordings_there_user_id", "user", "id"),
    Index("ix_recordings_left_id", "id"),
)

# Users for whom it is decided whether their broadcasts are recorded; the server's configuration stands for the others.
recording_wishes = Table(
    "recording_wishes",
    metadata,
    Column("user", String(64), primary_key=True),
    Column("record", Boolean, nullable=False),
)

clips = Table(
    "clips",
    metadata,
    # ``clip_`` and a ULID: the order of ids is that of their beginnings.
    Column("id", String(32), primary_key=True),
    Column("recording_id", String(32), nullable=False),
    Column("user", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("title", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("end_ms", BigInteger, nullable=False),
    Column("start_actual_ms", BigInteger, nullable=False),
    Column("end_actual_ms", BigInteger, nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    # JSON: its renditions and their segments.
    Column("media", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Index(None, "user", "id"),
    Index(None, "recording_id", "state"),
)

# Evidence of a broadcast that was reported. A row stays when its files are deleted: each is a link of a chain
# (moderation/evidence_chain.py).
evidence = Table(
    "evidence",
    metadata,
    # ``evi_`` and a ULID.
    Column("id", String(32), primary_key=True),
    Column("sequence", BigInteger, nullable=False, unique=True),
    Column("case_id", String(32), nullable=False),
    Column("target_kind", String(16), nullable=False),
    Column("target_id", String(64), nullable=False),
    Column("channel", String(64), nullable=False),
    Column("category", String(64), nullable=False),
    Column("is_restricted", Boolean, nullable=False),
    Column("kept_at", UtcDateTime, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("media_ms", BigInteger, nullable=False),
    Column("has_picture", Boolean, nullable=False),
    Column("sums", LargeBinary(32), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("stamped_at", UtcDateTime),
    Column("deleted_at", UtcDateTime),
    Column("delete_reason", Text, nullable=False, server_default=""),
    Index(None, "case_id", "sequence"),
    Index(None, "channel", "sequence"),
)

# One row: the end of that chain. A writer of a link locks it first.
evidence_chain = Table(
    "evidence_chain",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("end_sequence", BigInteger, nullable=False),
    Column("end_hash", LargeBinary(32), nullable=False),
)

# The public's figures, day by day (UTC), and how far the audit log has been read for it: all of it can be counted
# anew from there.
transparency_days = Table(
    "transparency_days",
    metadata,
    Column("day", String(10), primary_key=True),
    # JSON.
    Column("counts", Text, nullable=False),
)
transparency_cursor = Table(
    "transparency_cursor",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
)

playback_keys = Table(
    "playback_keys",
    metadata,
    Column("kid", String(32), primary_key=True),
    Column("algorithm", String(8), nullable=False),
    # DER of a public key; of HS256 the secret itself, which checks and signs alike.
    Column("material", LargeBinary, nullable=False),
    Column("label", Text, nullable=False, server_default=""),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", Text, nullable=False),
    # From then on it is good for no new token; set when it is rotated or withdrawn.
    Column("ends_at", UtcDateTime),
    Column("withdrawn_at", UtcDateTime),
    Column("replaced_by", String(32)),
)

# Withdrawals: tokens, viewers, keys and channels by name.
playback_revocations = Table(
    "playback_revocations",
    metadata,
    Column("sequence", Sequence, primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("value", String(128), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

# Channels and recordings for which it is decided who may watch; the server's configuration stands for the others.
playback_rules = Table(
    "playback_rules",
    metadata,
    Column("subject", String(64), primary_key=True),
    Column("policy", String(16), nullable=False),
    Column("password_hash", Text, nullable=False, server_default=""),
)

# One a target and category, while it is open: ``open_key`` names both, and is null once it is decided.
cases = Table(
    "cases",
    metadata,
    # ``case_`` and a ULID: the order of ids is that of their opening.
    Column("id", String(32), primary_key=True),
    Column("open_key", String(192), unique=True),
    Column("target_kind", String(16), nullable=False),
    Column("target_id", String(64), nullable=False),
    Column("channel", String(64), nullable=False),
    Column("category", String(64), nullable=False),
    Column("source_type", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("is_restricted", Boolean, nullable=False),
    Column("is_on_top", Boolean, nullable=False),
    Column("priority", Float, nullable=False),
    Column("reports", BigInteger, nullable=False),
    # Those whose texts are kept, and the different reporters among them.
    Column("reports_kept", Integer, nullable=False),
    Column("reporters", Integer, nullable=False),
    # The sum of the reporters' records.
    Column("records", Float, nullable=False),
    Column("has_flagger", Boolean, nullable=False),
    Column("viewers", Integer, nullable=False),
    Column("machine_factor", Float, nullable=False),
    Column("machine_summary", Text, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("last_report_at", UtcDateTime, nullable=False),
    Column("claimed_by", Text, nullable=False),
    Column("claimed_at", UtcDateTime),
    Column("decision_id", String(32)),
    Index(None, "state", "priority", "id"),
    Index(None, "channel", "id"),
)

reports = Table(
    "reports",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("case_id", String(32), nullable=False),
    # The end of the id, which people say aloud.
    Column("reference", String(6), nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    # The time that played, where the reporter has said so.
    Column("at", UtcDateTime),
    # Whom it came from: a keyed hash of the address, or a trusted flagger's name. Empty once it is forgotten.
    Column("source", String(72), nullable=False),
    # Of what was said, so that the same is not kept twice.
    Column("digest", String(32), nullable=False),
    Column("keyword", String(64), nullable=False),
    Column("explanation", Text, nullable=False),
    Column("contact", Text, nullable=False),
    Column("flagger", String(64), nullable=False),
    Index(None, "case_id", "source"),
    Index(None, "case_id", "id"),
    Index(None, "reference"),
)

# How often somebody's reports were right, once some were decided.
reporters = Table(
    "reporters",
    metadata,
    Column("source", String(72), primary_key=True),
    Column("upheld", Integer, nullable=False),
    Column("rejected", Integer, nullable=False),
    # Decisions that called their reports manifestly unfounded: the first warns.
    Column("unfounded", Integer, nullable=False),
    Column("suspended_until", UtcDateTime),
    Column("changed_at", UtcDateTime, nullable=False),
    Index(None, "changed_at"),
)

# The acts in a case, in order.
case_history = Table(
    "case_history",
    metadata,
    Column("sequence", Sequence, primary_key=True),
    Column("case_id", String(32), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("act", String(16), nullable=False),
    Column("text", Text, nullable=False),
    Index(None, "case_id", "sequence"),
    sqlite_autoincrement=True,
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("case_id", String(32), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    # JSON: the statement of reasons, where something was taken down.
    Column("statement", Text, nullable=False),
    Column("takedown_id", String(32), nullable=False),
    Column("is_unfounded", Boolean, nullable=False),
    # Set when an appeal has reversed it.
    Column("reversed_at", UtcDateTime),
    Index(None, "case_id", "id"),
)

appeals = Table(
    "appeals",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("decision_id", String(32), nullable=False),
    Column("case_id", String(32), nullable=False),
    # ``reporter`` or ``broadcaster``, and the report's id of the one; each appeals once.
    Column("party", String(16), nullable=False),
    Column("appellant", String(32), nullable=False),
    Column("text", Text, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("state", String(16), nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("decided_at", UtcDateTime),
    Column("reason", Text, nullable=False),
    Index(None, "decision_id", "appellant", unique=True),
    Index(None, "state", "id"),
)

# Takedowns, with their statements of reasons.
takedowns = Table(
    "takedowns",
    metadata,
    # ``tkd_`` and a ULID: the order of ids is that of the acts.
    Column("id", String(32), primary_key=True),
    Column("kind", String(16), nullable=False),
    # Name of the channel, or id of the key, the recording or the clip.
    Column("target", String(64), nullable=False),
    # Empty where it was not known whose it is: the store could not be asked.
    Column("channel", String(64), nullable=False),
    # JSON in the schema of the DSA Transparency Database.
    Column("statement", Text, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("case_id", String(32)),
    Column("order_id", String(32)),
    Column("restored_at", UtcDateTime),
    Column("restored_by", Text),
    Column("restore_reason", Text, nullable=False, server_default=""),
    Index(None, "channel", "id"),
    Index(None, "restored_at"),
)

# Blocks: users and networks that may not publish, and channels that are not shown everywhere.
blocks = Table(
    "blocks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("value", String(128), nullable=False),
    Column("scope", String(16), nullable=False),
    # Two letters each, with spaces between; empty for everywhere.
    Column("countries", Text, nullable=False, server_default=""),
    Column("until", UtcDateTime),
    Column("order", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Column("added_at", UtcDateTime, nullable=False),
    Column("added_by", Text, nullable=False),
    Index(None, "value"),
)

# Authorities' orders, and what was done.
orders = Table(
    "orders",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("authority", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("legal_basis", Text, nullable=False),
    # JSON: what it names, what was done about each, and the statement of reasons.
    Column("content", Text, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("deadline", UtcDateTime),
    Column("acted_at", UtcDateTime, nullable=False),
    Column("acted_by", Text, nullable=False),
    Column("answered_at", UtcDateTime),
    Column("answered_by", Text),
)

# Findings of the machine in pictures of cases. Lists are JSON: they are read whole, and nothing is searched in them.
findings = Table(
    "findings",
    metadata,
    # ``fnd_`` and a ULID: the order of ids is that of their times.
    Column("id", String(32), primary_key=True),
    Column("case_id", String(32), nullable=False),
    Column("channel", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("source", String(16), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("quality", Integer, nullable=False),
    Column("matches", Text, nullable=False),
    Column("scores", Text, nullable=False),
    Column("words", Text, nullable=False),
    Column("fault", Text, nullable=False),
    Column("duplicates", Text, nullable=False),
    Column("signs", Text, nullable=False),
    Column("suggestion", Text, nullable=False),
    # Whether whoever decided the case saw it too; none while nobody has decided.
    Column("agreed", Boolean),
    Column("judged_by", Text, nullable=False),
    Column("judged_at", UtcDateTime),
    # A person has said it of this finding: a decision about the case leaves that.
    Column("is_judged_alone", Boolean, nullable=False, server_default=false()),
    Index(None, "case_id", "id"),
)

# Other servers that broadcasts are passed on to; their stream keys are locked (restream/secret_box.py).
restream_targets = Table(
    "restream_targets",
    metadata,
    # ``tgt_`` and a ULID: the order of ids is that in which they were made.
    Column("id", String(32), primary_key=True),
    Column("user", String(64), nullable=False),
    Column("url", Text, nullable=False),
    Column("locked_key", LargeBinary, nullable=False),
    Column("key_hint", String(8), nullable=False),
    Column("label", Text, nullable=False),
    Column("is_enabled", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "user", "id"),
)
