"""One accepted publish of a connection, from its verdict to its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from streamd.services.keys.admission import Admission
    from streamd.services.keys.attempts import Attempt
    from streamd.services.live.live_stream import LiveStream
    from streamd.services.live.publisher import EndReason, Publisher
    from streamd.services.live.registry import LiveRegistry


@dataclass(eq=False, slots=True)
class Broadcast:
    """One accepted publish of a connection; the connection holds one or none."""

    stream: LiveStream
    admission: Admission
    """Of the key; it lives for as long as it is held."""
    attempt: Attempt
    """The line of the holder's page about it."""
    begun_at: float
    """Loop time of the verdict, seconds."""
    publisher: Publisher
    """The connection."""
    registry: LiveRegistry
    """The stream is left there."""

    @property
    def fields(self) -> dict[str, object]:
        """For each line of the log about the connection."""
        return {"key_id": self.admission.key_id, "stream": self.stream.name}

    @property
    def heard_at(self) -> float:
        """Loop time of its last audio or video, or of its begin where there was none, seconds."""
        return max(self.stream.last_media_at, self.begun_at)

    def end(self, reason: EndReason, detail: str, at: datetime) -> None:
        """Leave the stream, and note on the holder's page why.

        Args:
            reason: Why the connection feeds it no more.
            detail: The same in words.
            at: Wall time.
        """
        self.registry.leave(self.stream, self.publisher, reason)
        # Where the operator or a fault ended the stream, the connection is lost only because of that.
        self.attempt.end((self.stream.end_reason or reason).value, detail, at)
