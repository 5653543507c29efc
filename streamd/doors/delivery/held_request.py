"""The request of a connection that waits for media that is not there yet (rfc8216bis-22 section 6.2.5.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.doors.delivery.answer import MediaRequest
    from streamd.doors.delivery.lookup import Blocked
    from streamd.services.live.waiters import Memo, Subscription
    from streamd.services.playback.viewing import Viewing


class HeldRequest:
    """One request from when it is first held until it is answered.

    Args:
        request: The request.
        source: The peer that it counts for while it waits; empty for none.
        now: Loop time at which it was asked, seconds.
        timeout_s: Seconds for which it may wait.
        viewing: By which its viewer was let in; None where everybody may watch.
        is_admission: They were let in by this request: the answer leads into the path of their ticket.

    Attributes:
        request: The request.
        viewing: As given.
        is_admission: As given.
        since: Loop time at which it was asked, seconds.
        deadline: Loop time at which it is answered as things stand then.
    """

    __slots__ = ("_source", "_subscription", "deadline", "is_admission", "request", "since", "viewing")

    def __init__(
        self,
        request: MediaRequest,
        source: str,
        now: float,
        timeout_s: float,
        viewing: Viewing | None = None,
        *,
        is_admission: bool = False,
    ) -> None:
        self.request = request
        self.viewing = viewing
        self.is_admission = is_admission
        self.since = now
        self.deadline = now + timeout_s
        self._source = source
        self._subscription: Subscription | None = None

    def wait(self, blocked: Blocked, on_wake: Callable[[Memo], None]) -> None:
        """Have ``on_wake`` called when the awaited is there or the stream has ended."""
        self._subscription = blocked.waiters.subscribe(blocked.awaited, on_wake, self._source)

    def leave(self) -> None:
        """Wait no more."""
        if self._subscription is not None:
            self._subscription.cancel()
            self._subscription = None
