"""Nodes of a cluster for the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.doors.web.models.nodes import Drain, Node, NodeList

if TYPE_CHECKING:
    from streamd.process.admin_connection import Call


class RemoteNodes:
    """The nodes that a server knows.

    Args:
        call: Asks its admin API.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    async def list_nodes(self) -> list[Node]:
        """Those whose lease has not run out."""
        return [*NodeList.model_validate_json(await self._call("GET", "/api/v1/nodes")).nodes]

    async def drain(self, node: str) -> Drain:
        """Have a node take no more publishers, and give its streams to the others."""
        return Drain.model_validate_json(await self._call("POST", f"/api/v1/nodes/{node}/drain"))
