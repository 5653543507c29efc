"""A viewer of a pushed stream whose socket takes everything at once."""

from __future__ import annotations


class TakingViewer:
    """Keeps all that it is sent."""

    def __init__(self) -> None:
        self.received = b""
        self.is_closed = False

    def write(self, data: bytes, /) -> None:
        self.received += data

    def offer(self, data: bytes, _: int, /) -> int:
        self.write(data)
        return 0

    def buffered_bytes(self) -> int:
        return 0

    def close(self) -> None:
        self.is_closed = True

    def drop(self) -> None:
        raise AssertionError("a viewer that takes everything has nothing to be dropped for")
