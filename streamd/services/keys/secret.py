"""Hashing of stream key secrets, and their comparison in the same time for every outcome."""

from __future__ import annotations

import hashlib
import hmac

HASH_BYTES = 32
# Ties a hash to its use, so that it means nothing in another table or another version of this rule.
_DOMAIN = b"streamd stream key 1"
# Compared with for an unknown key. SHA-256 of nothing we know of gives 32 zero bytes.
DUMMY_HASH = bytes(HASH_BYTES)


def hash_secret(key_id: str, secret: str) -> bytes:
    """Hash a secret for the store.

    SHA-256 once, without a salt of its own and without stretching. Slow hashes (argon2, scrypt) protect secrets that
    people choose; these are 190 random bits, which no speed of guessing reaches, and a slow hash on the publish path
    would help an attacker keep the server busy. The key id in the hash keeps a stolen write access from moving a known
    hash to another key's row.

    Args:
        key_id: Id of the key the secret belongs to.
        secret: Secret part of the stream key.

    Returns:
        ``HASH_BYTES`` bytes.
    """
    # Neither part can hold a NUL byte (stream_key.py), so the three cannot run into each other.
    return hashlib.sha256(b"\0".join((_DOMAIN, key_id.encode(), secret.encode()))).digest()


def secret_matches(key_id: str, secret: str, stored_hash: bytes | None) -> bool:
    """Compare a shown secret with a stored hash, in the same time for every outcome.

    Args:
        key_id: Key id that the publisher showed.
        secret: Secret that the publisher showed.
        stored_hash: The store's hash for that id, or None for an unknown one: the work is then done on ``DUMMY_HASH``,
            so that an unknown id takes as long as a wrong secret.

    Returns:
        True if the stored hash is that of the secret.
    """
    shown_hash = hash_secret(key_id, secret)
    return hmac.compare_digest(shown_hash, stored_hash or DUMMY_HASH)
