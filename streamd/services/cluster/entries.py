"""The entries of the directory: what nodes say of themselves, and who has a channel.

An entry is a JSON document under a name. What cannot be read is passed over and logged: one node's fault is not the
others'.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from streamd.errors import ClusterUnavailableError
from streamd.services.live.channel_numbers import SECONDS_MAX
from streamd.services.live.restart_record import StreamRecord

# A record of 128 renditions with names of ten letters, and the facts beside it: 4 kB.
ENTRY_BYTES_MAX = 16 * 1024
_Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
_Count = Annotated[int, Field(ge=0, le=2**48)]
_Text = Annotated[str, Field(max_length=256)]


class Role(enum.StrEnum):
    """What a node is there for."""

    ALL = "all"
    ORIGIN = "origin"
    """It takes publishers, and other nodes serve their viewers."""
    EDGE = "edge"
    """It takes no publishers."""


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """What a node says of itself, anew several times in each lease."""

    node: _Name
    session: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    """Drawn at its start: of two processes of one name, each knows which it is."""
    advertise: _Text
    """URL where other nodes fetch from it."""
    role: Role = Role.ALL
    region: _Text = ""
    version: _Text = ""
    started_ms: _Count = 0
    """Milliseconds since 1970."""
    is_draining: bool = False
    streams: _Count = 0
    viewers: _Count = 0


class Tenure(enum.StrEnum):
    """How a channel is owned."""

    LIVE = "live"
    """Its owner feeds it, or waits for its publisher."""
    LEFT = "left"
    """Its owner has given it away: whoever comes with the same key goes on with it."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """Who has a channel, and with what another node would go on."""

    name: _Name
    node: _Name
    session: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    epoch: _Count
    """Grows with each owner."""
    tenure: Tenure
    key_id: Annotated[str, Field(max_length=128)]
    live_since_ms: _Count
    numbers_until_s: Annotated[int, Field(ge=0, le=SECONDS_MAX)]
    """No number from here on has been used (``Numbering.at``): the floor of the next owner."""
    changed_ms: _Count = 0
    """When its tenure changed, milliseconds since 1970, by the clock of who wrote it."""
    codecs: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=64)] = ()
    record: StreamRecord | None = None
    """Its playlists; None before there are any."""


_Entry = TypeVar("_Entry", NodeEntry, StreamEntry)
_NODE: TypeAdapter[NodeEntry] = TypeAdapter(NodeEntry)
_STREAM: TypeAdapter[StreamEntry] = TypeAdapter(StreamEntry)


def encode(entry: NodeEntry | StreamEntry) -> bytes:
    """Write an entry.

    Raises:
        ClusterUnavailableError: It is larger than any may be.
    """
    data = _NODE.dump_json(entry) if isinstance(entry, NodeEntry) else _STREAM.dump_json(entry)
    if len(data) > ENTRY_BYTES_MAX:
        raise ClusterUnavailableError(f"an entry of {len(data)} bytes, {ENTRY_BYTES_MAX} are allowed")
    return data


def decode_node(name: str, data: bytes) -> NodeEntry | None:
    """Read what a node says of itself; None for what is no such entry, or another's."""
    entry = _decoded(_NODE, data)
    return entry if entry is not None and entry.node == name else None


def decode_stream(name: str, data: bytes) -> StreamEntry | None:
    """Read who has a channel; None for what is no such entry, or another's."""
    entry = _decoded(_STREAM, data)
    return entry if entry is not None and entry.name == name else None


def _decoded(adapter: TypeAdapter[_Entry], data: bytes) -> _Entry | None:
    if len(data) > ENTRY_BYTES_MAX:
        return None
    try:
        return adapter.validate_json(data)
    except ValidationError:
        return None
