"""Operators' acts on playback: keys, tokens, rules and revocations, and what every process has to know of them.

A revocation holds here before it is written: what somebody watches by it is dark when the call returns, whatever
becomes of the store. One that could not be written is written when that is possible again.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from streamd.errors import KeyRequestError, PlaybackKeyNotFoundError, StoreUnavailableError
from streamd.services.audit.records import AuditEntry
from streamd.services.keys.request import checked_label, checked_reason
from streamd.services.playback.claims import ID_CHARS_MAX, TOKEN_S_MAX, read_claims
from streamd.services.playback.policy import PlaybackRule, Policy
from streamd.services.playback.records import PlaybackKeyRecord, RevocationRecord
from streamd.services.playback.revocations import RevocationKind
from streamd.services.playback.verifying_key import Algorithm, VerifyingKey, new_kid

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.services.audit.records import Actor
    from streamd.services.playback.gate import PlaybackGate
    from streamd.services.playback.gate_options import GateOptions
    from streamd.services.playback.key_set import RemoteKeySet
    from streamd.services.playback.passwords import Passwords
    from streamd.services.playback.playback_store import PlaybackStore

log = logging.getLogger(__name__)

# The key with which the server signs for those who will not. It is made of the store's secret, and is never shown.
SERVER_KID: Final = "pk_server"
OVERLAP_S_MAX: Final = 30 * 86_400
# Another process's acts are known here after this, seconds.
RECHECK_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class NewPlaybackKey:
    """A key that was made, with what is shown once."""

    record: PlaybackKeyRecord
    private: str
    """PEM of the private key, or the secret of HS256; empty where the private half is elsewhere."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """A completed revocation."""

    record: RevocationRecord
    ended: int
    """Viewings that it ended on this server."""
    unwritten: str = ""
    """The reason why the store does not have it yet; empty where it does."""


class PlaybackService:
    """The acts.

    Args:
        store: The store of keys, revocations and rules.
        gate: Goes by them.
        clock: For all times.
        passwords: Hashes them.
        key_set: The keys elsewhere.
    """

    def __init__(
        self, store: PlaybackStore, gate: PlaybackGate, clock: Clock, passwords: Passwords, key_set: RemoteKeySet
    ) -> None:
        self._store = store
        self.gate = gate
        self._clock = clock
        self._passwords = passwords
        self._key_set = key_set
        gate.tokens.on_unknown_key = key_set.hurry
        self._keys: dict[str, PlaybackKeyRecord] = {}
        self._server_key = VerifyingKey(SERVER_KID, Algorithm.HS256, b"")
        self._last_sequence = 0
        self._checked_at = float("-inf")
        self._changes = 0
        self._unwritten: list[tuple[RevocationRecord, AuditEntry]] = []
        # Recordings whose rules are still to be dropped; as many as have one.
        self._deleted: list[str] = []
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read what the doors have to know.

        Raises:
            StoreUnavailableError: It cannot be read.
        """
        self.gate.set_secret(await self._store.secret())
        secret = self.gate.secret_of("tokens").hex().encode()
        self._server_key = VerifyingKey(SERVER_KID, Algorithm.HS256, secret)
        self.gate.keys.set_server(self._server_key)
        await self._read()

    async def close(self) -> None:
        """End what goes on."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        self.gate.viewings.close()
        self._passwords.close()

    def configure(self, options: GateOptions, jwks_url: str) -> None:
        """Take other options; tickets that were given out keep their time."""
        self.gate.configure(options)
        if jwks_url != self._key_set.url:
            self._key_set.move(jwks_url)

    def tick(self) -> None:
        """Begin what is due; called about once a second."""
        self.gate.tell()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        """Read keys elsewhere, what another process has changed, and write what could not be written."""
        await self._key_set.look()
        now = self._clock.monotonic()
        if now - self._checked_at < RECHECK_S:
            return
        self._checked_at = now
        try:
            while self._deleted:
                await self.forget(self._deleted[0])
                del self._deleted[0]
            while self._unwritten:
                await self._store.revoke(*self._unwritten[0])
                del self._unwritten[0]
            await self._read()
        except StoreUnavailableError as exc:
            log.debug("playback.unread", extra={"reason": str(exc)})
        self.gate.viewings.forget_over()

    async def _read(self) -> None:
        changes = self._changes
        keys = await self._store.keys()
        rules = await self._store.rules()
        revocations = await self._store.revocations(self._last_sequence)
        for record in revocations:
            self._hold(record)
            self._last_sequence = record.sequence
        if revocations:
            self.gate.end_withdrawn()
        if changes != self._changes:
            # The rows may be from before an act of ours.
            return
        self._take_keys({record.kid: record for record in keys})
        self.gate.policies_changed(self.gate.policies.replace(rules))

    def _hold(self, record: RevocationRecord) -> None:
        """Have a revocation be in force here."""
        self.gate.revocations.add(record.kind, record.value, int(record.at.timestamp()))
        if record.kind is RevocationKind.KID and record.value != SERVER_KID:
            # A finder of a key that leaked writes into a token what time they like.
            self.gate.keys.withdraw(record.value)

    def _take_keys(self, keys: dict[str, PlaybackKeyRecord]) -> None:
        self._keys = keys
        self.gate.keys.set_own(
            {kid: (record.key, record.ends_at) for kid, record in keys.items() if record.withdrawn_at is None}
        )

    # -- keys -------------------------------------------------------------------------------

    def list_keys(self) -> list[PlaybackKeyRecord]:
        """All keys of the operator's, in the order in which they were made."""
        return list(self._keys.values())

    def find_key(self, kid: str) -> PlaybackKeyRecord:
        """One of them.

        Raises:
            PlaybackKeyNotFoundError: There is none.
        """
        record = self._keys.get(kid)
        if record is None:
            raise PlaybackKeyNotFoundError
        return record

    def published(self) -> list[dict[str, Any]]:
        """The public keys, as JWKs."""
        keys = self.gate.keys.published(self._clock.now())
        if not keys:
            return []
        from streamd.services.playback.playback_key import jwk_of

        return [jwk for jwk in map(jwk_of, keys) if jwk is not None]

    async def add_key(
        self, algorithm: Algorithm, *, by: Actor, label: str = "", public_key: str = ""
    ) -> NewPlaybackKey:
        """Make a key, or take the public half of one.

        Args:
            algorithm: The algorithm of tokens that are signed with it.
            by: The actor.
            label: Its purpose, in the operator's words.
            public_key: PEM of a public key whose private half stays where it is; empty: a key is made.

        Raises:
            KeyRequestError: A label or key that cannot be.
            KeyStateError: There are too many.
            StoreUnavailableError: It could not be written; there is no key.
        """
        key, private = await self._make(algorithm, public_key)
        record = PlaybackKeyRecord(key, checked_label(label), self._clock.now(), by.name)
        entry = AuditEntry(record.created_at, by.name, "playback.key", by.address, key_id=key.kid, reason=algorithm)
        await self._store.add_key(record, entry)
        self._changes += 1
        self._take_keys(self._keys | {key.kid: record})
        return NewPlaybackKey(record, private)

    async def rotate_key(self, kid: str, *, by: Actor, overlap_s: float = 0) -> NewPlaybackKey:
        """Make a key in place of another, which is good for new tokens until the overlap is over.

        A viewer with a token of the old one watches on.

        Raises:
            KeyRequestError: An overlap that cannot be.
            KeyStateError: The key was withdrawn or rotated before.
            PlaybackKeyNotFoundError: There is no such key.
            StoreUnavailableError: It could not be written; nothing has changed.
        """
        if not 0 <= overlap_s <= OVERLAP_S_MAX:
            raise KeyRequestError(f"overlap_s is from 0 to {OVERLAP_S_MAX} (30 days)")
        old = self.find_key(kid)
        key, private = await self._make(old.algorithm, "")
        now = self._clock.now()
        ends_at = now + timedelta(seconds=overlap_s)
        record = PlaybackKeyRecord(key, old.label, now, by.name)
        entry = AuditEntry(now, by.name, "playback.key", by.address, key_id=key.kid, reason=f"from {kid}")
        await self._store.add_key(record, entry, replaces=kid, ends_at=ends_at)
        self._changes += 1
        self._take_keys(self._keys | {kid: replace(old, ends_at=ends_at, replaced_by=key.kid), key.kid: record})
        return NewPlaybackKey(record, private)

    async def delete_key(self, kid: str, *, by: Actor, reason: str = "") -> None:
        """Withdraw a key, and delete what is kept of it but its revocation.

        Raises:
            PlaybackKeyNotFoundError: There is no such key.
            StoreUnavailableError: It could not be written; it may be withdrawn already. Ask again.
        """
        if self.find_key(kid).withdrawn_at is None:
            done = await self.revoke(RevocationKind.KID, kid, by=by, reason=reason)
            if done.unwritten:
                raise StoreUnavailableError(done.unwritten)
        now = self._clock.now()
        entry = AuditEntry(
            now, by.name, "playback.key", by.address, key_id=kid, reason=f"deleted. {reason}".rstrip(". ")
        )
        await self._store.delete_key(kid, entry)
        self._changes += 1
        self._take_keys({known: record for known, record in self._keys.items() if known != kid})

    async def _make(self, algorithm: Algorithm, public_key: str) -> tuple[VerifyingKey, str]:
        from streamd.services.playback.playback_key import generate, of_pem

        kid = new_kid()
        if public_key:
            return of_pem(kid, algorithm, public_key), ""
        # RSA takes long.
        return await asyncio.get_running_loop().run_in_executor(None, generate, kid, algorithm)

    # -- tokens -----------------------------------------------------------------------------

    def sign(self, claims: dict[str, Any], *, ttl_s: int) -> str:
        """Sign a token for those who will not.

        Args:
            claims: Its claims, without times.
            ttl_s: Seconds that it is good.

        Raises:
            KeyRequestError: A claim or time that cannot be.
        """
        if not 1 <= ttl_s <= TOKEN_S_MAX:
            raise KeyRequestError(f"ttl_s is from 1 to {TOKEN_S_MAX} (366 days)")
        now = int(self._clock.now().timestamp())
        whole = {**claims, "iat": now, "exp": now + ttl_s}
        options = self.gate.options
        if options.issuer:
            whole["iss"] = options.issuer
        if options.audience:
            whole["aud"] = [*whole.get("aud", ()), options.audience]
        read_claims(whole, issuer=options.issuer, audience=options.audience)
        import jwt

        material = self._server_key.material
        assert isinstance(material, bytes)
        return jwt.encode(whole, material, algorithm=Algorithm.HS256.value, headers={"kid": SERVER_KID})

    # -- rules ------------------------------------------------------------------------------

    async def set_rule(
        self,
        subject: str,
        policy: Policy | None,
        *,
        by: Actor,
        password: str | None = None,
        reason: str = "",
        of_recording: bool = False,
    ) -> PlaybackRule | None:
        """Decide who may watch a channel or recording.

        Args:
            subject: Its name or id.
            policy: None leaves it to the configuration, or a recording to its channel.
            by: The actor.
            password: A new one, which ends what is watched by the one before; None leaves it.
            reason: The reason, in the operator's words.
            of_recording: It is the id of a recording that there is.

        Raises:
            KeyRequestError: A password that cannot be, or none where one is needed.
            UserNotFoundError: There is no such user.
            StoreUnavailableError: It could not be written.
        """
        known = self.gate.policies.rules.get(subject)
        hashed = known.password_hash if known is not None else ""
        if password is not None:
            hashed = await self._passwords.hash(password)
        if policy is Policy.PASSWORD and not hashed:
            raise KeyRequestError("the policy password needs a password")
        rule = None if policy is None else PlaybackRule(policy, hashed if policy is Policy.PASSWORD else "")
        now = self._clock.now()
        unsaid = "as its channel" if of_recording else "as the configuration says"
        said = unsaid if policy is None else policy.value
        if password is not None:
            said += ", new password"
        name = None if of_recording else subject
        text = f"{subject if name is None else ''} {said}. {checked_reason(reason)}".strip().rstrip(". ")
        entry = AuditEntry(now, by.name, "playback.policy", by.address, user=name, stream=name, reason=text)
        await self._store.set_rule(subject, rule, [entry], of_recording=of_recording)
        self._changes += 1
        rules = {**self.gate.policies.rules}
        if rule is None:
            rules.pop(subject, None)
        else:
            rules[subject] = rule
        self.gate.policies_changed(self.gate.policies.replace(rules))
        if password is not None and known is not None and known.password_hash:
            await self.revoke(RevocationKind.CHANNEL, subject, by=by, reason="new password")
        return rule

    def forget_soon(self, recording: str) -> None:
        """Drop the rule of a recording that is deleted."""
        if recording in self.gate.policies.rules:
            self._deleted.append(recording)

    async def forget(self, subject: str) -> None:
        """Drop the rule of a user or recording that is deleted."""
        await self._store.forget(subject)
        self._changes += 1
        rules = {name: rule for name, rule in self.gate.policies.rules.items() if name != subject}
        self.gate.policies_changed(self.gate.policies.replace(rules))

    # -- revocation -------------------------------------------------------------------------

    async def revoke(self, kind: RevocationKind, value: str, *, by: Actor, reason: str = "") -> Revocation:
        """Withdraw a token, or what a viewer, a key or a channel has; what is watched by it is dark when this returns.

        Args:
            kind: The kind of thing that ``value`` names.
            value: Its name.
            by: The actor.
            reason: The reason, in the operator's words.

        Raises:
            KeyRequestError: A name or reason that cannot be.
            KeyStateError: As many revocations as can be are kept already.
        """
        if not value or len(value) > ID_CHARS_MAX or not value.isprintable():
            raise KeyRequestError(f"{kind} has 1 to {ID_CHARS_MAX} printable characters")
        why = checked_reason(reason)
        revocations, now = self.gate.revocations, self._clock.now()
        if kind is not RevocationKind.KID:
            revocations.check_room()
        record = RevocationRecord(kind, value, now)
        self._hold(record)
        self._changes += 1
        if kind is RevocationKind.KID and (known := self._keys.get(value)) is not None:
            self._take_keys(self._keys | {value: replace(known, withdrawn_at=known.withdrawn_at or now)})
        ended = self.gate.end_withdrawn()
        is_channel = kind is RevocationKind.CHANNEL
        entry = AuditEntry(
            now,
            by.name,
            "playback.revoked",
            by.address,
            user=value if is_channel and not value.startswith("rec_") else None,
            key_id=value if kind is RevocationKind.KID and len(value) <= 32 else None,
            reason=f"{kind} {value}. {why}".rstrip(". "),
        )
        log.info("playback.revoked", extra={"kind": kind.value, "ended": ended, "by": by.name})
        try:
            await self._store.revoke(record, entry)
        except StoreUnavailableError as exc:
            # Bounded as the revocations themselves are.
            self._unwritten.append((record, entry))
            log.warning("playback.unwritten", extra={"kind": kind.value, "reason": str(exc)})
            return Revocation(record, ended, f"{exc}; it holds on this server, and is written as soon as it can be")
        return Revocation(record, ended)
