"""The verdict on a publish: keys, publish hook and registry are asked, and the stream begins or is refused."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from streamd.doors.ingest.broadcast import Broadcast
from streamd.errors import KeyRejectedError, PublishError, StoreUnavailableError
from streamd.services.keys.admission import Denial
from streamd.services.keys.shown_publish import ShownPublish
from streamd.services.keys.stream_key import StreamKey
from streamd.services.live.publisher import Publisher

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.formats.rtmp.events import PublishRequested
    from streamd.services.keys.admission import Admission
    from streamd.services.keys.verifier import KeyVerifier
    from streamd.services.live.registry import LiveRegistry
    from streamd.services.metrics import Metrics

# Refusals that a guesser or an encoder that retries brings thousands of times a minute: the audit log counts them, and
# a line for each would let a peer fill the disk.
_ROUTINE = frozenset((Denial.RATE_LIMITED, Denial.TOO_OFTEN))


class PublishGate(Protocol):
    """May forbid a publish whose key is good; the publish hook does."""

    async def decide(self, admission: Admission, address: str, encoder: str) -> None:
        """Raise ``PublishError`` to refuse it."""


class Admitter(Protocol):
    """Admits publishers in place of the keys; a publish hook that decides alone does."""

    async def admit(self, shown: ShownPublish) -> Admission:
        """Return the admission, or raise ``PublishError`` or ``StoreUnavailableError``."""


class Applicant(Publisher, Protocol):
    """A connection that wants to publish."""

    @property
    def is_waiting(self) -> bool:
        """Whether it still waits for the verdict."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A publish that is refused."""

    error: PublishError
    """For the peer."""
    reason: str
    """For the log."""
    level: int = logging.INFO
    """Level of the log's line."""
    fields: dict[str, object] = field(default_factory=dict)
    """The key, its user and the limit that was passed, as far as they are known."""


class PublishJudge:
    """Decides over the publishes of all connections of a listener.

    Args:
        keys: Says whom a stream key belongs to.
        registry: Where an accepted publish becomes a live stream.
        clock: For durations and dates.
        metrics: Counted into.
        gate: Asked over each publish whose key is good, if there is one.
        decider: Decides over each publish in place of the keys, if there is one.
    """

    def __init__(
        self,
        *,
        keys: KeyVerifier,
        registry: LiveRegistry,
        clock: Clock,
        metrics: Metrics,
        gate: PublishGate | None = None,
        decider: Admitter | None = None,
    ) -> None:
        self._keys = keys
        self._registry = registry
        self._clock = clock
        self._metrics = metrics
        self._gate = gate
        self._decider = decider

    async def decide(
        self, request: PublishRequested, applicant: Applicant, *, verify_timeout_s: float
    ) -> Broadcast | Refusal | None:
        """Decide over a publish.

        The last step, which begins the stream, awaits nothing, and neither does the return to the caller: it accepts
        the publish in the same step, so that a revocation finds no stream between the two.

        Args:
            request: As the peer asked.
            applicant: The connection.
            verify_timeout_s: Seconds for the key store to answer.

        Returns:
            The broadcast that has begun, the refusal, or None where the connection waits for no verdict any more.
        """
        result = "accepted"
        try:
            admission = await self._admit(request, applicant, verify_timeout_s)
            decided = await self._decide_over_good_key(admission, applicant)
        except KeyRejectedError as error:
            result = error.result
            self._metrics.publishing.publish_denied_total.labels(error.reason).inc()
            level = logging.DEBUG if error.reason in _ROUTINE else logging.INFO
            decided = Refusal(error, error.reason, level, {"key_id": error.key_id})
        except StoreUnavailableError as error:
            # Fail closed: a key that cannot be verified opens no channel.
            result = "unavailable"
            decided = Refusal(PublishError(), f"key store unavailable: {error}", fields={"key_id": None})
        except PublishError as error:
            # A hook that decides alone does not answer.
            result = error.result
            decided = Refusal(error, error.result)
        if isinstance(decided, Refusal) and result == "accepted":
            result = decided.error.result
        if decided is not None:
            self._metrics.publishing.publishes_total.labels(result).inc()
        return decided

    async def _admit(self, request: PublishRequested, applicant: Applicant, verify_timeout_s: float) -> Admission:
        if self._decider is None:
            stream_key = request.find_key(StreamKey.has_form)
            return await self._verify(stream_key, applicant.address, verify_timeout_s)
        shown = ShownPublish.of(
            app=request.app,
            stream_name=request.stream_name,
            tc_url=request.tc_url,
            publishing_type=request.publishing_type,
            address=applicant.address,
            encoder=applicant.encoder,
        )
        return await self._decider.admit(shown)

    async def _verify(self, stream_key: str, address: str, timeout_s: float) -> Admission:
        started_at = self._clock.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                return await self._keys.verify(stream_key, address)
        except TimeoutError as exc:
            self._metrics.limit_hits_total.labels("verify_timeout_s").inc()
            raise StoreUnavailableError(f"no answer within {timeout_s:g} s") from exc
        finally:
            # Refusals and time-outs, too: they are the slow ones when the store is.
            self._metrics.publishing.verify_seconds.observe(self._clock.monotonic() - started_at)

    async def _decide_over_good_key(self, admission: Admission, applicant: Applicant) -> Broadcast | Refusal | None:
        try:
            if self._gate is not None:
                await self._gate.decide(admission, applicant.address, applicant.encoder)
            await self._registry.wait_for_silence(admission)
            claim = await self._registry.claim(admission.user, admission)
            # From here on nothing is awaited: a key that has died meanwhile is seen by begin().
            if not applicant.is_waiting:
                claim.release()
                return None
            stream = self._registry.begin(admission, applicant, claim)
        except KeyRejectedError as error:
            self._keys.note_refusal(admission, error.reason, error.description, applicant.address)
            raise
        except PublishError as error:
            self._keys.note_refusal(admission, error.result, error.description, applicant.address)
            fields: dict[str, object] = {"key_id": admission.key_id, "user": admission.user}
            if error.limit:
                fields["limit"] = error.limit
            return Refusal(error, error.result, fields=fields)
        attempt = self._keys.attempts.accept(admission.key_id, applicant.address, self._clock.now())
        return Broadcast(stream, admission, attempt, self._clock.monotonic(), applicant, self._registry)
