"""What the audit log speaks of: who acts, and what they have done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks for a change, as the audit log names them."""

    name: str
    """Name of the token or tool: ``admin``, ``cli``, ``streamd`` for the server itself."""
    address: str = ""
    """IP address the request came from; empty where it came over no network."""


SERVER = Actor("streamd")
"""The server itself, in the audit log: it refuses publishes, and closes streams of keys that expired."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change or refusal, before it has its number."""

    at: datetime
    actor: str
    action: str
    """``noun.past_verb``: ``key.issued``, ``key.rotated``, ``key.revoked``, ``user.suspended``, ``publish.denied``…"""
    address: str = ""
    """Where the request came from."""
    user: str | None = None
    key_id: str | None = None
    stream: str | None = None
    reason: str = ""
    count: int = 1
    """How often; more than once for refused publishes, of which many are one row. ``at`` is the last of them."""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One row of the append-only audit log."""

    sequence: int
    """Running number, from 1: the cursor of a list."""
    entry: AuditEntry


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which rows of the audit log are asked for; all that is said must hold."""

    search: str = ""
    """Rows that have this text somewhere, in small letters or large ones."""
    or_actions: tuple[str, ...] = ()
    """Beside those that have the text, rows of these actions: what whoever asks calls by it."""
    action: str = ""
    """Rows of this action."""
    since: datetime | None = None
    until: datetime | None = None
    """Rows before it."""


EVERYTHING: Final = AuditFilter()
