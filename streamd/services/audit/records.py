"""The audit log's records: actors and their acts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final


@dataclass(frozen=True, slots=True)
class Actor:
    """The actor of a change, as the audit log names them."""

    name: str
    """An operator's name; ``root`` for the holder of the configuration's token, ``cli/`` and the account's name for the
    command line of the machine, ``streamd`` for the server itself."""
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
    """IP address of the request."""
    user: str | None = None
    key_id: str | None = None
    stream: str | None = None
    reason: str = ""
    count: int = 1
    """Number of acts in this row; more than one for refused publishes that are alike. ``at`` is the last of them."""
    subject: str | None = None
    """What else the act was on: the name of an operator."""


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
