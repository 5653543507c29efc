"""The stream key: its grammar, how a new one is drawn, and a value that does not print its secret.

``sk_<key id>_<secret>``: letters, digits and ``_`` only, so that it survives every encoder's
settings, URL and shell. The key id is public (logs, lists, the audit log); the secret is not, and
exists as text only here, between the encoder and ``secret.py``.
"""

from __future__ import annotations

import re
import secrets
import string
from dataclasses import dataclass, field

# Crockford's base 32 in small letters: no i, l, o, u, so an id can be read over the telephone.
KEY_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
# 50 bits: beside a million keys one draw in 10**9 meets a taken id; then the issue fails and can be tried again.
KEY_ID_LENGTH = 10
LETTERS_AND_DIGITS = string.digits + string.ascii_letters
# 62**32 is 190 bits: no speed of guessing reaches that.
SECRET_LENGTH = 32

_KEY_ID = re.compile(rf"[{KEY_ID_ALPHABET}]{{{KEY_ID_LENGTH}}}")
_STREAM_KEY = re.compile(rf"sk_({_KEY_ID.pattern})_([0-9A-Za-z]{{{SECRET_LENGTH}}})")


@dataclass(frozen=True, slots=True)
class StreamKey:
    """A stream key in the clear: made once when issued, then only seen when a publisher shows it."""

    key_id: str
    """Public part, ``KEY_ID_LENGTH`` characters of ``KEY_ID_ALPHABET``."""
    secret: str = field(repr=False)
    """Secret part, ``SECRET_LENGTH`` letters and digits."""

    @classmethod
    def generate(cls) -> StreamKey:
        """Draw a new key from the operating system's random numbers."""
        return cls(
            key_id="".join(secrets.choice(KEY_ID_ALPHABET) for _ in range(KEY_ID_LENGTH)),
            secret="".join(secrets.choice(LETTERS_AND_DIGITS) for _ in range(SECRET_LENGTH)),
        )

    @classmethod
    def parse(cls, text: str) -> StreamKey | None:
        """Read a stream key.

        Args:
            text: Exactly what the publisher gave, without the query that may follow it.

        Returns:
            The key, or None where ``text`` is not one. There is no error to carry ``text`` away: text that is nearly a
                key may hold a secret.
        """
        match = _STREAM_KEY.fullmatch(text)
        return None if match is None else cls(key_id=match[1], secret=match[2])

    @staticmethod
    def has_form(text: str) -> bool:
        """Whether ``text`` has the form of a stream key."""
        return _STREAM_KEY.fullmatch(text) is not None

    @staticmethod
    def occurs_in(text: str) -> bool:
        """Whether a stream key stands anywhere in ``text``."""
        return _STREAM_KEY.search(text) is not None

    @staticmethod
    def hidden_in(text: str) -> str:
        """``text`` with the secret of each stream key in it left out; its id, which is public, stays."""
        return _STREAM_KEY.sub(r"sk_\1_[hidden]", text)

    def reveal(self) -> str:
        """The whole key as text, for the one answer that shows it."""
        return f"sk_{self.key_id}_{self.secret}"


def is_key_id(text: str) -> bool:
    """Whether ``text`` has the form of a key id."""
    return _KEY_ID.fullmatch(text) is not None
