"""The bus: an act is told to all nodes, and each says what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from streamd.services.cluster.act import Act, ActKind, NodeAnswer


class Bus(Protocol):
    """Tells and hears."""

    async def tell(self, kind: ActKind, subject: str = "", *, is_written: bool = True) -> Mapping[str, NodeAnswer]:
        """Tell every node that can serve of an act, this one excepted, and wait for each.

        It raises nothing: who cannot be reached stands in the answer.

        Args:
            kind: What was done.
            subject: What it is about.
            is_written: The database has it.

        Returns:
            What became of it, by the names of the nodes.
        """

    def hear(self, do: Callable[[Act], Awaitable[None]]) -> None:
        """Have a function do what other nodes tell; the node that told is answered when it returns, or has raised."""
