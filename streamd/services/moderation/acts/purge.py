"""Tells caches in front that something is dark: a ``PURGE`` request for each path, or ``BAN`` where that is refused.

A path stands for all that is below it: ``/live/anna`` for ``/live/anna/…`` and ``/live/anna.flv``. What the cache does
with the request is its configuration's; ``docs/moderation.md`` has one for Varnish.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol

from streamd.errors import ReceiverUnreachableError
from streamd.services.moderation.acts.takedown import CacheFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from streamd.services.events.sender import ReceiverAnswer

log = logging.getLogger(__name__)

# A cache is near, and answers in milliseconds; a moderator waits no longer for one that is away.
TIMEOUT_S: Final = 1.0
# One that is away is told again once a second for ten minutes; what it has is old by then.
TRIES_MAX: Final = 600
# Paths that wait to be told: a list of names goes to caches that are away.
WAITING_MAX: Final = 10_000
# Requests at once.
AT_ONCE_MAX: Final = 32
# RFC 9110 15.5.6 and 15.6.2: the cache does not know the method.
_UNKNOWN_METHOD: Final = frozenset((405, 501))


class PurgeSender(Protocol):
    """Makes requests to caches; follows no redirect."""

    async def tell(self, method: str, url: str, *, timeout_s: float) -> ReceiverAnswer:
        """Make a request without a body.

        Args:
            method: Of the request.
            url: Where.
            timeout_s: For all of it.

        Raises:
            ReceiverUnreachableError: There was no answer.
        """


class Purge:
    """Tells the caches.

    Args:
        sender: Makes the requests.
        urls: The caches' URLs; asked for each time.
    """

    def __init__(self, sender: PurgeSender, urls: Callable[[], Sequence[str]]) -> None:
        self._sender = sender
        self._urls = urls
        # Caches that know BAN alone.
        self._bans: set[str] = set()
        # Paths that are told again, with the tries so far.
        self._again: dict[tuple[str, str], int] = {}
        self._retrying: asyncio.Task[None] | None = None
        self._at_once = asyncio.Semaphore(AT_ONCE_MAX)

    @property
    def has_caches(self) -> bool:
        """Whether there is any cache to be told."""
        return bool(self._urls())

    async def tell(self, paths: Iterable[str]) -> tuple[CacheFault, ...]:
        """Tell every cache about some paths.

        Returns:
            The caches that were not told, once each; they are told again later.
        """
        asked = [(url.rstrip("/"), path) for url in self._urls() for path in paths]
        if not asked:
            return ()
        # One that is away costs its time once, and not for each name of a list.
        away: dict[str, str] = {}
        answers = await asyncio.gather(*(self._ask(*each, away) for each in asked))
        faults: dict[str, str] = {}
        for each, why in zip(asked, answers, strict=True):
            if why:
                faults.setdefault(each[0], why)
                if len(self._again) < WAITING_MAX:
                    self._again[each] = 0
        for url, why in faults.items():
            log.warning("cache.untold", extra={"url": url, "reason": why})
        return tuple(CacheFault(url, why) for url, why in faults.items())

    def tick(self) -> None:
        """Tell again what was not heard; called about once a second."""
        if self._again and (self._retrying is None or self._retrying.done()):
            self._retrying = asyncio.create_task(self._retry())

    async def close(self) -> None:
        """Tell nobody any more."""
        if self._retrying is not None:
            self._retrying.cancel()
            await asyncio.gather(self._retrying, return_exceptions=True)

    async def _retry(self) -> None:
        away: dict[str, str] = {}
        for each, tries in [*self._again.items()][:AT_ONCE_MAX]:
            # The next in line has the next turn.
            del self._again[each]
            if await self._ask(*each, away) and tries + 1 < TRIES_MAX:
                self._again[each] = tries + 1

    async def _ask(self, url: str, path: str, away: dict[str, str]) -> str:
        """Tell one cache about one path; returns why it was not heard.

        Args:
            url: Of the cache.
            path: What is dark.
            away: The caches that did not answer a moment ago, with why: they are not asked, and noted here.
        """
        try:
            async with self._at_once:
                if url in away:
                    return away[url]
                method = "BAN" if url in self._bans else "PURGE"
                answer = await self._sender.tell(method, url + path, timeout_s=TIMEOUT_S)
                if method == "PURGE" and answer.status in _UNKNOWN_METHOD:
                    answer = await self._sender.tell("BAN", url + path, timeout_s=TIMEOUT_S)
                    if answer.is_success:
                        self._bans.add(url)
        except ReceiverUnreachableError as exc:
            away[url] = str(exc)
            return str(exc)
        # A path that the cache did not have is as good as gone.
        return "" if answer.is_success or answer.status == 404 else f"it answered {answer.status}"
