"""The receipts of a reporter and a broadcaster: tokens that say nothing, and by which they come back.

A status token is made of the report's id and its case, and the secret of this store: nothing has to be kept for it, so
that the hundred-thousandth report of a crowd is answered, asked about and appealed like the first. A report about what
is not there has a case of its own that is nowhere: neither its token nor its answers differ from others.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from hashlib import sha256
from typing import Final

from streamd.formats.address import source_of
from streamd.services.moderation.ids import IdKind, is_id
from streamd.services.ulid import DIGITS, LENGTH

_SEAL_BYTES: Final = 16
_CASE_BYTES: Final = 16
_TOKEN_BYTES: Final = _CASE_BYTES + _SEAL_BYTES
STATUS_PREFIX: Final = "st_"
APPEAL_PREFIX: Final = "ap_"
# Longer than any token of ours.
TOKEN_LENGTH_MAX: Final = 64
# The hash of an address, hexadecimal digits.
SOURCE_LENGTH: Final = 32


class Receipts:
    """Makes and reads them.

    Args:
        secret: This store's, 32 bytes.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def source(self, address: str) -> str:
        """Whom reports from an address are counted as: a keyed hash, of which nobody without the store gets it back."""
        return self._digest(b"source", source_of(address).encode()).hex()[:SOURCE_LENGTH]

    def status_token(self, report_id: str, case_id: str) -> str:
        """The token by which whoever reported asks what became of it."""
        number = _number(case_id.removeprefix(IdKind.CASE.value))
        # Each report's pad is its own: two tokens do not tell whether their reports joined one case.
        pad = self._digest(b"pad", report_id.encode())[:_CASE_BYTES]
        hidden = bytes(a ^ b for a, b in zip(number.to_bytes(_CASE_BYTES), pad, strict=True))
        return STATUS_PREFIX + _text(hidden + self._seal(report_id, hidden))

    def case_behind(self, report_id: str, token: str) -> str | None:
        """The id of the case that a report joined, to whoever shows its token; None where it is not its token."""
        raw = _bytes(token, STATUS_PREFIX)
        if not is_id(IdKind.REPORT, report_id) or len(raw) != _TOKEN_BYTES:
            return None
        hidden, seal = raw[:_CASE_BYTES], raw[_CASE_BYTES:]
        if not hmac.compare_digest(seal, self._seal(report_id, hidden)):
            return None
        pad = self._digest(b"pad", report_id.encode())[:_CASE_BYTES]
        return IdKind.CASE.value + _ulid(int.from_bytes(bytes(a ^ b for a, b in zip(hidden, pad, strict=True))))

    def appeal_token(self, decision_id: str) -> str:
        """The token by which the broadcaster complains about a decision."""
        return APPEAL_PREFIX + _text(self._digest(b"appeal", decision_id.encode())[:_SEAL_BYTES])

    def is_appeal_token(self, decision_id: str, token: str) -> bool:
        """Whether a token is that of a decision's broadcaster."""
        return hmac.compare_digest(token.encode(errors="replace"), self.appeal_token(decision_id).encode())

    def _seal(self, report_id: str, hidden: bytes) -> bytes:
        return self._digest(b"status", report_id.encode() + b"\0" + hidden)[:_SEAL_BYTES]

    def _digest(self, use: bytes, data: bytes) -> bytes:
        return hmac.digest(self._secret, b"streamd report 1\0" + use + b"\0" + data, sha256)


def _number(ulid: str) -> int:
    value = 0
    for digit in ulid:
        value = value << 5 | DIGITS.index(digit)
    return value


def _ulid(number: int) -> str:
    return "".join(DIGITS[number >> 5 * place & 31] for place in reversed(range(LENGTH)))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(token: str, prefix: str) -> bytes:
    """What a token is made of; empty where it is none."""
    if not token.startswith(prefix) or len(token) > TOKEN_LENGTH_MAX or not token.isascii():
        return b""
    text = token.removeprefix(prefix)
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
    # A token has one spelling.
    return raw if _text(raw) == text else b""
