"""The decision over a stream key: may its holder publish?

Its result is an ``Admission``; the admissions that hold, and the act that ends them, are in ``admissions.py``.

The race between a verification and a death
-------------------------------------------
A verification reads the store, and the store is elsewhere: between its read and the moment its
stream is registered, a revocation can come. Everything here runs on one event loop, so a step
without ``await`` is indivisible. Some steps in two tasks matter:

- verify:  (V1) the store is read … (V2) the admission is made, and handed to the caller …
  (V3) the caller asks ``is_admissible`` and, in the same step, registers the stream.
- revoke (takedowns.py):  (R1) a change is counted, the key is condemned and all admissions of it
  are ended … (R2) the registry closes the streams of the key … (R3) the store commits, at once or
  when it can again … (R4) a change is counted, and the key is condemned no more.

In every order no stream is left running:

- V1 after R3: the read sees the dead key and refuses.
- V2 between R1 and R4: the key is condemned, and V2 refuses, whatever was read.
- V1 before R3, V2 after R4: V2 sees that a change was counted since V1 and reads again; the new
  read is after R3.
- V2 before R1, V3 after R1: R1 has ended the admission; ``is_admissible`` says no.
- V3 before R1: the stream is registered when R2 looks for it, and is closed.

A death that is in the store first (a rotation, another process) has R3, then R1 without the
condemning, then R2; V1 before R3 and V2 after R1 reads again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from streamd.clock import Clock
from streamd.errors import KeyRejectedError, KeyUsedTooOftenError, NoStreamKeyError
from streamd.formats.address import source_of
from streamd.limits import DEFAULT
from streamd.services.audit.denial_log import PUBLISH_DENIED, STUDIO_DENIED, DenialLog
from streamd.services.audit.records import SERVER
from streamd.services.keys.admission import Admission, Denial
from streamd.services.keys.admissions import Admissions
from streamd.services.keys.attempts import AttemptLog
from streamd.services.keys.guessing import Budgets, GuessGuard, GuessLimits
from streamd.services.keys.imported_key import ImportedKey, ShownKey, fault_of_form
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.last_uses import LastUses
from streamd.services.keys.living_hashes import LivingHashes
from streamd.services.keys.look_ups import LookUps
from streamd.services.keys.records import KeyStanding, KeyUse
from streamd.services.keys.secret import secret_matches
from streamd.services.keys.stream_key import StreamKey

# Questions a minute with one key without a publish: a page asks once when it is opened.
RECOGNITIONS_PER_MINUTE_MAX = 60


@dataclass(frozen=True, slots=True)
class VerifierOptions:
    """Limits on the cost of wrong keys."""

    guess_limits: GuessLimits = field(default_factory=GuessLimits)
    """Failed publishes after which a key is not looked up."""
    publishes_per_minute_max: int = DEFAULT.publishes_per_minute_max
    """Publishes with one good key, at once and in each minute after them. The reason stands in the configuration."""
    denials_per_minute_max: int = DEFAULT.denials_per_minute_max
    """Rows of the audit log about refused publishes, in a minute, that name an address; the others are one a reason."""


class KeyVerifier:
    """Decides over publishes by the keys that are shown.

    Args:
        store: The store of keys; started by the owner.
        clock: Wall time decides over expiry.
        options: Limits.
    """

    def __init__(self, store: KeyStore, clock: Clock, options: VerifierOptions | None = None) -> None:
        options = options or VerifierOptions()
        self._store = store
        self._clock = clock
        self._guard = GuessGuard(options.guess_limits)
        self._look_ups = LookUps()
        self._publishes = Budgets(options.publishes_per_minute_max)
        self._recognitions = Budgets(RECOGNITIONS_PER_MINUTE_MAX)
        self.hashes = LivingHashes(store, clock, self._guard)
        """Reads the living keys, before they are shown."""
        self.admissions = Admissions(store, clock, on_dead=self._guard.forget, on_restored=self.hashes.note_restored)
        """The admissions, which end with their keys."""
        self.attempts = AttemptLog()
        """The last attempts to publish with each key, with their outcome."""
        self.uses = LastUses()
        """Time and address of keys' last uses that the store does not have yet."""
        self.denials = DenialLog(SERVER.name, options.denials_per_minute_max)
        """Refusals that the audit log does not have yet."""

    def configure(self, options: VerifierOptions) -> None:
        """Take other limits; earlier counts stay."""
        self._guard.set_limits(options.guess_limits)
        self._publishes.resize(options.publishes_per_minute_max)
        self.denials.rows_max = options.denials_per_minute_max

    async def start(self) -> None:
        """Read the facts that must be known without asking the store.

        Raises:
            StoreUnavailableError: The store cannot be read.
        """
        await self.admissions.start()
        await self.hashes.start()

    async def verify(self, stream_key: str, peer_address: str) -> Admission:
        """Decide over a publish.

        Unknown, wrong, expired, revoked and suspended keys take the same way: one look-up, one hash, one comparison.
        Text without the form of a key may be one from elsewhere, and takes this way by the id that it would have
        (imported_key.py). A key after too many failures is refused without (guessing.py).

        Args:
            stream_key: The publisher's key; empty where it showed none.
            peer_address: IP address it came from.

        Returns:
            The admission: ask ``is_admissible`` in the step that registers the stream, and keep it.

        Raises:
            KeyRejectedError: The key does not open a channel.
            KeyUsedTooOftenError: It does, and has published too often lately.
            StoreUnavailableError: The store cannot be asked; the publish is refused.
        """
        try:
            admission = await self._admit(stream_key, peer_address, PUBLISH_DENIED, self._publishes)
            self.check_bars(admission, peer_address)
        except KeyRejectedError as error:
            if error.is_known and error.key_id is not None:
                self.attempts.refuse(error.key_id, error.reason, peer_address, self._clock.now())
            raise
        self.uses.note(admission.key_id, KeyUse(self._clock.now(), peer_address))
        return admission

    def check_bars(self, admission: Admission, peer_address: str) -> None:
        """See that no takedown and no block bars a publish whose key is good, and keep where it came from.

        Args:
            admission: Of the key.
            peer_address: IP address it came from.

        Raises:
            KeyRejectedError: One does.
        """
        admission.address = peer_address
        denial = self.admissions.bars.denial(admission.user, admission.key_id, peer_address)
        if denial is not None:
            self.denials.note(
                denial,
                peer_address,
                admission.key_id,
                user=admission.user,
                at=self._clock.now(),
                now=self._clock.monotonic(),
            )
            raise KeyRejectedError(denial, admission.key_id)

    def note_refusal(self, admission: Admission, result: str, detail: str, peer_address: str) -> None:
        """Note that a publish was refused though its key is good, for the key's holder and the audit log.

        Args:
            admission: Of the key.
            result: The reason, in one word (``PublishError.result``, or that of a key that has died meanwhile).
            detail: The same as its holder is told.
            peer_address: IP address it came from.
        """
        now = self._clock.now()
        self.attempts.refuse(admission.key_id, result, peer_address, now, detail)
        self.denials.note(
            result, peer_address, admission.key_id, user=admission.user, at=now, now=self._clock.monotonic()
        )

    async def recognise(self, stream_key: str, peer_address: str) -> Admission:
        """Decide over a key that is shown to see its channel's state, without a publish.

        As ``verify``, with the same budgets against guessing. The admission ends when the key dies.

        Args:
            stream_key: The key that was shown.
            peer_address: IP address it came from.

        Raises:
            KeyRejectedError: The key does not open a channel.
            StoreUnavailableError: It cannot be known.
        """
        return await self._admit(stream_key, peer_address, STUDIO_DENIED, self._recognitions)

    async def readmit(self, key_id: str) -> Admission:
        """Let somebody in again who has shown a key to the server before this one.

        Args:
            key_id: Of that key.

        Raises:
            KeyRejectedError: The key has died meanwhile.
            StoreUnavailableError: It cannot be known.
        """
        with self._look_ups.of_key(key_id):
            standing = await self._read_standing(key_id)
        # From here on nothing is awaited (see the module's docstring, V2).
        denial = self.admissions.denial_of(standing)
        if standing is None or denial is not None:
            raise KeyRejectedError(denial or Denial.UNKNOWN, key_id, is_known=standing is not None)
        return self._admitted(standing)

    def remember(self, key_id: str, secret_hash: bytes) -> None:
        """Take note of a key that was just made: it gets in whatever other keys come from its address (guessing.py)."""
        self._guard.remember(key_id, secret_hash)

    def learn(self, key_id: str, secret_hash: bytes) -> None:
        """Take note of a key that was imported; with many of them, those that have shown themselves come first."""
        self._guard.learn(key_id, secret_hash)

    # -- inside ---------------------------------------------------------------------------------

    async def _admit(self, stream_key: str, peer_address: str, action: str, budget: Budgets) -> Admission:
        shown = self._read_key(stream_key)
        if shown is None:
            raise self._failed(Denial.MALFORMED if stream_key else Denial.MISSING, None, peer_address, action)
        now = self._clock.monotonic()
        if not self._guard.lets_through(shown, peer_address, now):
            is_known = self._guard.knows(shown.key_id)
            self._note_denial(Denial.RATE_LIMITED, shown.key_id if is_known else None, peer_address, action)
            is_named = is_known or isinstance(shown, StreamKey)
            raise KeyRejectedError(Denial.RATE_LIMITED, shown.key_id if is_named else None, is_known=is_known)
        is_good = self._guard.proves(shown)
        if is_good and not budget.has_token(shown.key_id, now):
            self._note_denial(Denial.TOO_OFTEN, shown.key_id, peer_address, action)
            raise KeyUsedTooOftenError(Denial.TOO_OFTEN, shown.key_id)
        look_ups = self._look_ups
        with look_ups.of_key(shown.key_id) if is_good else look_ups.of_stranger(source_of(peer_address)):
            standing = await self._read_standing(shown.key_id)
        # From here on nothing is awaited (see the module's docstring, V2).
        matches = secret_matches(shown.key_id, shown.secret, standing.secret_hash if standing else None)
        denial = self.admissions.denial_of(standing)
        if standing is not None and denial is None:
            self._guard.remember(standing.key_id, standing.secret_hash)
        else:
            self._guard.forget(shown.key_id)
        if standing is None and isinstance(shown, ImportedKey):
            # Its id is made of the text, and says nothing to anybody.
            raise self._failed(Denial.MALFORMED, None, peer_address, action)
        if standing is None or not matches:
            raise self._failed(Denial.UNKNOWN, shown.key_id, peer_address, action, is_known=standing is not None)
        if denial is not None:
            raise self._failed(denial, shown.key_id, peer_address, action)
        budget.spend(standing.key_id, self._clock.monotonic())
        return self._admitted(standing)

    def _read_key(self, text: str) -> ShownKey | None:
        """The key that a peer shows; None for text that can be none."""
        if (shown := StreamKey.parse(text)) is not None:
            return shown
        return None if fault_of_form(text) else ImportedKey.of_text(text, self._store.imports.salt)

    async def _read_standing(self, key_id: str) -> KeyStanding | None:
        """How the store has a key, read again where something has changed meanwhile."""
        while True:
            changes = self.admissions.changes
            standing = await self._store.standing(key_id)
            if changes == self.admissions.changes:
                return standing

    def _admitted(self, standing: KeyStanding) -> Admission:
        admission = Admission(standing.key_id, standing.user, standing.expires_at, standing.limits)
        self.admissions.add(admission)
        return admission

    def _failed(
        self, denial: Denial, key_id: str | None, address: str, action: str, *, is_known: bool = True
    ) -> KeyRejectedError:
        """Count a refused key, and return the error to raise."""
        self._guard.note_failure(key_id, address, self._clock.monotonic())
        self._note_denial(denial, key_id if is_known else None, address, action)
        error_type = NoStreamKeyError if denial is Denial.MISSING else KeyRejectedError
        return error_type(denial, key_id, is_known=is_known)

    def _note_denial(self, denial: Denial, key_id: str | None, address: str, action: str) -> None:
        self.denials.note(denial, address, key_id, at=self._clock.now(), now=self._clock.monotonic(), action=action)
