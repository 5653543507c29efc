"""A token is checked here, its signature and its claims, and a ticket comes of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamd.services.playback.claims import read_claims
from streamd.services.playback.key_ring import KeyRing
from streamd.services.playback.refusal import Refusal
from streamd.services.playback.ticket import DIGEST_BYTES, NO_DIGEST, Ticket, digest, key_digest
from streamd.services.playback.token import check_signature, read_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.clock import Clock
    from streamd.services.playback.claims import Audience, Claims
    from streamd.services.playback.gate_options import GateOptions
    from streamd.services.playback.token import ShownToken


@dataclass(frozen=True, slots=True)
class CheckedToken:
    """A token that is good for what it was shown for."""

    kid: str
    claims: Claims
    token: bytes
    """Digest by which it can be withdrawn: of its ``jti``, or of itself where it has none."""


class TokenCheck:
    """Says what a token opens.

    Args:
        clock: For its times.
        options: Say whose tokens are taken; those of another configuration may be put in their place.

    Attributes:
        keys: The keys of tokens.
        on_unknown_key: Called where a token names a key that is not known: an issuer may have a new one.
    """

    def __init__(self, clock: Clock, options: GateOptions) -> None:
        self._clock = clock
        self.options = options
        self.keys = KeyRing()
        self.on_unknown_key: Callable[[], None] = lambda: None

    def check(self, text: str, subject: str, wanted: Audience) -> CheckedToken:
        """See that a token is good for a channel or recording.

        Args:
            text: As it was sent.
            subject: The channel or recording.
            wanted: The kind of media that is asked for.

        Raises:
            PlaybackRefusedError: It is not.
        """
        shown = read_token(text)
        wall = self._clock.now()
        key = self.keys.find(shown.kid, wall)
        if key is None:
            self.on_unknown_key()
            raise Refusal.UNKNOWN_KEY.error()
        check_signature(shown, key)
        claims = read_claims(shown.payload, issuer=self.options.issuer, audience=self.options.audience)
        now, leeway_s = wall.timestamp(), self.options.leeway_s
        if claims.expires_at + leeway_s <= now:
            raise Refusal.EXPIRED.error()
        if claims.not_before - leeway_s > now:
            raise Refusal.NOT_YET.error()
        if claims.subject != subject:
            raise Refusal.SUBJECT.error()
        if not claims.audience & wanted:
            raise Refusal.AUDIENCE.error()
        return CheckedToken(shown.kid, claims, digest("jti", claims.jti) if claims.jti else _digest_of(shown))

    def ticket(self, checked: CheckedToken, session: bytes) -> Ticket:
        """The ticket that comes of a token, as good as that is.

        Args:
            checked: The token.
            session: The viewing that it is for.
        """
        claims, now = checked.claims, self._clock.now().timestamp()
        # Within its leeway a token is good a little longer than it says.
        until = claims.expires_at if claims.expires_at > now else claims.expires_at + self.options.leeway_s
        return Ticket(
            key=key_digest(checked.kid),
            expires_at=max(int(min(until, now + self.options.ticket_s)), 1),
            issued_at=int(now),
            session=session,
            token=checked.token,
            viewer=digest("uid", claims.uid) if claims.uid else NO_DIGEST,
            audience=claims.audience,
            viewers_max=claims.viewers_max,
            networks=claims.networks,
            may_go_back=claims.may_go_back,
        )


def _digest_of(shown: ShownToken) -> bytes:
    """The digest of a token without an id, which cannot be withdrawn by one."""
    return hashlib.blake2b(shown.signature.encode(), digest_size=DIGEST_BYTES, person=b"token").digest()
