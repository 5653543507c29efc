"""The acts that all nodes are told of: each has been written to the database before it is told, or says that it is not.

An act names what it is about and carries no decision: a node that hears it reads the database, which is the truth. So
an act that comes twice, late or out of order does no harm.
"""

from __future__ import annotations

import enum
import json
import re
from dataclasses import asdict, dataclass

from streamd.errors import ActError

# A kind, an id, and a subject of 128 letters at the most: 300 bytes. NATS is asked for 64 kB a message at least.
ACT_BYTES_MAX = 1024
# Key ids, names of users and channels (64 letters), ids of takedowns and blocks.
_SUBJECT = re.compile(r"[A-Za-z0-9_:-]{0,128}")
_ID = re.compile(r"[0-9a-f]{32}")
_NODE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class ActKind(enum.StrEnum):
    """What was done."""

    REVOKE = "revoke"
    """A key has died; the subject is its id."""
    SUSPEND = "suspend"
    """A user is suspended; the subject is their name."""
    TAKEDOWN = "takedown"
    """Something is dark, or is no more."""
    BLOCK = "block"
    """Somebody is blocked, or is no more."""
    KICK = "kick"
    """A stream is to end, and its key stays good; the subject is its name."""
    RELOAD = "reload"
    """Something else in the database has changed."""


@dataclass(frozen=True, slots=True)
class Act:
    """One act."""

    kind: ActKind
    subject: str
    act_id: str
    """32 hexadecimal digits, drawn for this act."""
    node: str
    """Who tells it."""
    is_written: bool = True
    """The database has it. Until it has, nodes that hear it refuse the subject whatever the database says."""

    def encode(self) -> bytes:
        """Write it as a message."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes, subject_kind: str | None = None) -> Act:
        """Read a message.

        Args:
            data: The message.
            subject_kind: The kind that the message's address names; None where it names none.

        Raises:
            ActError: It is none of these.
        """
        if len(data) > ACT_BYTES_MAX:
            raise ActError(f"{len(data)} bytes, {ACT_BYTES_MAX} are allowed")
        try:
            told = json.loads(data)
            kind = ActKind(told["kind"])
            subject, act_id, node, is_written = told["subject"], told["act_id"], told["node"], told["is_written"]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise ActError("not an act") from None
        if subject_kind is not None and subject_kind != kind:
            raise ActError(f"a {kind} under the address of {subject_kind}")
        texts = ((subject, _SUBJECT), (act_id, _ID), (node, _NODE))
        if not all(isinstance(text, str) and pattern.fullmatch(text) for text, pattern in texts):
            raise ActError("an act about something that cannot be")
        if not isinstance(is_written, bool):
            raise ActError("an act that does not say whether it is written")
        return cls(kind, subject, act_id, node, is_written)


class NodeAnswer(enum.StrEnum):
    """What became of an act at a node."""

    DONE = "done"
    FAILED = "failed"
    """The node is alive and could not do it."""
    UNREACHABLE = "unreachable"
    """Its lease ran out: it serves nothing before it has read what it missed."""


def is_node_name(name: str) -> bool:
    """Whether a node may be called so: a DNS label in small letters."""
    return _NODE.fullmatch(name) is not None
