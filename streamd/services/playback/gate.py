"""The gate: may this viewer watch this, and until when? Every door asks here, and none decides.

A viewer shows a token once (``admit``) and has a ticket from then on (``enter``), which costs one look-up in a
dictionary. Where nothing is locked (``is_open``), nothing is asked at all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from streamd.errors import PlaybackRefusedError
from streamd.formats.address import source_of
from streamd.services.keys.guessing import Budgets
from streamd.services.playback.claims import Audience
from streamd.services.playback.grounds import Grounds
from streamd.services.playback.media_words import MediaWords
from streamd.services.playback.place import Places, is_within
from streamd.services.playback.policy import Policies, Policy
from streamd.services.playback.presence import Presence
from streamd.services.playback.refusal import Refusal
from streamd.services.playback.refusal_log import RefusalLog
from streamd.services.playback.revocations import Revocations
from streamd.services.playback.ticket import Ticket, TicketOffice, digest, key_digest, new_session, session_of
from streamd.services.playback.token_check import TokenCheck
from streamd.services.playback.view_blocks import ViewBlock, ViewBlocks
from streamd.services.playback.viewing import Viewings

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.clock import Clock
    from streamd.services.playback.claims import Claims
    from streamd.services.playback.countries import Countries
    from streamd.services.playback.gate_options import GateOptions
    from streamd.services.playback.viewing import Viewing
    from streamd.services.playback.visitor import Visitor

# Wrong tokens and passwords of one address, in a row and in each minute after them: a player that tries again does so
# every few seconds, and a school behind one address has a few with an old link.
FAILURES_PER_SOURCE_MAX: Final = 60
# In place of a channel's name: all of them.
EVERY_CHANNEL: Final = ""
# A player that is sent from the past of a channel to a file of its recording asks for that at once; a slow one takes it
# for a while.
LENT_S: Final = 60
_WATCHING: Final = Audience.VIDEO | Audience.THUMBNAIL | Audience.STORYBOARD


class PlaybackGate:
    """Lets viewers in.

    Args:
        clock: For all times.
        options: The settings that it goes by.
        countries: Tells the country of an address.
        count: Told the word of each refusal, for metrics.

    Attributes:
        options: As given, or those of the last ``configure``.
        policies: The channels that are locked, and how.
        revocations: The tokens, viewers, keys and channels that were withdrawn.
        tokens: Says what a token opens.
        keys: The keys of tokens.
        words: The words in the names of locked channels' media.
        viewings: The tickets in use.
        view_blocks: The channels and recordings that are kept from viewers in some countries or networks.
        is_blocking: Something is kept from some viewers, whatever they show.
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
        self.policies = Policies(options.policy)
        self.revocations = Revocations()
        self._grounds = Grounds(self.policies, self.revocations)
        self._places = Places(options, countries)
        self.tokens = TokenCheck(clock, options)
        self.keys = self.tokens.keys
        self.viewings = Viewings(clock.monotonic)
        self._presence = Presence()
        self._failures = Budgets(FAILURES_PER_SOURCE_MAX)
        self._refusals = RefusalLog(clock, count)
        self._on_locked: list[Callable[[str], None]] = []
        self._on_blocked: list[Callable[[str], None]] = []
        self.view_blocks = ViewBlocks(countries.of, lambda: self.options.unknown_country != "allow")
        self.is_blocking = False
        self.is_open = True
        self._look_whether_open()
        self.set_secret(bytes(32))

    # -- what it goes by --------------------------------------------------------------------

    def set_secret(self, secret: bytes) -> None:
        """Take the secret of tickets, which processes on one database share."""
        self._office = TicketOffice(secret)
        self.words = MediaWords(self._office, self.policies, self.revocations)

    def secret_of(self, purpose: str) -> bytes:
        """A secret that processes on one database share."""
        return self._office.secret_of(purpose)

    def configure(self, options: GateOptions) -> None:
        """Take other options; tickets that were given out keep their time."""
        self.options = self._places.options = self.tokens.options = options
        before, self.policies.default = self.policies.default, options.policy
        self._look_whether_open()
        if before is not options.policy:
            self.policies_changed(None)

    def on_locked(self, tell: Callable[[str], None]) -> None:
        """Have a door told the name of each channel that gets another policy; empty for all of them.

        Answers to viewers of an open channel have no ticket by which they could be cut.
        """
        self._on_locked.append(tell)

    def policies_changed(self, names: set[str] | None) -> None:
        """Take note that channels or recordings have other policies or passwords than a moment ago; None: all have.

        Answers that go on by grounds that do not count there any more are ended.
        """
        self._look_whether_open()
        for viewing in self.viewings.all():
            subject, owner = viewing.subject, viewing.owner
            if names is not None and subject not in names and owner not in names:
                continue
            if viewing.refusal is None and not self._grounds.count(viewing.ticket, subject, owner):
                viewing.end(Refusal.REVOKED)
        for name in (EVERY_CHANNEL,) if names is None else names:
            for tell in self._on_locked:
                tell(name)

    def _look_whether_open(self) -> None:
        self.is_blocking = len(self.view_blocks) > 0
        self.is_open = not self.policies.locks_any and not self.is_blocking

    # -- what is kept from some --------------------------------------------------------------

    def on_blocked(self, tell: Callable[[str], None]) -> None:
        """Have a door told the name of what was blocked for some viewers; empty for all that there is."""
        self._on_blocked.append(tell)

    def block(self, block: ViewBlock, act: str, *, tells: bool = True) -> None:
        """Keep something from viewers; a viewer who follows it there is cut when this returns.

        Args:
            block: The thing that is kept, and the viewers that it is kept from.
            act: The name under which it is undone.
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

    def end_withdrawn(self) -> int:
        """End what is withdrawn by now, before it returns; return how many viewings that were."""
        count = 0
        for viewing in self.viewings.all():
            if viewing.refusal is None and self.revocations.ends(viewing.ticket, viewing.subject, viewing.owner):
                viewing.end(Refusal.REVOKED)
                count += 1
        return count

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
            wanted: The kind of media that is asked for, an ``Audience`` or the number of one.
            visitor_address: IP address of the viewer.
            user_agent: The name that their player gives itself.
            watches: The request shows that they watch: for a playlist or a stream, not for media of which a cache may
                answer any.
            owner: The channel that a recording is of.

        Raises:
            PlaybackRefusedError: The ticket is not good here, or not any more.
        """
        viewing = self.viewings.find((subject, text)) or self._read(subject, text, owner)
        now = self.viewings.now()
        if viewing.refusal is not None:
            raise self.refused(viewing.refusal)
        if viewing.expires_at <= now:
            raise self.refused(Refusal.EXPIRED)
        ticket = viewing.ticket
        if not viewing.audience & wanted:
            raise self.refused(Refusal.AUDIENCE)
        if ticket.networks and not is_within(visitor_address, ticket.networks):
            raise self.refused(Refusal.NETWORK)
        if watches:
            sharers_max = self.options.viewers_per_session
            if viewing.is_shared(source_of(visitor_address), user_agent, sharers_max, now):
                raise self.refused(Refusal.TOO_MANY)
            if not self._presence.note(ticket, now):
                raise self.refused(Refusal.TOO_MANY)
        return viewing

    def lend(self, viewing: Viewing, recording: str) -> str:
        """A ticket for the recording of the channel that a viewing is of, for as long as a player needs for one file.

        Args:
            viewing: The viewing of the channel.
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
        self._presence.hold(viewing.ticket)

    def unfollow(self, viewing: Viewing) -> None:
        """A viewer follows it no more."""
        self._presence.end(viewing.ticket)

    def _read(self, subject: str, text: str, owner: str) -> Viewing:
        ticket = self._office.read(text, subject)
        if ticket is None:
            raise self.refused(Refusal.TICKET)
        left_s = ticket.expires_at - self._clock.now().timestamp()
        if left_s <= 0:
            raise self.refused(Refusal.EXPIRED)
        if not self._grounds.hold(ticket, subject, owner):
            raise self.refused(Refusal.REVOKED)
        return self.viewings.add(subject, ticket, text, self._clock.monotonic() + left_s, owner)

    # -- entering with a token, or on another's word ----------------------------------------

    def admit(
        self,
        subject: str,
        token: str,
        wanted: Audience,
        visitor: Visitor,
        *,
        owner: str = "",
        is_piece: bool = False,
    ) -> Viewing:
        """Let a viewer in by a token, and give them a ticket.

        Args:
            subject: The channel or recording.
            token: As it was sent; empty for none.
            wanted: The kind of media that is asked for; pictures are seen by nobody who counts as watching.
            visitor: The viewer who asks.
            owner: The channel that a recording is of.
            is_piece: It is for a piece of a file, as a player asks for many with the same token: they are one viewing.

        Raises:
            PlaybackRefusedError: They may not watch it; ``Refusal`` has the reasons.
        """
        source = source_of(visitor.address)
        if not token:
            asks_password = self.policies.of(subject, owner) is Policy.PASSWORD
            raise self.refused(Refusal.PASSWORD if asks_password else Refusal.NO_TOKEN)
        self.check_failures(source)
        try:
            checked = self.tokens.check(token, subject, wanted)
            self._check_place(checked.claims, visitor)
        except PlaybackRefusedError as exc:
            self.note_failure(source)
            raise self.noted(exc) from None
        session = session_of(token, source, visitor.user_agent) if is_piece else new_session()
        ticket = self.tokens.ticket(checked, session)
        # Withdrawals are compared with the time when the token was issued: a ticket from it would be younger.
        if self.revocations.ends(ticket, subject, owner, issued_at=int(checked.claims.issued_at)):
            raise self.refused(Refusal.REVOKED)
        return self._begin(ticket, subject, owner, counts=wanted is Audience.VIDEO)

    def admit_by(
        self,
        key: str,
        subject: str,
        visitor: Visitor,
        *,
        owner: str = "",
        password_hash: str = "",
        shown: str = "",
        viewers_max: int = 0,
        ttl_s: float | None = None,
        is_piece: bool = False,
        counts: bool = True,
    ) -> Viewing:
        """Let a viewer in on another's word: a password, or the operator's hook.

        Args:
            key: Names whose word it is; ``PASSWORD_KEY`` or ``HOOK_KEY`` of the grounds.
            subject: The channel or recording.
            visitor: The viewer who asks.
            owner: The channel that a recording is of.
            password_hash: The hash of the password that was typed.
            shown: The facts of the viewer that the hook was shown: its word holds where they are the same.
            viewers_max: The most of them that may watch at once; 0: no bound.
            ttl_s: Seconds that it holds; None: as long as a ticket is good.
            is_piece: As of ``admit``.
            counts: They are about to watch; not where they ask for a picture.

        Raises:
            PlaybackRefusedError: They may not watch it here, whoever says so; or that word does not count there any
                more.
        """
        now = self._clock.now().timestamp()
        lasts_s = min(ttl_s if ttl_s is not None else self.options.ticket_s, self.options.ticket_s)
        self.check_place(visitor)
        source = source_of(visitor.address)
        ticket = Ticket(
            key=key_digest(key),
            expires_at=int(now + max(lasts_s, 1)),
            issued_at=int(now),
            session=session_of(shown, source, visitor.user_agent) if is_piece else new_session(),
            token=digest("password", password_hash) if password_hash else digest("shown", shown or f"from {source}"),
            audience=_WATCHING,
            viewers_max=viewers_max,
        )
        if not self._grounds.count(ticket, subject, owner):
            # It was asked for, or typed, while the policy or the password became another.
            raise self.refused(Refusal.REVOKED)
        return self._begin(ticket, subject, owner, counts=counts)

    def check_place(self, visitor: Visitor) -> None:
        """See that a viewer is neither in a country nor on a site where nothing is shown.

        Raises:
            PlaybackRefusedError: They are.
        """
        try:
            self._check_place(None, visitor)
        except PlaybackRefusedError as exc:
            raise self.noted(exc) from None

    def _check_place(self, claims: Claims | None, visitor: Visitor) -> None:
        """See that nothing forbids it where a viewer is: all that does is asked here."""
        self._places.check(claims, visitor)

    def _begin(self, ticket: Ticket, subject: str, owner: str, *, counts: bool) -> Viewing:
        now = self._clock.monotonic()
        if counts and not self._presence.note(ticket, now):
            raise self.refused(Refusal.TOO_MANY)
        text = self._office.write(ticket, subject)
        known = self.viewings.find((subject, text))
        if known is not None and known.refusal is None:
            # Another piece of the same second: what is under way by that has to be found by whoever withdraws it.
            return known
        left_s = ticket.expires_at - self._clock.now().timestamp()
        return self.viewings.add(subject, ticket, text, now + left_s, owner)

    # -- refusals ---------------------------------------------------------------------------

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
        return self.noted(self._places.blocked_error() if refusal is Refusal.BLOCKED else refusal.error())

    def noted(self, error: PlaybackRefusedError) -> PlaybackRefusedError:
        """Count a refusal, and have the log tell of it."""
        return self._refusals.noted(error)

    def tell(self) -> None:
        """Say in the log what was refused since the last line; called once a second."""
        self._refusals.tell()
