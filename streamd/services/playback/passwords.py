"""Passwords of channels, as argon2id hashes, checked off the loop.

Spec: RFC 9106 (Argon2), section 4: the second recommended option, for memory-constrained environments.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from streamd.errors import KeyRequestError
from streamd.services.playback.questions import Questions

if TYPE_CHECKING:
    from collections.abc import Callable

# Each check takes 64 MB and some 50 ms of a processor: two at once are 128 MB, and 40 viewers a second.
CHECKS_AT_ONCE_MAX: Final = 2
# Viewers who wait for theirs: a show that begins. One more is asked to come back.
WAITING_MAX: Final = 256
# Of one address: a school behind it has a class that types at once, and some eight at each others' speed.
WAITING_PER_SOURCE_MAX: Final = 32
# Of one address, in a row and in each minute after them, the right ones too: a tenth of what one processor checks.
CHECKS_PER_SOURCE_MAX: Final = 120
PASSWORD_CHARS: Final = range(4, 129)


class Passwords:
    """Hashes and checks passwords; ``close`` it.

    Args:
        now: Reads the loop time, seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        # argon2-cffi's defaults are RFC 9106's: 64 MiB, 3 passes, 4 lanes.
        self._hasher = PasswordHasher()
        self._threads = ThreadPoolExecutor(CHECKS_AT_ONCE_MAX, "password")
        self._questions = Questions(
            now,
            per_minute_max=CHECKS_PER_SOURCE_MAX,
            per_source_max=WAITING_PER_SOURCE_MAX,
            all_max=WAITING_MAX,
        )

    async def hash(self, password: str) -> str:
        """The hash of a new password.

        Raises:
            KeyRequestError: It is too short or too long.
        """
        if len(password) not in PASSWORD_CHARS:
            raise KeyRequestError(f"a password has {PASSWORD_CHARS.start} to {PASSWORD_CHARS.stop - 1} characters")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def is_right(self, password: str, known: str, source: str) -> bool:
        """Whether a password is the one of a hash.

        Args:
            password: As it was typed.
            known: The hash; empty for none.
            source: The peer that asks.

        Raises:
            PlaybackRefusedError: Too many wait for theirs already, or that peer asks too often.
        """
        if len(password) not in PASSWORD_CHARS or not known:
            return False
        self._questions.begin(source)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._verify, password, known)
        finally:
            self._questions.end(source)

    def _verify(self, password: str, known: str) -> bool:
        try:
            return self._hasher.verify(known, password)
        except (VerificationError, InvalidHashError):
            return False

    def close(self) -> None:
        """Check no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
