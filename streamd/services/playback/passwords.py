"""Passwords of channels, as argon2id hashes, checked off the loop.

Spec: RFC 9106 (Argon2), section 4: the second recommended option, for memory-constrained environments.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from streamd.errors import KeyRequestError
from streamd.services.playback.refusal import Refusal

# Each check takes 64 MB and some 50 ms of a processor: two at once are 128 MB, and 40 viewers a second.
CHECKS_AT_ONCE_MAX: Final = 2
# Viewers who wait for theirs: a show that begins. One more is asked to come back.
WAITING_MAX: Final = 256
PASSWORD_CHARS: Final = range(4, 129)


class Passwords:
    """Hashes and checks passwords; ``close`` it."""

    def __init__(self) -> None:
        # argon2-cffi's defaults are RFC 9106's: 64 MiB, 3 passes, 4 lanes.
        self._hasher = PasswordHasher()
        self._threads = ThreadPoolExecutor(CHECKS_AT_ONCE_MAX, "password")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """The hash of a new password.

        Raises:
            KeyRequestError: It is too short or too long.
        """
        if len(password) not in PASSWORD_CHARS:
            raise KeyRequestError(f"a password has {PASSWORD_CHARS.start} to {PASSWORD_CHARS.stop - 1} characters")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def is_right(self, password: str, known: str) -> bool:
        """Whether a password is the one of a hash.

        Raises:
            PlaybackRefusedError: Too many wait for theirs already.
        """
        if len(password) not in PASSWORD_CHARS or not known:
            return False
        if self._waiting >= WAITING_MAX:
            raise Refusal.UNDECIDED.error()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._verify, password, known)
        finally:
            self._waiting -= 1

    def _verify(self, password: str, known: str) -> bool:
        try:
            return self._hasher.verify(known, password)
        except (VerificationError, InvalidHashError):
            return False

    def close(self) -> None:
        """Check no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
