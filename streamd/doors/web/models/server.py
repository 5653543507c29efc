"""The server itself: its health, and its figures of the last hour."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from streamd.doors.web.models.common import ApiModel


class Health(ApiModel):
    """The server's health."""

    status: str
    """``ok``, or the fault."""
    warnings: Sequence[str] = ()
    """Troubles that keep no broadcaster out, and should not last: a disk that is full, acts that are not written yet.
    Left out where there is none."""


class HistorySample(ApiModel):
    """The server's own figures of some seconds."""

    at: datetime
    """The end of these seconds."""
    ingest_bps: float
    """Bits a second received over RTMP."""
    egress_bps: float
    """Bits a second sent to viewers."""
    streams: int
    """Live streams."""
    viewers: int
    """Over all protocols; over HLS an estimate."""
    part_delay_ms: float | None
    """Delay that 95 % of the parts did not exceed; null where there was no part."""
    cpu_percent: float | None
    """Of one core; null where the operating system does not tell."""
    memory_bytes: int | None
    """Resident memory of the process; null likewise."""


class HistoryAnswer(ApiModel):
    """The last hour, or as much of it as the server runs."""

    interval_s: float
    """From one sample to the next."""
    samples: list[HistorySample]
    """Oldest first."""
