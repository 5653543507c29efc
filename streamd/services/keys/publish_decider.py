"""A publish hook that decides alone: any name and key, for platforms with accounts of their own.

The keys of the store are not asked. The service gets what the publisher showed, and says whether they may go live and
in which channel. That goes nowhere else: no log, error, row or metric has it. A user of the channel's name is
made in the store, so that the operator's acts hold for the channel: suspended is suspended, whatever the service says.

Guesses are bounded as guesses at keys are (guessing.py): a publish that the service forbids costs a token of its
address and one of the text that was shown; without tokens the service is not asked, but for a text that it has let in.
Names have no budget: names are public, and a guesser must not keep a name's owner out.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from streamd.errors import (
    HookAnswerError,
    KeyRejectedError,
    KeyUsedTooOftenError,
    PublishUndecidedError,
    ReceiverUnreachableError,
    StoreUnavailableError,
)
from streamd.formats.address import source_of
from streamd.services.audit.denial_log import PUBLISH_DENIED
from streamd.services.events.signature import new_message_id, signed_headers
from streamd.services.keys.admission import Admission, Denial
from streamd.services.keys.guessing import Budgets, GuessGuard
from streamd.services.keys.imported_key import ImportedKey
from streamd.services.keys.look_ups import LookUps
from streamd.services.keys.records import USER_NAME, UserRecord, UserState
from streamd.services.keys.secret import hash_secret

if TYPE_CHECKING:
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.services.events.sender import ReceiverAnswer, Sender
    from streamd.services.keys.key_store import KeyStore
    from streamd.services.keys.publish_hook import HookOptions, Question
    from streamd.services.keys.shown_publish import ShownPublish
    from streamd.services.keys.verifier import KeyVerifier, VerifierOptions
    from streamd.services.metrics import Metrics

log = logging.getLogger(__name__)

# Encoders have 1,024 bytes for a URL (ffmpeg) or a few thousand for a token in it.
TEXT_LENGTH_MAX = 8192
# {"channel": "…"} and what else the service likes to say.
ANSWER_BYTES_MAX = 4096


class Words(Protocol):
    """How the service is asked, and what its answers mean."""

    def ask(self, shown: ShownPublish, now: datetime) -> Question:
        """The question about a publish."""

    def channel_of(self, shown: ShownPublish, answer: ReceiverAnswer) -> str | None:
        """The channel that the service lets the publisher into; None where it says no.

        Raises:
            HookAnswerError: The answer decides nothing.
        """


class PublishDecider:
    """Admits publishers by the word of the operator's service.

    Args:
        options: The service.
        words: How it is asked.
        limits: Bounds of guesses and publishes, as of keys.
        sender: Makes the requests.
        store: The users; started by the owner.
        verifier: Its admissions are those of all, and its denials are written.
        clock: For budgets and signatures.
        metrics: Counted into.
    """

    def __init__(
        self,
        options: HookOptions,
        words: Words,
        limits: VerifierOptions,
        *,
        sender: Sender,
        store: KeyStore,
        verifier: KeyVerifier,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._options = options
        self._sender = sender
        self._store = store
        self._verifier = verifier
        self._clock = clock
        self._metrics = metrics
        self._words = words
        self._guard = GuessGuard(limits.guess_limits)
        self._publishes = Budgets(limits.publishes_per_minute_max)
        self._look_ups = LookUps()

    def configure(self, limits: VerifierOptions) -> None:
        """Take other limits; earlier counts stay."""
        self._guard.set_limits(limits.guess_limits)
        self._publishes.resize(limits.publishes_per_minute_max)

    async def admit(self, shown: ShownPublish) -> Admission:
        """Decide over a publish.

        Args:
            shown: The publisher's words.

        Returns:
            The admission: ask ``is_admissible`` in the step that registers the stream, and keep it.

        Raises:
            KeyRejectedError: The service says no, the user is suspended, or too many guesses came before.
            KeyUsedTooOftenError: The publisher is let in too often lately.
            PublishUndecidedError: The service does not answer, or not what can be read.
            StoreUnavailableError: Whether the user is suspended cannot be known.
        """
        salt, now = self._store.imports.salt, self._clock.monotonic()
        if len(shown.text) + len(shown.tc_url) > TEXT_LENGTH_MAX:
            raise self._failed(Denial.MALFORMED, None, shown)
        proof = ImportedKey.of_text(shown.text, salt)
        is_good = self._guard.proves(proof)
        if not self._guard.lets_through(proof, shown.address, now):
            self._note_denial(Denial.RATE_LIMITED, shown)
            raise KeyRejectedError(Denial.RATE_LIMITED, is_known=False)
        if is_good and not self._publishes.has_token(proof.key_id, now):
            self._note_denial(Denial.TOO_OFTEN, shown)
            raise KeyUsedTooOftenError(Denial.TOO_OFTEN)
        channel = await self._ask(shown, proof, is_good=is_good)
        if channel is None:
            self._guard.forget(proof.key_id)
            raise self._failed(Denial.FORBIDDEN, proof, shown)
        user = await self._read_user(channel)
        # From here on nothing is awaited (verifier.py, V2).
        admissions = self._verifier.admissions
        admissions.note_user(channel)
        # An operator's suspension holds before the store has it.
        if user.state is UserState.SUSPENDED or admissions.is_suspended(channel):
            raise self._failed(Denial.SUSPENDED, proof, shown)
        self._guard.remember(proof.key_id, hash_secret(proof.key_id, proof.secret))
        self._publishes.spend(proof.key_id, self._clock.monotonic())
        admission = Admission.by_hook(ImportedKey.of_text(channel, salt).key_id, channel, user.limits)
        self._verifier.check_bars(admission, shown.address)
        admissions.add(admission)
        return admission

    # -- inside ---------------------------------------------------------------------------------

    async def _ask(self, shown: ShownPublish, proof: ImportedKey, *, is_good: bool) -> str | None:
        """The channel that the service says; None where it says no."""
        look_ups = self._look_ups
        started_at = self._clock.monotonic()
        result = "failed"
        try:
            with look_ups.of_key(proof.key_id) if is_good else look_ups.of_stranger(source_of(shown.address)):
                channel = await self._request(shown)
            result = "forbidden" if channel is None else "allowed"
        except (ReceiverUnreachableError, HookAnswerError) as exc:
            log.warning("publish_hook.failed", extra={"peer": shown.address, "reason": str(exc)})
            raise PublishUndecidedError from exc
        except StoreUnavailableError as exc:
            # Too many wait for it already: a line for each would be a peer's to write.
            raise PublishUndecidedError from exc
        finally:
            self._metrics.publishing.publish_hook_seconds.observe(self._clock.monotonic() - started_at)
            self._metrics.publishing.publish_hook_answers_total.labels(result).inc()
        return channel

    async def _request(self, shown: ShownPublish) -> str | None:
        options, now = self._options, self._clock.now()
        question = self._words.ask(shown, now)
        headers = {"Content-Type": question.content_type}
        if options.secret:
            headers |= signed_headers(options.secret, new_message_id(), now, question.body)
        answer = await self._sender.post(
            options.url, question.body, headers, timeout_s=options.timeout_s, answer_bytes_max=ANSWER_BYTES_MAX
        )
        channel = self._words.channel_of(shown, answer)
        if channel is not None and not USER_NAME.fullmatch(channel):
            # It is not repeated: it may be the secret.
            raise HookAnswerError("it lets a publisher in under a name that no channel can have")
        return channel

    async def _read_user(self, channel: str) -> UserRecord:
        """How the store has the channel's user, read again where something has changed meanwhile."""
        while True:
            changes = self._verifier.admissions.changes
            user = await self._store.ensure_user(channel, now=self._clock.now())
            if changes == self._verifier.admissions.changes:
                return user

    def _failed(self, denial: Denial, proof: ImportedKey | None, shown: ShownPublish) -> KeyRejectedError:
        """Count a refused publish, and return the error to raise."""
        key_id = None if proof is None else proof.key_id
        self._guard.note_failure(key_id, shown.address, self._clock.monotonic())
        self._note_denial(denial, shown)
        return KeyRejectedError(denial, is_known=False)

    def _note_denial(self, denial: Denial, shown: ShownPublish) -> None:
        self._verifier.denials.note(
            denial,
            shown.address,
            None,
            at=self._clock.now(),
            now=self._clock.monotonic(),
            action=PUBLISH_DENIED,
        )
