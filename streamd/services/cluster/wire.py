"""What carries messages between nodes: NATS and HTTP are one, and a list in a test another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streamd.services.cluster.act import Act, NodeAnswer
    from streamd.services.cluster.entries import NodeEntry

# Messages to all nodes go to this and the act's kind; answers to the node that told it, by its session.
CONTROL_SUBJECT = "streamd.v1.control"
ANSWER_SUBJECT = "streamd.v1.answer"


class Wire(Protocol):
    """Messages to all; one may be lost, come twice, or late."""

    async def publish(self, subject: str, data: bytes) -> None:
        """Send a message to whoever listens.

        Raises:
            ClusterUnavailableError: It cannot be sent.
        """

    def subscribe(self, subject: str, on_message: Callable[[str, bytes], Awaitable[None]]) -> None:
        """Be told of messages, with their subject; ``>`` at the end stands for any rest of one."""


class Peers(Protocol):
    """Questions to one node, at the address that it advertises."""

    async def tell(self, node: NodeEntry, act: Act) -> NodeAnswer | None:
        """Tell one node of an act; None where it does not answer in time."""

    async def ask_to_yield(self, node: NodeEntry, name: str, key_id: str) -> bool | None:
        """Ask the owner of a channel to give it to a key: whether it has, or None where it does not answer in time."""
