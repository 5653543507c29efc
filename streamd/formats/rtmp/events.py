"""The events of a connection, for its owner.

Stream names, apps and URLs hold the stream key, so no ``repr`` shows them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

from streamd.formats.amf.values import Value
from streamd.formats.flv.tag import FlvTag
from streamd.formats.rtmp.capabilities import ClientCapabilities
from streamd.formats.rtmp.stream_name import find_stream_key

if TYPE_CHECKING:
    from collections.abc import Callable


class MessageDropReason(enum.Enum):
    """Why one message was not used. The value is its name in metrics."""

    MALFORMED = "malformed"
    """Its bytes cannot be read."""
    TOO_LARGE = "too_large"
    """A command or data message longer than any that means something."""
    UNKNOWN_TYPE = "unknown_type"
    """A message type that is not RTMP's, or that is in no use (shared objects)."""
    UNKNOWN_COMMAND = "unknown_command"
    """A command we do not know."""
    OUT_OF_TURN = "out_of_turn"
    """Media or data while nothing is being published."""
    TOO_MANY = "too_many"
    """More at once than any encoder means: commands and metadata, or questions that each want an answer."""

    # Each is itself and no other. An enumeration's own way is to hash its name, in Python, for each message.
    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class Connected:
    """The client said ``connect`` and was answered."""

    app: str = field(repr=False)
    """Not checked: any app will do. It may hold the stream key."""
    tc_url: str = field(repr=False)
    """The URL it says it connected to, without the stream name; empty where it said none."""
    flash_version: str
    """The encoder's name for itself, cut to a length that can be logged."""
    object_encoding: int
    """0 for AMF0, 3 where it may use AMF3 too."""
    capabilities: ClientCapabilities
    """Its part of Enhanced RTMP."""


@dataclass(frozen=True, slots=True)
class PublishRequested:
    """The client wants to publish, and waits: answer with ``accept`` or ``reject``."""

    stream_name: str = field(repr=False)
    """As sent: the secret, and maybe a query."""
    app: str = field(repr=False)
    tc_url: str = field(repr=False)
    publishing_type: str
    """``live``, or ``record`` or ``append``, which are served as ``live``."""

    def find_key(self, has_form: Callable[[str], bool]) -> str:
        """The stream key, wherever the encoder put it; empty where it sent none.

        Args:
            has_form: Whether a text has the form of a stream key.
        """
        return find_stream_key(self.app, self.stream_name, self.tc_url, has_form)


@dataclass(frozen=True, slots=True)
class MetadataReceived:
    """``onMetaData``, with ``@setDataFrame`` or without. Some encoders repeat it twice a second."""

    timestamp_ms: int
    values: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Unpublished:
    """The publisher said goodbye; the connection can publish again."""

    command: str
    """``FCUnpublish``, ``closeStream``, ``deleteStream``, or ``publish`` with false for a name."""


@dataclass(slots=True)
class MessageDropped:
    """Messages were not used, one or several of a read for one reason; the connection goes on."""

    reason: MessageDropReason
    type_id: int
    limit: str = ""
    """Key in ``[limits]`` of the bound that they passed; empty where they passed none."""
    count: int = 1
    """How many: a flood is thousands of few kinds. The event stands where the first of them came."""


# A message of audio, video or data is the FLV tag of its type (section 7.1); the timestamp is unwrapped.
ConnectionEvent: TypeAlias = Connected | PublishRequested | FlvTag | MetadataReceived | Unpublished | MessageDropped


def is_media(events: list[ConnectionEvent]) -> TypeGuard[list[FlvTag]]:
    """Whether all are FLV tags, as nearly always while a stream is published."""
    for event in events:  # noqa: SIM110  # compiled, it is a loop of C
        if not isinstance(event, FlvTag):
            return False
    return True
