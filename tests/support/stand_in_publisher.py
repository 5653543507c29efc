"""A publisher's connection that remembers what it is told."""

from __future__ import annotations

from streamd.errors import PublishError
from streamd.services.live.publisher import CUT_WAIT_S


class StandInPublisher:
    """A connection that remembers what it is told."""

    def __init__(self, address: str = "192.0.2.7") -> None:
        self.address = address
        self.encoder = "OBS"
        self.hurried = 0
        self.charged_s = 0.0
        self.kicks: list[str] = []
        self.quiet_for_s = 0.0

    def hurry(self) -> None:
        self.hurried += 1

    def charge(self, step_s: float) -> None:
        self.charged_s += step_s

    def quiet_s(self) -> float:
        return self.quiet_for_s

    def kick(self, error: PublishError) -> None:
        self.kicks.append(error.description)

    async def wait_closed(self, within_s: float = CUT_WAIT_S) -> None:
        raise AssertionError("nobody waits here")
