"""Other nodes are told of acts; a server that is alone tells nobody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

Announce = Callable[[str, str, bool], Awaitable[Mapping[str, str]]]
"""Tells all nodes: the kind of the act, its subject, and whether the database has it. Returns what became of it, by
node, when each has done it or can serve no more."""


async def alone(kind: str, subject: str, is_written: bool) -> Mapping[str, str]:
    """Tell nobody: there is no other node."""
    del kind, subject, is_written
    return {}
