"""The calls of the admin API about the nodes of a cluster; a server that is alone has none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from streamd.doors.web.json_api import answer
from streamd.doors.web.models.nodes import Drain, Node, NodeList, NodePath
from streamd.doors.web.openapi import Operation
from streamd.errors import NodeNotFoundError
from streamd.services.operators.roles import Right

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web


class Nodes(Protocol):
    """The nodes of the cluster."""

    def list_nodes(self) -> Sequence[Node]:
        """Those whose lease has not run out, and this one."""

    async def drain(self, node: str) -> bool | None:
        """Drain a node: whether it does, or None where there is none of this name."""


class NodeDesk:
    """Lists and drains nodes.

    Args:
        nodes: Of the cluster.
    """

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def operations(self) -> list[Operation]:
        """Every call, with its input, its answer and its errors."""
        return [
            Operation("GET", "/api/v1/nodes", self.list_nodes, NodeList, right=Right.READ),
            Operation(
                "POST", "/api/v1/nodes/{node}/drain", self.drain_node, Drain,
                path_model=NodePath, problems=(503,), right=Right.OPERATORS,
            ),
        ]  # fmt: skip

    async def list_nodes(self, _: web.Request) -> web.Response:
        """List the nodes whose lease has not run out."""
        return answer(NodeList(nodes=list(self._nodes.list_nodes())))

    async def drain_node(self, request: web.Request) -> web.Response:
        """Have a node take no more publishers, and give its streams to the others.

        Its publishers are closed with a reason to come back, and come to another node through the balancer, to which
        `/readyz` says that this one is not ready. Its viewers are served on, from the other nodes' streams. Answered
        when its streams are given away; it stays so until it is started again.
        """
        name = request.match_info["node"]
        drained = await self._nodes.drain(name)
        if drained is None:
            raise NodeNotFoundError(name)
        return answer(Drain(node=name, drained=drained))
