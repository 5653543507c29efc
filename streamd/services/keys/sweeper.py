"""Deaths of keys without a call: expiry, and other processes' acts. Waiting rows are written, too."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from streamd.clock import Clock
from streamd.errors import StoreUnavailableError
from streamd.services.audit.address_eraser import AddressEraser
from streamd.services.audit.anchor import AuditAnchor
from streamd.services.events.event import EventSink, EventType, unheard
from streamd.services.keys.key_events import key_event
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.verifier import KeyVerifier

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """How often is looked."""

    sweep_interval_s: float = 0.5
    """Seconds between two looks for expired keys. Expiry is a moment of wall time, which can be stepped, so it is
    looked at and not slept until; half a second late is on time for a person."""
    recheck_interval_s: float = 5.0
    """Seconds between two looks in the store for deaths that another process wrote there."""


async def _nothing_to_write() -> None:
    """Write nothing: no operator acts in this process."""


class KeySweeper:
    """Closes the streams of keys that died without a call, and writes the rows that publishes leave to be written.

    Args:
        store: The store of keys and the audit log.
        clock: Wall time decides over expiry.
        verifier: Knows the admissions, and the rows that wait to be written.
        options: Intervals.
        sleep: How ``run`` waits; tests pass their own.
        tell: Told of the keys that expire.
        eraser: Erases addresses that were kept for long enough.
        anchor: Notes where the audit log ends.
        write_acts: Writes operators' acts that the store could not take; raises ``StoreUnavailableError``.
    """

    def __init__(
        self,
        store: KeyStore,
        clock: Clock,
        verifier: KeyVerifier,
        options: SweepOptions | None = None,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        tell: EventSink = unheard,
        eraser: AddressEraser | None = None,
        anchor: AuditAnchor | None = None,
        write_acts: Callable[[], Awaitable[None]] = _nothing_to_write,
    ) -> None:
        self._store = store
        self._clock = clock
        self._verifier = verifier
        self._options = options or SweepOptions()
        self._sleep = sleep
        self._tell = tell
        self._eraser = eraser
        self._anchor = anchor
        self._write_acts = write_acts
        self._recheck_at = clock.monotonic() + self._options.recheck_interval_s
        self._expiry_told_until = clock.now()
        self._store_failed = False

    @property
    def has_failed(self) -> bool:
        """Whether the store did not take or tell something at the last look."""
        return self._store_failed

    async def run(self) -> None:
        """Sweep for ever; cancel to stop."""
        while True:
            await self._sleep(self._options.sweep_interval_s)
            try:
                await self.sweep()
            except StoreUnavailableError as exc:
                if not self._store_failed:
                    log.warning("store.failed", extra={"reason": str(exc)})
                self._store_failed = True
            except Exception:
                # A stream that cannot be closed must not end the closing of others.
                log.exception("sweep.failed")
            else:
                if self._store_failed:
                    log.info("store.recovered")
                self._store_failed = False

    async def sweep(self) -> None:
        """Close the streams of keys that have died without a call to the service, and write the waiting rows.

        Keys that have expired at every sweep; keys that another process killed, suspended or gave
        another expiry, each ``recheck_interval_s``. Running streams go on while the store cannot
        be read.

        Raises:
            StoreUnavailableError: The store cannot be asked; streams of expired keys are closed all the same.
        """
        await self._verifier.admissions.end_expired()
        # A store that can be read and not written, with a full disk, still tells of what others have changed.
        failure = await self._write_waiting()
        if self._clock.monotonic() >= self._recheck_at:
            self._recheck_at = self._clock.monotonic() + self._options.recheck_interval_s
            if not await self._verifier.admissions.recheck():
                self._recheck_at = self._clock.monotonic()
            await self._verifier.hashes.look()
            if self._tell is not unheard:
                await self._tell_expired()
        # The last, as the others do not wait for it where it fails.
        if self._eraser is not None and failure is None:
            await self._eraser.look()
        if self._anchor is not None and failure is None:
            await self._anchor.look()
        if failure is not None:
            raise failure

    async def close(self) -> None:
        """Write the waiting rows, as far as possible, and read no more."""
        await self._verifier.hashes.close()
        with contextlib.suppress(StoreUnavailableError):
            await self._write_acts()
            await self._write_rows()
            await self._write_uses()
            await self._write_denials(float("inf"))
            if self._anchor is not None:
                await self._anchor.look(is_last=True)

    async def _write_waiting(self) -> StoreUnavailableError | None:
        """Write what waits, up to what the store does not take; return why it did not."""
        try:
            await self._write_acts()
            await self._write_rows()
            await self._write_uses()
            await self._write_denials(self._clock.monotonic())
        except StoreUnavailableError as exc:
            return exc
        return None

    async def _write_rows(self) -> None:
        rows = self._verifier.admissions.rows.take()
        if not rows:
            return
        try:
            await self._store.audit.append(rows)
        except StoreUnavailableError:
            self._verifier.admissions.rows.give_back(rows)
            raise

    async def _write_uses(self) -> None:
        uses = self._verifier.uses.take()
        if not uses:
            return
        try:
            await self._store.record_uses(uses)
        except StoreUnavailableError:
            self._verifier.uses.give_back(uses)
            raise

    async def _write_denials(self, until: float) -> None:
        entries = self._verifier.denials.take(until)
        if not entries:
            return
        try:
            await self._store.audit.append(entries)
        except StoreUnavailableError:
            self._verifier.denials.give_back(entries, self._clock.monotonic())
            raise

    async def _tell_expired(self) -> None:
        """Tell of the keys that expired since the last look; no event tells of those before the server's start."""
        since, until = self._expiry_told_until, self._clock.now()
        if until <= since:
            # The wall clock was stepped back: earlier expiries are told already.
            return
        for record in await self._store.keys_expired(since, until):
            self._tell(key_event(EventType.KEY_EXPIRED, record, until))
        self._expiry_told_until = until
