"""Keeps the stream keys of targets so that a copy of the database alone gives none away.

Fernet (AES-128-CBC and HMAC-SHA256) of cryptography, with several keys: the first locks, all of them open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from streamd.errors import SecretsError

if TYPE_CHECKING:
    from collections.abc import Sequence

KEYS_MAX = 16
"""Keys in the file: a rotation needs two."""


class SecretBox:
    """Locks and opens secrets.

    Args:
        keys: As ``new_secret_key`` makes them, the one that locks first.

    Raises:
        SecretsError: There are none, or one is no key; the text has nothing of it.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if not 1 <= len(keys) <= KEYS_MAX:
            raise SecretsError(f"has {len(keys)} keys, 1 to {KEYS_MAX} wanted")
        fernets = []
        for number, key in enumerate(keys, 1):
            try:
                fernets.append(Fernet(key))
            except ValueError:
                raise SecretsError(f"line {number} is no key: 32 bytes in URL-safe base64 are wanted") from None
        self._fernet = MultiFernet(fernets)

    def lock(self, secret: str) -> bytes:
        """Lock a secret; twice the same gives two different answers."""
        return self._fernet.encrypt(secret.encode())

    def open(self, locked: bytes) -> str:
        """Open what was locked.

        Raises:
            SecretsError: None of the keys fits.
        """
        try:
            return self._fernet.decrypt(locked).decode()
        except InvalidToken:
            raise SecretsError("a secret in the database was locked with a key that is not in the file") from None

    def lock_anew(self, locked: bytes) -> bytes:
        """Lock with the first key what was locked with any of them.

        Raises:
            SecretsError: None of the keys fits.
        """
        try:
            return self._fernet.rotate(locked)
        except InvalidToken:
            raise SecretsError("a secret in the database was locked with a key that is not in the file") from None


def new_secret_key() -> str:
    """Draw a key: one line of the file."""
    return Fernet.generate_key().decode()


def read_keys(text: str) -> list[str]:
    """The keys of the file, without empty lines and comments."""
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]
