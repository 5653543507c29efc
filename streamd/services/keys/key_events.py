"""The events of a key or a user (``events``), which never hold a secret."""

from __future__ import annotations

from datetime import datetime

from streamd.services.events.event import Event, EventType, Value, rfc3339
from streamd.services.keys.records import KeyRecord, UserRecord


def key_event(event_type: EventType, key: KeyRecord, at: datetime, /, **more: Value) -> Event:
    """Make an event of a key.

    Args:
        event_type: Type of the event.
        key: The key, in its state after the event.
        at: Wall time.
        more: Further fields.
    """
    about: dict[str, Value] = {
        "key_id": key.key_id,
        "user": key.user,
        "label": key.label,
        "expires_at": None if key.expires_at is None else rfc3339(key.expires_at),
    }
    return Event(event_type, at, about | more)


def user_event(event_type: EventType, user: UserRecord, at: datetime, /, **more: Value) -> Event:
    """Make an event of a user; arguments as of ``key_event``."""
    return Event(event_type, at, {"user": user.name} | more)
