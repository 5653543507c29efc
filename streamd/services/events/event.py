"""The events of a server, and their receiver inside the process.

The types and the fields of their data are part of the API: receivers match on them. No event holds a stream key.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

Value: TypeAlias = "str | int | float | bool | Sequence[Value] | Mapping[str, Value] | None"
"""A value that JSON can hold."""


class EventType(enum.StrEnum):
    """The type of an event: "a full-stop delimited type" (Standard Webhooks, Payload structure)."""

    STREAM_STARTED = "stream.started"
    """A stream can be played from now on."""
    STREAM_HEALTHY = "stream.healthy"
    """An unhealthy stream is well again. Streams begin healthy."""
    STREAM_UNHEALTHY = "stream.unhealthy"
    STREAM_RECONNECTING = "stream.reconnecting"
    """The publisher's connection is gone, and its stream waits for it to come back."""
    STREAM_RESUMED = "stream.resumed"
    """It came back."""
    STREAM_ENDED = "stream.ended"
    """A stream that was started is over."""
    KEY_ISSUED = "key.issued"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"
    KEY_EXPIRED = "key.expired"
    USER_SUSPENDED = "user.suspended"
    USER_RESTORED = "user.restored"
    RECORDING_STARTED = "recording.started"
    RECORDING_READY = "recording.ready"
    """A recording is complete, and its files are closed."""
    RECORDING_FAILED = "recording.failed"
    """A recording ended by a fault; what was written before can be played."""
    RECORDING_UPLOADED = "recording.uploaded"
    """All files of a recording are in the bucket."""
    RECORDING_DELETED = "recording.deleted"
    TARGET_LIVE = "target.live"
    """Another server, to which a broadcast is passed on, takes it."""
    TARGET_LOST = "target.lost"
    """It does not take it any more; it is tried again."""
    TARGET_REFUSED = "target.refused"
    """It has said no; with its words as the reason."""
    CLIP_CREATED = "clip.created"
    """A clip was made, and can be watched."""
    REPORT_RECEIVED = "report.received"
    """Somebody has reported something; reports of one case past the thousandth are counted and not told."""
    CASE_OPENED = "case.opened"
    CASE_DECIDED = "case.decided"
    """A moderator has decided; ``appeal_token`` is for the broadcaster, who may complain with it."""
    APPEAL_RECEIVED = "appeal.received"
    APPEAL_DECIDED = "appeal.decided"
    TAKEDOWN_MADE = "takedown.made"
    """A moderator took something down; with the statement of reasons."""
    TAKEDOWN_RESTORED = "takedown.restored"
    BLOCK_ADDED = "block.added"
    BLOCK_REMOVED = "block.removed"
    BLOCKS_IMPORTED = "blocks.imported"
    ORDER_RECEIVED = "order.received"
    """An authority's order was carried out; with what was done."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    type: EventType
    at: datetime
    """When, aware."""
    data: Mapping[str, Value] = field(default_factory=dict)
    """The subject of the event, by names that belong to the type."""

    @property
    def about(self) -> str:
        """The name of its user, which is the channel's."""
        return str(self.data.get("user", ""))

    def body(self) -> bytes:
        """The payload of a webhook."""
        return payload(self.type, self.at, self.data)


EventSink = Callable[[Event], None]
"""The receiver of events. It must not wait, and must not raise."""


def unheard(event: Event) -> None:
    """Tell nobody."""
    del event


def payload(type_name: str, at: datetime, data: Mapping[str, Value]) -> bytes:
    """JSON with ``type``, ``timestamp`` and ``data``, minimized (Standard Webhooks, Payload structure).

    ASCII, so that it can be written whatever text a publisher sent.
    """
    return json.dumps({"type": type_name, "timestamp": rfc3339(at), "data": data}, separators=(",", ":")).encode()


def rfc3339(at: datetime) -> str:
    """An instant as receivers read it: UTC, to the microsecond, with ``Z``."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
