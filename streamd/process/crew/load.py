"""How much each worker has to do, and who gets the next broadcaster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class WorkerLoad:
    """What is known of one worker."""

    number: int
    """Its place, from 0."""
    connections: int = 0
    """Broadcasters' connections that it has, by its own last word."""
    taken: int = 0
    """Connections that it had taken by then."""
    handed: int = 0
    """Connections that it was given."""

    @property
    def expected(self) -> int:
        """Its connections, with those that are on their way to it."""
        return self.connections + self.handed - self.taken


class Loads:
    """The workers that take broadcasters."""

    def __init__(self) -> None:
        self._by_number: dict[int, WorkerLoad] = {}

    def add(self, number: int) -> None:
        """A worker takes connections from now on, and has none."""
        self._by_number[number] = WorkerLoad(number)

    def remove(self, number: int) -> None:
        """A worker takes none any more."""
        self._by_number.pop(number, None)

    def note(self, number: int, connections: int, taken: int) -> None:
        """Take a worker's own word; that of one which takes none any more is passed over.

        Args:
            number: The worker.
            connections: What it has open.
            taken: How many it had been given by then, in all.
        """
        if (load := self._by_number.get(number)) is not None:
            load.connections, load.taken = connections, taken

    def choose(self) -> int | None:
        """The worker with the fewest connections, the first of several; it is counted as given one more.

        Returns:
            Its number; None where nobody takes any.
        """
        load = min(self._by_number.values(), key=lambda each: (each.expected, each.number), default=None)
        if load is None:
            return None
        load.handed += 1
        return load.number

    def expected(self) -> dict[int, int]:
        """Connections of each worker, by number."""
        return {number: load.expected for number, load in sorted(self._by_number.items())}
