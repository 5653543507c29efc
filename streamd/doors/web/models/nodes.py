"""What is said of nodes of a cluster in answers of the admin API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from streamd.doors.web.models.common import ApiModel


class DoneOnNodes(ApiModel):
    """An act that holds on all nodes."""

    nodes: Mapping[str, str] = {}
    """In a cluster, what became of it at each node: `done`; `unreachable`, whose lease is over, and which reads what it
    missed before it serves again; or `failed`. Left out by a server that is alone."""

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        shown: dict[str, Any] = handler(self)
        if not shown.get("nodes"):
            shown.pop("nodes", None)
        return shown
