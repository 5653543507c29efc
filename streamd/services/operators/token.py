"""An operator's token: its grammar, how a new one is drawn, its hash, and a value that does not print its secret.

``so_<token id>_<secret>``, made like a stream key (``keys/stream_key.py``) and kept with the same care: the id is
public, and of the secret only a hash is stored.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from dataclasses import dataclass, field

# As of a stream key: no i, l, o, u; 50 bits, for a few hundred operators.
TOKEN_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # noqa: S105  # an alphabet
TOKEN_ID_LENGTH = 10
# 62**32 is 190 bits: no speed of guessing reaches that.
SECRET_LENGTH = 32
HASH_BYTES = 32
# Ties a hash to its use, so that it means nothing in another table or another version of this rule.
_DOMAIN = b"streamd operator token 1"
# Compared with for an unknown token. SHA-256 of nothing we know of gives 32 zero bytes.
_DUMMY_HASH = bytes(HASH_BYTES)
_LETTERS_AND_DIGITS = string.digits + string.ascii_letters
_TOKEN = re.compile(rf"so_([{TOKEN_ID_ALPHABET}]{{{TOKEN_ID_LENGTH}}})_([0-9A-Za-z]{{{SECRET_LENGTH}}})")


@dataclass(frozen=True, slots=True)
class OperatorToken:
    """A token in the clear: made once, then only seen when it is shown."""

    token_id: str
    """Public part."""
    secret: str = field(repr=False)
    """Secret part."""

    @classmethod
    def generate(cls) -> OperatorToken:
        """Draw a new token from the operating system's random numbers."""
        return cls(
            token_id="".join(secrets.choice(TOKEN_ID_ALPHABET) for _ in range(TOKEN_ID_LENGTH)),
            secret="".join(secrets.choice(_LETTERS_AND_DIGITS) for _ in range(SECRET_LENGTH)),
        )

    @classmethod
    def parse(cls, text: str) -> OperatorToken | None:
        """Read a token; None where ``text`` is not one."""
        match = _TOKEN.fullmatch(text)
        return None if match is None else cls(token_id=match[1], secret=match[2])

    def reveal(self) -> str:
        """The whole token as text, for the one answer that shows it."""
        return f"so_{self.token_id}_{self.secret}"

    def hash(self) -> bytes:
        """Its digest, for the store: SHA-256, once, for the reasons of ``keys/secret.py``."""
        return hashlib.sha256(b"\0".join((_DOMAIN, self.token_id.encode(), self.secret.encode()))).digest()

    def matches(self, stored_hash: bytes | None) -> bool:
        """Compare with the store's hash for this id, in the same time for every outcome; None: there is no such id."""
        return hmac.compare_digest(self.hash(), stored_hash or _DUMMY_HASH)
