"""A failure of the bucket, counted and told in the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamd.errors import StorageError
    from streamd.services.metrics import Metrics

log = logging.getLogger(__name__)


def tell_failure(metrics: Metrics, event: str, recording_id: str, exc: StorageError) -> None:
    """Count a failure by its reason, and write a line.

    Args:
        metrics: Counted into.
        event: The name of the line.
        recording_id: The recording that it is about.
        exc: The exception that was raised.
    """
    metrics.storage.storage_failures_total.labels(exc.reason).inc()
    log.warning(event, extra={"recording_id": recording_id, "reason": exc.reason, "detail": str(exc)})
