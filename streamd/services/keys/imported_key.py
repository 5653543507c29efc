"""Keys that were made elsewhere: how one is found without a key id, and what is asked of its secret.

Encoders keep the key that they have, which may be any text. It has no key id in it, so the id is derived from it: with
a salt that only the store has, the same text is always the same id, and nobody who reads an id in a log can try texts
against it. From there on it is a key as any other: one look-up by id, one hash, one comparison, the same budgets.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import string
from dataclasses import dataclass, field

from streamd.formats.rtmp.stream_name import trim_slips
from streamd.services.keys.stream_key import KEY_ID_ALPHABET, KEY_ID_LENGTH, StreamKey

# Ties an id to its use, as the domain of secret.py does for a hash.
_DOMAIN = b"streamd imported key 1\0"
# Longer ones do not fit beside a host into the 1,024 bytes that ffmpeg has for a URL, and no service makes such keys.
LENGTH_MAX = 200
# A guesser knows no id, so that every guess is held against all imported keys at once. Ten thousand addresses with a
# full budget of 60 guesses a minute against a hundred thousand keys need 600 years for one of 2**64.
STRENGTH_BITS_MIN = 64
# "aaaaaaaaaaaaaaaaaaaa" is long. Sixteen random hexadecimal digits have fewer than six different ones once in 30,000
# times.
DIFFERENT_CHARACTERS_MIN = 6

_HEX_HASH = re.compile(r"[0-9A-Fa-f]{64}")
# The first that has all characters of a secret says how many it was drawn from.
_ALPHABETS = (
    string.digits,
    string.digits + "abcdef",
    string.digits + "ABCDEF",
    string.ascii_lowercase,
    string.ascii_uppercase,
    string.digits + string.ascii_lowercase,
    string.digits + string.ascii_uppercase,
    string.ascii_letters,
    string.digits + string.ascii_letters,
)
_OTHER_ALPHABET_SIZE = 72
# They stand between the parts of a key, and add nothing to guess.
_SEPARATORS = str.maketrans("", "", "-_.:")


@dataclass(frozen=True, slots=True)
class ImportedKey:
    """A key of another service, as it is looked up here."""

    key_id: str
    """Derived from the secret and the store's salt."""
    secret: str = field(repr=False)
    """SHA-256 of the text that the encoder shows, as 64 hexadecimal digits: all that a hashed import tells."""

    @classmethod
    def of_text(cls, text: str, salt: bytes) -> ImportedKey:
        """The key that an encoder shows.

        Args:
            text: What it shows, without a query.
            salt: The store's.
        """
        return cls.of_hash(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(), salt)

    @classmethod
    def of_hash(cls, sha256_hex: str, salt: bytes) -> ImportedKey:
        """The key whose text has this SHA-256.

        Args:
            sha256_hex: 64 hexadecimal digits.
            salt: The store's.
        """
        secret = sha256_hex.lower()
        digest = hmac.digest(salt, _DOMAIN + bytes.fromhex(secret), "sha256")
        bits = int.from_bytes(digest[:8], "big")
        key_id = "".join(KEY_ID_ALPHABET[bits >> 5 * place & 31] for place in range(KEY_ID_LENGTH))
        return cls(key_id, secret)


ShownKey = StreamKey | ImportedKey
"""A key as a peer shows it: an id, and a secret to compare."""


def is_sha256(text: str) -> bool:
    """Whether ``text`` is a SHA-256 in hexadecimal digits."""
    return _HEX_HASH.fullmatch(text) is not None


def fault_of_form(text: str) -> str | None:
    """Say why no encoder could show this text as a key; None where one can.

    The reasons are those of ``rtmp/stream_name.py``, which cuts the key out of what encoders send.
    """
    if not text:
        return "there is no secret"
    if len(text) > LENGTH_MAX:
        return f"the secret has {len(text)} characters, {LENGTH_MAX} are allowed"
    if text != trim_slips(text):
        return "the secret begins or ends with a blank or a quote, which is taken for a slip of copying"
    if not text.isprintable():
        return "the secret holds a control character"
    if "/" in text or "?" in text:
        return "the secret holds '/' or '?', where an encoder's key begins or ends"
    return None


def weakness_of(secret: str, user: str) -> str | None:
    """Say why a secret could be guessed; None where it is strong enough.

    The part of a secret that is its user's name is public, and does not count.

    Args:
        secret: The text.
        user: Whose it is.
    """
    drawn = re.sub(re.escape(user), "", secret, flags=re.IGNORECASE).translate(_SEPARATORS)
    sizes = (len(alphabet) for alphabet in _ALPHABETS if set(drawn) <= set(alphabet))
    bits = int(len(drawn) * math.log2(next(sizes, _OTHER_ALPHABET_SIZE)))
    if bits < STRENGTH_BITS_MIN:
        return f"the secret is too short to be safe against guessing: {bits} bits, {STRENGTH_BITS_MIN} are needed"
    if len(set(drawn)) < DIFFERENT_CHARACTERS_MIN:
        return "the secret repeats a few characters, and could be guessed"
    return None
