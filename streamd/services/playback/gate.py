"""The gate: may this viewer watch this, and until when? Every door asks here, and none decides.

A viewer shows a token once (``admit``) and has a ticket from then on (``enter``), which costs one look-up in a
dictionary. Where nothing is locked (``is_open``), nothing is asked at all.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from streamd.errors import PlaybackRefusedError
from streamd.formats.address import source_of
from streamd.services.keys.guessing import Budgets
from streamd.services.playback.claims import Audience, allows_host, read_claims
from streamd.services.playback.key_ring import KeyRing
from streamd.services.playback.policy import Policies, Policy
from streamd.services.playback.presence import Presence
from streamd.services.playback.refusal import Refusal
from streamd.services.playback.revocations import Revocations
from streamd.services.playback.ticket import (
    DIGEST_BYTES,
    NO_DIGEST,
    Ticket,
    TicketOffice,
    digest,
    key_digest,
    new_session,
)
from streamd.services.playback.token import check_signature, read_token
from streamd.services.playback.view_blocks import ViewBlock, ViewBlocks
from streamd.services.playback.viewing import Viewings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamd.clock import Clock
    from streamd.services.playback.claims import Claims
    from streamd.services.playback.countries import Countries
    from streamd.services.playback.token import ShownToken
    from streamd.services.playback.viewing import Viewing

log = logging.getLogger(__name__)

# Wrong tokens and passwords of one address, in a row and in each minute after them: a player that tries again does so
# every few seconds, and a school behind one address has a few with an old link.
FAILURES_PER_SOURCE_MAX: Final = 60
# Who floods us with wrong tokens must not fill the log: one line for all of a second.
LINE_INTERVAL_S: Final = 1.0
# In place of a channel's name: all of them.
EVERY_CHANNEL: Final = ""
# A player that is sent from the past of a channel to a file of its recording asks for that at once; a slow one takes it
# for a while. Its channel may be withdrawn, by which a recording is not ended.
LENT_S: Final = 60
PASSWORD_KEY: Final = "password"  # noqa: S105  # the id of a key that is none
HOOK_KEY: Final = "hook"
# Words of channels and recordings that were asked for lately: 150 bytes each, and 2 µs to make one anew.
WORDS_MAX: Final = 4096


# The beginning of what a browser sends: no user, no password.
_SITE = re.compile(r"https?://([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?(?:[/?#]|$)")


@dataclass(frozen=True, slots=True)
class GateOptions:
    """What of ``[playback]`` the gate goes by."""

    policy: Policy = Policy.PUBLIC
    issuer: str = ""
    audience: str = ""
    leeway_s: int = 5
    ticket_s: int = 43_200
    referrers: tuple[str, ...] = ()
    viewers_per_session: int = 1
    blocked_countries: frozenset[str] = frozenset()
    blocked_by: str = ""
    unknown_country: str = "allow"


class Visitor(NamedTuple):
    """Who asks, as far as a request tells."""

    address: str
    """IP address of the viewer, not of a proxy that is believed."""
    referrer: str = ""
    """``Origin`` or ``Referer``; empty for none."""
    user_agent: str = ""


_PASSWORD_DIGEST: Final = key_digest(PASSWORD_KEY)
_HOOK_DIGEST: Final = key_digest(HOOK_KEY)


class PlaybackGate:
    """Lets viewers in.

    Args:
        clock: For all times.
        options: What of the configuration it goes by.
        countries: Tells the country of an address.
        count: Told the word of each refusal, for metrics.

    Attributes:
        policies: Which channels are locked, and how.
        keys: The keys of tokens.
        revocations: What was withdrawn.
        viewings: The tickets in use.
        view_blocks: What is kept from viewers in some countries or networks.
        is_open: Nothing is locked, and nothing blocked.
    """

    def __init__(
        self,
        clock: Clock,
        options: GateOptions,
        countries: Countries,
        count: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._clock = clock
        self.options = options
        self._countries = countries
        self._count = count
        self.policies = Policies(options.policy)
        self.keys = KeyRing()
        self.revocations = Revocations()
        self.viewings = Viewings(clock.monotonic)
        self._presence = Presence()
        self._office = TicketOffice(bytes(32))
        self._failures = Budgets(FAILURES_PER_SOURCE_MAX)
        self._words: dict[str, tuple[object, int, str]] = {}
        self._untold: Counter[str] = Counter()
        self._told_at = float("-inf")
        self.on_unknown_key: Callable[[], None] = lambda: None
        """Called where a token names a key that is not known: an issuer may have a new one."""
        self._on_locked: list[Callable[[str], None]] = []
        self._on_blocked: list[Callable[[str], None]] = []
        self.view_blocks = ViewBlocks(countries.of, lambda: self.options.unknown_country != "allow")
        self.is_open = True
        self._look_whether_open()

    # -- what it goes by --------------------------------------------------------------------

    def set_secret(self, secret: bytes) -> None:
        """Take the secret of tickets, which processes on one database share."""
        self._office = TicketOffice(secret)
        self._words.clear()

    def secret_of(self, purpose: str) -> bytes:
        """A secret that processes on one database share."""
        return self._office.secret_of(purpose)

    def configure(self, options: GateOptions) -> None:
        """Take other options; tickets that were given out keep their time."""
        self.options = options
        before, self.policies.default = self.policies.default, options.policy
        self._look_whether_open()
        if before is not options.policy:
            self._end_uncounted(None)
            self._tell_locked(EVERY_CHANNEL)

    def on_locked(self, tell: Callable[[str], None]) -> None:
        """Have a door told the name of each channel that gets another policy; empty for all of them.

        What viewers of an open channel follow has no ticket by which it could be cut.
        """
        self._on_locked.append(tell)

    def policies_changed(self, names: set[str]) -> None:
        """Take note that channels or recordings have other policies or passwords than a moment ago."""
        self._look_whether_open()
        if names:
            self._end_uncounted(names)
        for name in names:
            self._tell_locked(name)

    def _look_whether_open(self) -> None:
        self.is_open = not self.policies.locks_any and not len(self.view_blocks)

    # -- what is kept from some --------------------------------------------------------------

    def on_blocked(self, tell: Callable[[str], None]) -> None:
        """Have a door told the name of what was blocked for some viewers; empty for all that there is."""
        self._on_blocked.append(tell)

    def block(self, block: ViewBlock, act: str, *, tells: bool = True) -> None:
        """Keep something from viewers; who follows it there is cut when this returns.

        Args:
            block: What, and from whom.
            act: What is to be named to undo it.
            tells: The doors look at once; without, ``tell_blocked`` has them look, after many of these.
        """
        self.view_blocks.add(block, act)
        self._look_whether_open()
        if tells:
            self.tell_blocked(block.subject)

    def tell_blocked(self, subject: str) -> None:
        """Have the doors cut who follows what is kept from them; empty for all that there is."""
        for tell in self._on_blocked:
            tell(subject)

    def unblock(self, block: ViewBlock, act: str) -> None:
        """An act keeps something from viewers no more."""
        self.view_blocks.remove(block, act)
        self._look_whether_open()

    def is_blocked(self, address: str, subject: str, owner: str = "", part: str = "") -> bool:
        """Whether something may not be shown to an address, whoever they are.

        Args:
            address: IP address of the viewer.
            subject: The channel or recording.
            owner: The channel that a recording is of.
            part: The clip of a recording that is asked for.
        """
        if self.is_open or not len(self.view_blocks):
            return False
        return self.view_blocks.blocks(filter(None, (subject, owner, part)), address)

    def check_blocked(self, address: str, subject: str, owner: str = "", part: str = "") -> None:
        """See that something may be shown to an address.

        Raises:
            PlaybackRefusedError: It may not.
        """
        if self.is_blocked(address, subject, owner, part):
            raise self.refused(Refusal.BLOCKED)

    def _blocked_error(self) -> PlaybackRefusedError:
        by = self.options.blocked_by
        return Refusal.BLOCKED.error(f'<{by}>; rel="blocked-by"' if by else "")

    def _end_uncounted(self, names: set[str] | None) -> None:
        """End what goes on of channels or recordings by what does not count there any more; None stands for all."""
        for viewing in self.viewings.all():
            subject, owner = viewing.subject, viewing.owner
            if viewing.refusal is not None or (names is not None and subject not in names and owner not in names):
                continue
            if not self._counts(viewing.ticket, subject, owner):
                viewing.end(Refusal.REVOKED)

    def _tell_locked(self, name: str) -> None:
        for tell in self._on_locked:
            tell(name)

    # -- entering with a ticket -------------------------------------------------------------

    def is_locked(self, subject: str, owner: str = "") -> bool:
        """Whether somebody has to show something to watch a channel or recording."""
        return not self.is_open and self.policies.of(subject, owner) is not Policy.PUBLIC

    def enter(
        self,
        subject: str,
        text: str,
        wanted: int,
        visitor_address: str,
        user_agent: str = "",
        *,
        watches: bool,
        owner: str = "",
    ) -> Viewing:
        """Let a viewer in by their ticket.

        Args:
            subject: The channel or recording.
            text: The ticket.
            wanted: What is asked for, an ``Audience`` or the number of one.
            visitor_address: IP address of the viewer.
            user_agent: What their player calls itself.
            watches: The request shows that they watch: for a playlist or a stream, not for media of which a cache may
                answer any.
            owner: The channel that a recording is of.

        Raises:
            PlaybackRefusedError: The ticket is not good here, or not any more.
        """
        now = self._clock.monotonic()
        viewing = self.viewings.find((subject, text)) or self._read(subject, text, now, owner)
        if viewing.refusal is not None:
            raise self.refused(viewing.refusal)
        if viewing.expires_at <= now:
            raise self.refused(Refusal.EXPIRED)
        ticket = viewing.ticket
        if not viewing.audience & wanted:
            raise self.refused(Refusal.AUDIENCE)
        if ticket.networks and not _is_within(visitor_address, ticket.networks):
            raise self.refused(Refusal.NETWORK)
        if watches:
            sharers_max = self.options.viewers_per_session
            if viewing.is_shared(source_of(visitor_address), user_agent, sharers_max, now):
                raise self.refused(Refusal.TOO_MANY)
            if ticket.viewers_max and not self._presence.note(_who(ticket), ticket.session, ticket.viewers_max, now):
                raise self.refused(Refusal.TOO_MANY)
        return viewing

    def lend(self, viewing: Viewing, recording: str) -> str:
        """A ticket for the recording of the channel that a viewing is of, for as long as a player needs for one file.

        Args:
            viewing: Of the channel.
            recording: The id of a recording for which nothing else is decided than for its channel.
        """
        until = int(self._clock.now().timestamp() + LENT_S)
        ticket = replace(viewing.ticket, expires_at=min(viewing.ticket.expires_at, until))
        return self._office.write(ticket, recording)

    def left_s(self, viewing: Viewing) -> float:
        """For how long a viewing is good, seconds."""
        return viewing.ticket.expires_at - self._clock.now().timestamp()

    def follow(self, viewing: Viewing) -> None:
        """A viewer follows a stream, and asks for nothing meanwhile."""
        if viewing.ticket.viewers_max:
            self._presence.hold(_who(viewing.ticket), viewing.ticket.session)

    def unfollow(self, viewing: Viewing) -> None:
        """A viewer follows it no more."""
        if viewing.ticket.viewers_max:
            self._presence.end(_who(viewing.ticket), viewing.ticket.session)

    def _read(self, subject: str, text: str, now: float, owner: str) -> Viewing:
        ticket = self._office.read(text, subject)
        if ticket is None:
            raise self.refused(Refusal.TICKET)
        left_s = ticket.expires_at - self._clock.now().timestamp()
        if left_s <= 0:
            raise self.refused(Refusal.EXPIRED)
        if self.revocations.ends(ticket, subject) or not self._counts(ticket, subject, owner):
            raise self.refused(Refusal.REVOKED)
        return self.viewings.add(subject, ticket, text, now + left_s, owner)

    # -- entering with a token --------------------------------------------------------------

    def admit(self, subject: str, token: str, wanted: Audience, visitor: Visitor) -> Viewing:
        """Let a viewer in by a token, and give them a ticket.

        Args:
            subject: The channel or recording.
            token: As it was sent; empty for none.
            wanted: What is asked for.
            visitor: Who asks.

        Raises:
            PlaybackRefusedError: They may not watch it; ``Refusal`` has the reasons.
        """
        source = source_of(visitor.address)
        if not token:
            password = self.policies.of(subject) is Policy.PASSWORD
            raise self.refused(Refusal.PASSWORD if password else Refusal.NO_TOKEN)
        self.check_failures(source)
        try:
            shown = read_token(token)
            claims = self._checked(shown)
            if claims.subject != subject:
                raise Refusal.SUBJECT.error()
            if not claims.audience & wanted:
                raise Refusal.AUDIENCE.error()
            self._check_place(claims, visitor)
        except PlaybackRefusedError as exc:
            self.note_failure(source)
            raise self.noted(exc) from None
        return self._issue(shown.kid, claims, digest("jti", claims.jti) if claims.jti else _digest_of(shown), subject)

    def admit_by(
        self,
        key: str,
        subject: str,
        visitor: Visitor,
        *,
        owner: str = "",
        password_hash: str = "",
        viewers_max: int = 0,
        ttl_s: float | None = None,
    ) -> Viewing:
        """Let a viewer in on another's word: a password, or the operator's hook.

        Args:
            key: Whose word; ``PASSWORD_KEY`` or ``HOOK_KEY``.
            subject: The channel or recording.
            visitor: Who asks.
            owner: The channel that a recording is of.
            password_hash: Of the password that was typed.
            viewers_max: How many may watch on it at once; 0: no bound.
            ttl_s: For how long, seconds; None: as long as a ticket is good.

        Raises:
            PlaybackRefusedError: They may not watch it here, whoever says so; or that word does not count there any
                more.
        """
        now = self._clock.now().timestamp()
        lasts_s = min(ttl_s if ttl_s is not None else self.options.ticket_s, self.options.ticket_s)
        claims_audience = Audience.VIDEO | Audience.THUMBNAIL | Audience.STORYBOARD
        self.check_place(visitor)
        ticket = Ticket(
            key=key_digest(key),
            expires_at=int(now + max(lasts_s, 1)),
            issued_at=int(now),
            session=(session := new_session()),
            token=digest("password", password_hash) if password_hash else session.ljust(DIGEST_BYTES, b"\0"),
            audience=claims_audience,
            viewers_max=viewers_max,
        )
        if not self._counts(ticket, subject, owner):
            # It was asked for, or typed, while the policy or the password became another.
            raise self.refused(Refusal.REVOKED)
        return self._begin(ticket, subject, owner)

    def check_place(self, visitor: Visitor) -> None:
        """See that a viewer is neither in a country nor on a site where nothing is shown.

        Raises:
            PlaybackRefusedError: They are.
        """
        try:
            self._check_place(None, visitor)
        except PlaybackRefusedError as exc:
            raise self.noted(exc) from None

    def check_failures(self, source: str) -> None:
        """See that not too many wrong tokens and passwords came from an address.

        Raises:
            PlaybackRefusedError: Too many did.
        """
        if not self._failures.has_token(source, self._clock.monotonic()):
            raise self.refused(Refusal.TOO_OFTEN)

    def note_failure(self, source: str) -> None:
        """Count a wrong token or password of an address."""
        self._failures.spend(source, self._clock.monotonic())

    def refused(self, refusal: Refusal) -> PlaybackRefusedError:
        """The error of a refusal, counted."""
        return self.noted(self._blocked_error() if refusal is Refusal.BLOCKED else refusal.error())

    def _checked(self, shown: ShownToken) -> Claims:
        """The claims of a token, once all is checked that the token says of itself."""
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
        return claims

    def _check_place(self, claims: Claims | None, visitor: Visitor) -> None:
        options = self.options
        country = None
        if options.blocked_countries or (claims is not None and claims.countries):
            country = self._countries.of(visitor.address)
        if country is not None:
            is_unknown = not country and options.unknown_country != "allow"
            if options.blocked_countries and (is_unknown or country in options.blocked_countries):
                raise self._blocked_error()
            if claims is not None and claims.countries and country not in claims.countries and (country or is_unknown):
                raise Refusal.COUNTRY.error()
        if claims is not None and claims.networks and not _is_within(visitor.address, claims.networks):
            raise Refusal.NETWORK.error()
        host = _host_of(visitor.referrer)
        for allowed in (options.referrers, claims.referrers if claims is not None else ()):
            # Players that are no pages, and pages that hide where they are, say nothing; a page cannot pretend to be
            # another one.
            if allowed and host is not None and not allows_host(allowed, host):
                raise Refusal.REFERRER.error()

    def _issue(self, kid: str, claims: Claims, token: bytes, subject: str) -> Viewing:
        now = self._clock.now().timestamp()
        # Within its leeway a token is good a little longer than it says.
        until = claims.expires_at if claims.expires_at > now else claims.expires_at + self.options.leeway_s
        ticket = Ticket(
            key=key_digest(kid),
            expires_at=max(int(min(until, now + self.options.ticket_s)), 1),
            issued_at=int(now),
            session=new_session(),
            token=token,
            viewer=digest("uid", claims.uid) if claims.uid else NO_DIGEST,
            audience=claims.audience,
            viewers_max=claims.viewers_max,
            networks=claims.networks,
            may_go_back=claims.may_go_back,
        )
        # What was withdrawn is asked by when the token was issued: a ticket from it would be younger.
        withdrawn = Ticket(
            key=ticket.key,
            expires_at=ticket.expires_at,
            issued_at=int(claims.issued_at),
            session=ticket.session,
            token=token,
            viewer=ticket.viewer,
        )
        if self.revocations.ends(withdrawn, subject):
            raise self.refused(Refusal.REVOKED)
        return self._begin(ticket, subject)

    def _counts(self, ticket: Ticket, subject: str, owner: str) -> bool:
        """Whether what a ticket was given out on is what counts for a channel or recording now.

        A password does not count where there is another, or none; a service's word, where it is not asked; a key of
        tokens, where the service judges them.
        """
        policy = self.policies.of(subject, owner)
        if policy is Policy.PUBLIC:
            return True
        if ticket.key == _PASSWORD_DIGEST:
            known = self.policies.password_hash(subject, owner)
            return policy is Policy.PASSWORD and ticket.token == digest("password", known)
        return (ticket.key == _HOOK_DIGEST) is (policy is Policy.HOOK)

    def _begin(self, ticket: Ticket, subject: str, owner: str = "") -> Viewing:
        now = self._clock.monotonic()
        if ticket.viewers_max and not self._presence.note(_who(ticket), ticket.session, ticket.viewers_max, now):
            raise self.refused(Refusal.TOO_MANY)
        left_s = ticket.expires_at - self._clock.now().timestamp()
        return self.viewings.add(subject, ticket, self._office.write(ticket, subject), now + left_s, owner)

    # -- what becomes of viewings -----------------------------------------------------------

    def end_withdrawn(self) -> int:
        """End what is withdrawn by now, before it returns; return how many viewings that were."""
        count = 0
        for viewing in self.viewings.all():
            if viewing.refusal is None and self.revocations.ends(viewing.ticket, viewing.subject):
                viewing.end(Refusal.REVOKED)
                count += 1
        return count

    def word(self, subject: str, epoch: object) -> str:
        """The word in the names of a locked channel's media.

        Args:
            subject: The channel or recording.
            epoch: Its broadcast: another one has another word, and so has what was withdrawn.
        """
        withdrawn_at = self.revocations.channel_epoch(subject)
        known = self._words.get(subject)
        if known is not None and known[0] == epoch and known[1] == withdrawn_at:
            return known[2]
        while len(self._words) >= WORDS_MAX:
            del self._words[next(iter(self._words))]
        word = self._office.word(subject, f"{epoch} {withdrawn_at}")
        self._words[subject] = epoch, withdrawn_at, word
        return word

    # -- metrics and the log ----------------------------------------------------------------

    def noted(self, error: PlaybackRefusedError) -> PlaybackRefusedError:
        """Count a refusal, and have the log tell of it."""
        self._count(error.reason)
        self._untold[error.reason] += 1
        self.tell()
        return error

    def tell(self) -> None:
        """Say in the log what was refused since the last line, at most one line a second; called once a second."""
        now = self._clock.monotonic()
        if self._untold and now - self._told_at >= LINE_INTERVAL_S:
            self._told_at = now
            log.info("playback.refused", extra={"refused": dict(self._untold)})
            self._untold.clear()


def _who(ticket: Ticket) -> bytes:
    """Whose viewings are counted together: the viewer's, or else those of the token."""
    return ticket.viewer if ticket.viewer != NO_DIGEST else ticket.token


def _digest_of(shown: ShownToken) -> bytes:
    """The digest of a token without an id, which cannot be withdrawn by one."""
    return hashlib.blake2b(shown.signature.encode(), digest_size=DIGEST_BYTES, person=b"token").digest()


def _is_within(address: str, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)


def _host_of(referrer: str) -> str | None:
    """The host that a Referer or Origin names; None where there is none, empty where it cannot be read.

    RFC 6454 7.1: a browser sends ``null`` for an origin that it does not tell, as of a frame in a sandbox.
    """
    if not referrer:
        return None
    found = _SITE.match(referrer)
    return "" if found is None else found[1].lower()
