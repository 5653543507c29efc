"""What is said of nodes of a cluster in answers of the admin API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from pydantic import Field

from streamd.doors.web.models.common import ApiModel


class DoneOnNodes(ApiModel):
    """An act that holds on all nodes."""

    nodes: Mapping[str, str] = {}
    """In a cluster, what became of it at each node: `done`; `unreachable`, whose lease is over, and which reads what it
    missed before it serves again; or `failed`. Empty at a server that is alone."""


class Node(ApiModel):
    """A node of the cluster."""

    node: str
    role: str
    """`all`, `origin` or `edge`."""
    region: str
    advertise: str
    """Where other nodes reach it."""
    version: str
    started_at: datetime
    draining: bool
    """It takes no more publishers."""
    streams: int
    """Live streams of its own, as of some seconds ago."""
    viewers: int
    """Its viewers, as of some seconds ago."""
    is_this: bool
    """It is the node that answers."""


class NodeList(ApiModel):
    """The nodes whose lease has not run out."""

    nodes: Sequence[Node]


class NodePath(ApiModel):
    """The path of a node."""

    node: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class Drain(ApiModel):
    """A node that is drained."""

    node: str
    drained: bool
    """Whether its streams are given away; one that does not answer has not said so."""
