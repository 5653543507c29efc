"""The events of a connection on which we publish, for its owner.

The words of a server are for people: cut to a length that can be shown, and without signs that steer a terminal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class PublishStarted:
    """The server takes media from now on."""


@dataclass(frozen=True, slots=True)
class PublishRefused:
    """The server does not take the stream, or no longer; the connection is of no more use.

    It may be refused at ``connect``, ``createStream`` or ``publish``, or in the middle of the broadcast.
    """

    code: str
    """As the server sent it, for example ``NetStream.Publish.BadName``; empty where it sent none."""
    description: str
    """The server's own words; empty where it has none."""


@dataclass(frozen=True, slots=True)
class ReconnectAsked:
    """The server asks for another connection, and may go away (Enhanced RTMP v2, "Reconnect Request")."""

    tc_url: str = field(repr=False)
    """Where to connect; empty for the same address."""


ClientEvent: TypeAlias = PublishStarted | PublishRefused | ReconnectAsked
