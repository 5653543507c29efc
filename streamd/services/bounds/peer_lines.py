"""Which lines of the log are written: so many a minute about one peer, and of one stream's events.

Whoever connects can have things logged, a thousand times a second if they like. Each line says whom it is about, in its
fields, so one filter before the log bounds them all: an operator reads the first ones, how many more there were, and
metrics for the rest.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamd.limits import DEFAULT
from streamd.services.bounds.log_lines import LineBudget

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

# Of what libraries write, and of tracebacks about nobody, each minute and by event: the first ones tell it.
OTHER_LINES_MAX = 30
# Of one event about one stream: a publisher on a bad line reconnects every few seconds.
STREAM_LINES_MAX = 20
# Streams are named by keys, which the operator issues.
ALL_STREAMS_LINES_MAX = 1_000_000
SUMMARY_S = 60.0
# Events that the summary names, those of which most was left out.
EVENTS_NAMED = 5
_OURS = "streamd."


@dataclass(frozen=True, slots=True)
class PeerLineLimits:
    """Lines in each minute. The reasons stand in the configuration's ``[limits]``."""

    log_lines_per_address_max: int = DEFAULT.log_lines_per_address_max
    unpublished_lines_per_minute_max: int = DEFAULT.unpublished_lines_per_minute_max


class PeerLines(logging.Filter):
    """Lets through what is about no peer, and the first lines about each.

    A line is about a stream where it has the field ``stream``, else about whoever its field ``peer`` names.

    Args:
        limits: How many.
        now: Reads the loop time, seconds.
        count_limit: Told the name of the limit by which a line is left out.
    """

    def __init__(self, limits: PeerLineLimits, *, now: Callable[[], float], count_limit: Callable[[str], None]) -> None:
        super().__init__()
        self._now = now
        self._count_limit = count_limit
        self._streams = LineBudget(STREAM_LINES_MAX, ALL_STREAMS_LINES_MAX)
        self._strangers = LineBudget(limits.log_lines_per_address_max, limits.unpublished_lines_per_minute_max)
        self._others = LineBudget(OTHER_LINES_MAX, OTHER_LINES_MAX * 10)
        # Records come from threads, too.
        self._lock = threading.Lock()
        self._left_out: Counter[str] = Counter()
        self._summary_at = now() + SUMMARY_S

    def configure(self, limits: PeerLineLimits) -> None:
        """Take other limits."""
        self._strangers.per_source, self._strangers.in_all = (
            limits.log_lines_per_address_max,
            limits.unpublished_lines_per_minute_max,
        )

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is written (``logging.Filter``)."""
        if record.levelno < logging.INFO:
            return True
        with self._lock:
            limit = self._passed_limit(record)
            if limit is None:
                return True
            self._left_out[record.msg if record.name.startswith(_OURS) else record.name] += 1
        self._count_limit(limit)
        return False

    def tell(self) -> None:
        """Say once a minute how much was left out; called about once a second."""
        now = self._now()
        if now < self._summary_at:
            return
        self._summary_at = now + SUMMARY_S
        with self._lock:
            left_out, self._left_out = self._left_out, Counter()
        if left_out:
            most = ", ".join(f"{event} {lines}" for event, lines in left_out.most_common(EVENTS_NAMED))
            log.warning("log.lines_left_out", extra={"lines": left_out.total(), "of": most})

    def _passed_limit(self, record: logging.LogRecord) -> str | None:
        now = self._now()
        if not record.name.startswith(_OURS):
            return None if self._others.may_log(record.name, now) else "log_lines_per_address_max"
        stream, peer = getattr(record, "stream", None), getattr(record, "peer", None)
        if stream is not None:
            source = f"{record.msg} {stream}"
            return None if self._streams.may_log(source, now) else "log_lines_per_address_max"
        if peer is not None:
            in_all = self._strangers.written >= self._strangers.in_all
            if self._strangers.may_log(str(peer), now):
                return None
            return "unpublished_lines_per_minute_max" if in_all else "log_lines_per_address_max"
        if record.exc_info is not None and not self._others.may_log(str(record.msg), now):
            return "log_lines_per_address_max"
        return None
