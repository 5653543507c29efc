"""The operator's console over stand-ins, for tests of what stands beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.clock import Clock, SystemClock
from streamd.doors.web.admin.console import Console
from streamd.services.history import History
from streamd.services.metrics import Metrics

if TYPE_CHECKING:
    from streamd.doors.web.live_streams import LiveStreams
    from streamd.services.keys.service import KeyService
    from streamd.services.operators.service import OperatorService


def console_of(
    keys: KeyService,
    streams: LiveStreams,
    *,
    clock: Clock | None = None,
    metrics: Metrics | None = None,
    operators: OperatorService | None = None,
) -> Console:
    """A console of these keys and streams, whose public port is 8080."""
    clock = clock or SystemClock()
    return Console(
        clock=clock,
        streams=streams,
        history=History(metrics or Metrics(), clock),
        revision=lambda: keys.revision,
        operators=operators,
        public_origin=lambda hostname: f"http://{hostname}:8080",
    )
