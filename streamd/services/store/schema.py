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
# What the hashes are over is in audit/chain.py.
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

# One row: the beginning and the end of the audit log's hash chain. Whoever adds rows locks it first.
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

# What viewers had and have no more: tokens, viewers, keys and channels by name.
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
