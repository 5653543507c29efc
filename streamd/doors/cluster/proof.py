"""The proof that a request comes from a node of this cluster: a code over all of it, made with the common secret.

HMAC with SHA-256 (RFC 2104) over the node's name, its time, the method, the target and the body. The secret never
leaves a node. The time keeps a recorded request from being of use for ever; all that requests do may be done again.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import NamedTuple

SCHEME = "Streamd-Node"
# Clocks of two nodes that differ by an hour are a fault that is seen, and no reason to show viewers nothing.
CLOCKS_APART_S_MAX = 7200
# As a generator of passwords writes 128 bits.
SECRET_BYTES_MIN = 16
SECRET_BYTES_MAX = 4096
_FIELDS = re.compile(SCHEME + r" ([a-z0-9][a-z0-9-]{0,62}) ([0-9]{1,12}) ([0-9a-f]{64})")


class Secret:
    """The common secret.

    Args:
        secret: Its bytes, without the line's end of the file.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return "Secret(…)"

    def prove(self, node: str, now_s: int, method: str, target: str, body: bytes = b"") -> str:
        """Make the ``Authorization`` field of a request.

        Args:
            node: Who asks.
            now_s: Wall time, seconds since 1970.
            method: Of the request.
            target: Path and query, as sent.
            body: All of it.
        """
        return f"{SCHEME} {node} {now_s} {self._code(node, now_s, method, target, body)}"

    def check(self, field: str, now_s: int, method: str, target: str, body: bytes = b"") -> Checked | None:
        """Check that field; returns who asks, or None where nobody of this cluster does.

        Args:
            field: As it came.
            now_s: Wall time here.
            method: Of the request.
            target: Path and query, as they came.
            body: All of it.
        """
        found = _FIELDS.fullmatch(field)
        if found is None:
            return None
        node, their_s, code = found[1], int(found[2]), found[3]
        if not hmac.compare_digest(code, self._code(node, their_s, method, target, body)):
            return None
        apart_s = abs(now_s - their_s)
        return Checked(node, apart_s) if apart_s <= CLOCKS_APART_S_MAX else None

    def _code(self, node: str, now_s: int, method: str, target: str, body: bytes) -> str:
        text = "\n".join((SCHEME, node, str(now_s), method, target, hashlib.sha256(body).hexdigest()))
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


class Checked(NamedTuple):
    """Who asks."""

    node: str
    apart_s: int
    """How far its clock is from ours, seconds."""
