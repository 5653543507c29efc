"""The directory over a key-value store: nodes with leases, and channels with epochs.

The lease is the node's, and not the channel's: a node renews one entry however many streams it has. Three rules make at
most one node the owner of a channel:

- A channel changes hands by a write that replaces the very revision that was read; of two that come in the same moment
  one finds another entry there.
- A node whose lease has run out is *fenced* before anything of it is taken: its entry is removed at the revision that
  was heard last. So it was not renewed since, and its own count of the lease, from when it asked, is over.
- A node that was fenced, or that renews after its lease has run out, is sure of a channel only when it has written the
  channel's entry once more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from streamd.clock import EPOCH_2020
from streamd.errors import AlreadyPublishingError, ClusterUnavailableError, ConflictError, NameUnknownError
from streamd.services.cluster.entries import NodeEntry, StreamEntry, Tenure, decode_node, decode_stream, encode
from streamd.services.live.channel_numbers import RESERVE_LEFT_S_MIN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from streamd.clock import Clock
    from streamd.services.cluster.key_value import Kept, KeyValue
    from streamd.services.cluster.permit import Permit
    from streamd.services.live.restart_record import StreamRecord

log = logging.getLogger(__name__)

# Tries of one claim that find another entry each time: the channel changes hands faster than anybody publishes.
CLAIMS_MAX = 5
# A publisher that was cut off by its node comes to another before the lease has run out: it waits so long beyond that,
# seconds, for what is on the way.
CLAIM_SLACK_S = 1.0
CLAIM_POLL_S = 0.25
# Of a lease: after so much without a word of its own, a node takes itself for deaf and nobody for gone.
ECHO_SHARE = 2 / 3
# Numbers that are written as used beyond those that are, and how many of them are left when more are.
NUMBERS_AHEAD_S = RESERVE_LEFT_S_MIN
NUMBERS_LEFT_S = NUMBERS_AHEAD_S // 2
# Processes that are remembered as gone: a cluster that is replaced node by node a hundred times.
GONE_MAX = 1024


class _Heard(NamedTuple):
    """A node as it was heard last."""

    entry: NodeEntry
    revision: int
    at: float
    """Loop time."""


class _Gone(NamedTuple):
    """A node that is heard no more."""

    at: float
    """Loop time when it was found gone."""
    revision: int
    """Of its entry, as it was heard last."""


class _Known(NamedTuple):
    """A channel as it was heard last."""

    entry: StreamEntry
    revision: int

    @property
    def age(self) -> tuple[int, bool, int]:
        """Grows with each change: a revision alone does not, where the store was made anew."""
        return self.entry.epoch, self.entry.tenure is not Tenure.LIVE, self.revision


@dataclass(frozen=True, slots=True)
class StreamNote:
    """What an owner tells of its stream."""

    record: StreamRecord | None
    """Its playlists; None before there are any."""
    used_until_s: int
    """No number from here on is used (``Numbering.at``)."""
    codecs: tuple[str, ...] = ()


class _Owned:
    """A channel of this node."""

    def __init__(self, entry: StreamEntry, revision: int, left: StreamRecord | None) -> None:
        self.entry = entry
        self.revision = revision
        self.left = left
        self.floor_s = entry.numbers_until_s
        self.holders = 0
        self.is_sure = True
        self.is_lost = False
        self.wanted: StreamEntry | None = None
        self.is_writing = False


class KvLease:
    """A channel that is this node's (``Lease``). Several publishes may hold it, and the last gives it back.

    Args:
        owned: The channel.
        give_back: Called once, when it is released.
    """

    def __init__(self, owned: _Owned, give_back: Callable[[_Owned], None]) -> None:
        self.name = owned.entry.name
        self.epoch = owned.entry.epoch
        self.left = owned.left
        self.numbers_until_s = owned.floor_s
        self._owned: _Owned | None = owned
        self._give_back = give_back

    def release(self) -> None:
        """Give the channel back; again is the same as once."""
        owned, self._owned = self._owned, None
        if owned is not None:
            self._give_back(owned)


class KvDirectory:
    """The directory of one node.

    Args:
        me: What this node says of itself.
        nodes: The bucket of nodes.
        streams: The bucket of channels.
        clock: Loop time for leases, wall time for people.
        permit: Told of renewals.
        lease_s: For how long a node is believed to be alive, seconds.
        reconnect_window_s: For how long a stream waits for its publisher.
        ask_to_yield: Asks the owner to give a channel to a key; True where it has, False where its publisher sends,
            None where it does not answer.
        sleep: How a claim waits; tests pass their own.

    Attributes:
        me: What this node says of itself with the next renewal.
        on_lost: Called with the name of a channel that another node has taken from this one.
    """

    def __init__(
        self,
        me: NodeEntry,
        *,
        nodes: KeyValue,
        streams: KeyValue,
        clock: Clock,
        permit: Permit,
        lease_s: float,
        reconnect_window_s: float,
        ask_to_yield: Callable[[NodeEntry, str, str], Awaitable[bool | None]],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.me = me
        self.on_lost: Callable[[str], None] = lambda _: None
        self._nodes = nodes
        self._streams = streams
        self._clock = clock
        self._permit = permit
        self._lease_s = lease_s
        self._reconnect_window_s = reconnect_window_s
        self._ask_to_yield = ask_to_yield
        self._sleep = sleep
        self._heard: dict[str, _Heard] = {}
        # Processes that were found gone, by their sessions.
        self._gone: dict[str, _Gone] = {}
        self._known: dict[str, _Known] = {}
        self._owned: dict[str, _Owned] = {}
        # Given back, and not written yet.
        self._dropped: set[_Owned] = set()
        self._writes: set[asyncio.Task[None]] = set()
        self._watchers: list[Callable[[str], None]] = []
        self._my_revision = 0
        self._echo_at = float("-inf")
        self._listening_since = float("inf")

    # -- hearing --------------------------------------------------------------------------------

    def listen(self) -> None:
        """Hear changes from now on."""
        self._nodes.watch(self._note_node)
        self._streams.watch(self._note_stream)
        self.note_deaf()

    def note_deaf(self) -> None:
        """Note that changes may have been missed: nobody is found gone for as long as a lease lasts."""
        self._listening_since = self._clock.monotonic()

    async def read_all(self) -> None:
        """Read what there is, and write what is to be written still.

        Raises:
            ClusterUnavailableError: It cannot be read.
        """
        nodes = await self._nodes.all()
        streams = await self._streams.all()
        for node, kept in nodes.items():
            self._note_node(node, kept)
        for name, kept in streams.items():
            self._note_stream(name, kept)
        for name in self._known.keys() - streams.keys():
            if (owned := self._owned.get(name)) is not None:
                # The store was made anew.
                self._write(owned, owned.wanted or owned.entry)
            else:
                del self._known[name]
                self._tell(name)

    def look(self) -> None:
        """Forget nodes whose lease has run out, and try again what could not be written; called about once a second."""
        for node, heard in [*self._heard.items()]:
            if not self._is_heard(heard):
                self._forget_node(node, "lease")
        for owned in (*self._owned.values(), *self._dropped):
            if owned.wanted is not None:
                self._write(owned, owned.wanted)

    # -- nodes ----------------------------------------------------------------------------------

    async def other_of_my_name(self) -> NodeEntry | None:
        """The other process that has this node's name and is renewed while a lease lasts; None where there is none.

        Raises:
            ClusterUnavailableError: It cannot be known.
        """
        first = await self._nodes.get(self.me.node)
        waited_s = 0.0
        while first is not None and waited_s <= self._lease_s:
            await self._sleep(CLAIM_POLL_S)
            waited_s += CLAIM_POLL_S
            found = await self._nodes.get(self.me.node)
            if found is None:
                break
            if found.revision != first.revision:
                return decode_node(self.me.node, found.value)
        else:
            # Left by one that was killed.
            self._my_revision = first.revision if first is not None else 0
        return None

    async def renew(self, asked_at: float) -> None:
        """Renew this node's lease.

        Args:
            asked_at: Loop time when the try began.

        Raises:
            ConflictError: Another process has this node's name.
            ClusterUnavailableError: It could not be written.
        """
        value = encode(self.me)
        has_gap = not self._permit.lease_is_good
        try:
            if not self._my_revision:
                raise ConflictError
            self._my_revision = await self._nodes.update(self.me.node, value, self._my_revision)
        except ConflictError:
            # It was fenced, it has expired, or a write had no answer.
            has_gap = True
            await self._renew_anew(value)
        if has_gap:
            self._doubt(asked_at)
        self._permit.note_renewed(asked_at)

    async def _renew_anew(self, value: bytes) -> None:
        found = await self._nodes.get(self.me.node)
        if found is None:
            self._my_revision = await self._nodes.create(self.me.node, value)
            return
        entry = decode_node(self.me.node, found.value)
        if self._my_revision and entry is not None and entry.session != self.me.session:
            raise ConflictError(f"another process has the name {self.me.node}: {entry.advertise}")
        self._my_revision = await self._nodes.update(self.me.node, value, found.revision)

    def _doubt(self, asked_at: float) -> None:
        """Be sure of no channel before it is written once more."""
        self._permit.note_gap(asked_at)
        for owned in self._owned.values():
            owned.is_sure = False
            self._write(owned, owned.wanted or owned.entry)

    async def leave(self) -> None:
        """Say that this node is gone.

        Raises:
            ClusterUnavailableError: It could not be said.
        """
        with contextlib.suppress(ConflictError):
            await self._nodes.delete(self.me.node, self._my_revision)
        self._my_revision = 0

    async def fence(self, node: NodeEntry) -> bool:
        """Make sure that a node whose lease has run out is heard of no more, without having read what it missed.

        Returns:
            Whether it is so; False where the node was renewed meanwhile.

        Raises:
            ClusterUnavailableError: It cannot be made sure of.
        """
        heard = self._heard.get(node.node)
        if heard is None or heard.entry.session != node.session:
            return True
        if self._is_heard(heard):
            return False
        try:
            await self._nodes.delete(node.node, heard.revision)
        except ConflictError:
            if (kept := await self._nodes.get(node.node)) is not None:
                self._note_node(node.node, kept)
            return node.node not in self._heard or not self._is_heard(self._heard[node.node])
        self._forget_node(node.node, "lease")
        return True

    def nodes(self) -> Iterable[NodeEntry]:
        """The nodes whose lease has not run out, this one included."""
        return [heard.entry for heard in self._heard.values() if self._is_heard(heard)]

    def is_alive(self, node: str, session: str) -> bool:
        """Whether the lease of a process has not run out."""
        if session == self.me.session:
            return True
        heard = self._heard.get(node)
        if heard is not None and heard.entry.session == session:
            return self._is_heard(heard)
        # One that was not heard of may have been missed.
        return session not in self._gone and heard is None and self._is_new_here

    def node_of(self, entry: StreamEntry) -> NodeEntry | None:
        """The owner of a channel, while it is alive."""
        heard = self._heard.get(entry.node)
        if heard is None or heard.entry.session != entry.session or not self._is_heard(heard):
            return None
        return heard.entry

    @property
    def _is_new_here(self) -> bool:
        """Whether this node has not listened for as long as a lease lasts."""
        return self._is_deaf or self._clock.monotonic() - self._listening_since < self._lease_s

    @property
    def _is_deaf(self) -> bool:
        """Whether this node does not hear itself: others may be renewed as well."""
        return self._clock.monotonic() - self._echo_at > self._lease_s * ECHO_SHARE

    def _is_heard(self, heard: _Heard) -> bool:
        if heard.entry.session == self.me.session or self._is_deaf:
            return True
        return self._clock.monotonic() - max(heard.at, self._listening_since) < self._lease_s

    def _note_node(self, node: str, kept: Kept | None) -> None:
        heard = self._heard.get(node)
        if kept is None:
            if heard is not None and node != self.me.node:
                self._forget_node(node, "removed")
            return
        if heard is not None and kept.revision <= heard.revision:
            return
        entry = decode_node(node, kept.value)
        if entry is None:
            log.warning("cluster.entry_unreadable", extra={"bucket": "nodes", "entry_bytes": len(kept.value)})
            return
        now = self._clock.monotonic()
        if entry.session == self.me.session:
            if self._is_deaf:
                self._listening_since = now
            self._echo_at = now
        self._heard[node] = _Heard(entry, kept.revision, now)
        self._gone.pop(entry.session, None)
        if heard is None or heard.entry.session != entry.session:
            if heard is not None:
                self._note_gone(heard)
            log.info("node.joined", extra={"node": node, "advertise": entry.advertise, "role": entry.role.value})
            self._tell_of(node)

    def _forget_node(self, node: str, why: str) -> None:
        heard = self._heard.pop(node, None)
        if heard is not None:
            self._note_gone(heard)
            log.warning("node.lost", extra={"node": node, "advertise": heard.entry.advertise, "reason": why})
            self._tell_of(node)

    def _note_gone(self, heard: _Heard) -> None:
        self._gone[heard.entry.session] = _Gone(self._clock.monotonic(), heard.revision)
        while len(self._gone) > GONE_MAX:
            del self._gone[next(iter(self._gone))]

    # -- channels -------------------------------------------------------------------------------

    def watch(self, on_change: Callable[[str], None]) -> None:
        """Have a function called with the name of each channel whose entry changes, or whose owner comes or goes."""
        self._watchers.append(on_change)

    def owner(self, name: str) -> StreamEntry | None:
        """Who has a channel, as it was heard last."""
        known = self._known.get(name)
        return known.entry if known is not None else None

    def streams(self) -> Iterable[StreamEntry]:
        """All channels that are live, as they were heard last."""
        return [known.entry for known in self._known.values() if self.tenure(known.entry) is Tenure.LIVE]

    def entries(self) -> Iterable[StreamEntry]:
        """All channels that are known, also those that have ended."""
        return [known.entry for known in self._known.values()]

    def tenure(self, entry: StreamEntry) -> Tenure:
        """How a channel is owned now: one whose owner is gone is left, and one that is left ends with time."""
        if entry.tenure is Tenure.ENDED:
            return Tenure.ENDED
        if entry.tenure is Tenure.LIVE:
            if self.is_alive(entry.node, entry.session):
                return Tenure.LIVE
            gone = self._gone.get(entry.session)
            gone_s = self._clock.monotonic() - (gone.at if gone is not None else self._listening_since)
        else:
            gone_s = (self._now_ms() - entry.changed_ms) / 1000
        return Tenure.LEFT if gone_s < self._reconnect_window_s else Tenure.ENDED

    def owns(self, name: str) -> bool:
        """Whether a channel is surely this node's now: no other node may have it."""
        owned = self._owned.get(name)
        return owned is not None and owned.is_sure and not owned.is_lost and self._permit.lease_is_good

    def epoch_of(self, name: str) -> int | None:
        """The epoch of a channel of this node; None where it is not this node's."""
        owned = self._owned.get(name)
        return owned.entry.epoch if owned is not None else None

    async def claim(self, name: str, key_id: str) -> KvLease:
        """Take a channel.

        Args:
            name: The channel.
            key_id: Of the key that opens its stream.

        Raises:
            AlreadyPublishingError: Another node has it.
            NameUnknownError: That cannot be known now.
        """
        try:
            for _ in range(CLAIMS_MAX):
                if not self._permit.lease_is_good:
                    raise NameUnknownError
                owned = await self._try_claim(name, key_id)
                if owned is not None:
                    owned.holders += 1
                    return KvLease(owned, self._drop)
        except ClusterUnavailableError as exc:
            log.warning("claim.failed", extra={"stream": name, "reason": str(exc)})
            raise NameUnknownError from exc
        raise AlreadyPublishingError

    async def _try_claim(self, name: str, key_id: str) -> _Owned | None:
        """Try once; returns None where another entry stands there by now."""
        if (mine := self._mine(name)) is not None:
            return mine
        kept = await self._streams.get(name)
        entry = decode_stream(name, kept.value) if kept is not None else None
        if entry is not None and not await self._is_free(entry, key_id):
            return None
        if (mine := self._mine(name)) is not None:
            # Another publish of this node was first.
            return mine
        known = self._known.get(name)
        left: StreamRecord | None = None
        if entry is not None and entry.key_id == key_id and self.tenure(entry) is not Tenure.ENDED:
            left = entry.record
        claimed = StreamEntry(
            name=name,
            node=self.me.node,
            session=self.me.session,
            # A name that was removed begins with the clock, which is far beyond a count of owners.
            epoch=max(
                entry.epoch + 1 if entry is not None else self._now_ms() // 1000 - _EPOCH_2020_S,
                known.entry.epoch + 1 if known is not None else 0,
            ),
            tenure=Tenure.LIVE,
            key_id=key_id,
            live_since_ms=entry.live_since_ms if entry is not None and left is not None else self._now_ms(),
            numbers_until_s=entry.numbers_until_s if entry is not None else 0,
            changed_ms=self._now_ms(),
            record=left,
        )
        asked_at = self._clock.monotonic()
        try:
            if kept is None:
                revision = await self._streams.create(name, encode(claimed))
            else:
                revision = await self._streams.update(name, encode(claimed), kept.revision)
        except ConflictError:
            return None
        owned = _Owned(claimed, revision, left)
        if not self._permit.had_lease_at(asked_at):
            # This node may have been found gone before it wrote that.
            self._write(owned, replace(claimed, tenure=Tenure.LEFT if left is not None else Tenure.ENDED))
            raise NameUnknownError
        self._owned[name] = owned
        self._keep(name, claimed, revision)
        log.info(
            "channel.claimed",
            extra={"stream": name, "epoch": claimed.epoch, "goes_on": left is not None},
        )
        return owned

    def _mine(self, name: str) -> _Owned | None:
        owned = self._owned.get(name)
        return owned if owned is not None and not owned.is_lost else None

    async def _is_free(self, entry: StreamEntry, key_id: str) -> bool:
        """Whether a channel may be taken from its entry's owner; False where the entry is to be read again.

        Raises:
            AlreadyPublishingError: It may not.
            ClusterUnavailableError: It cannot be known.
        """
        tenure = self.tenure(entry)
        if entry.session == self.me.session or tenure is Tenure.ENDED:
            return await self._is_fenced(entry)
        if entry.key_id != key_id:
            # Only the key that opened a stream may go on with it: another key takes no place.
            raise AlreadyPublishingError
        if tenure is Tenure.LEFT:
            return await self._is_fenced(entry)
        owner = self.node_of(entry)
        yielded = await self._ask_to_yield(owner, entry.name, key_id) if owner is not None else None
        if yielded is False:
            raise AlreadyPublishingError
        if yielded is None:
            await self._wait_for_end_of_lease(entry)
        return False

    async def _is_fenced(self, entry: StreamEntry) -> bool:
        """Whether the owner of an entry that is live is surely gone."""
        if entry.tenure is not Tenure.LIVE or entry.session == self.me.session:
            return True
        kept = await self._nodes.get(entry.node)
        found = decode_node(entry.node, kept.value) if kept is not None else None
        if kept is None or found is None or found.session != entry.session:
            return True
        if kept.revision != self._last_revision_of(entry):
            # It was renewed, and that is on the way.
            self._note_node(entry.node, kept)
            return False
        try:
            await self._nodes.delete(entry.node, kept.revision)
        except ConflictError:
            return False
        return True

    def _last_revision_of(self, entry: StreamEntry) -> int:
        """The revision at which a process was heard last; 0 where it never was."""
        heard, gone = self._heard.get(entry.node), self._gone.get(entry.session)
        if heard is not None and heard.entry.session == entry.session:
            return heard.revision
        return gone.revision if gone is not None else 0

    async def _wait_for_end_of_lease(self, entry: StreamEntry) -> None:
        """Wait for an owner that does not answer: it is renewed, or its lease runs out.

        Raises:
            AlreadyPublishingError: It is renewed for as long as anybody waits.
        """
        waited_s = 0.0
        while self.is_alive(entry.node, entry.session):
            if waited_s > self._lease_s + CLAIM_SLACK_S:
                raise AlreadyPublishingError
            await self._sleep(CLAIM_POLL_S)
            waited_s += CLAIM_POLL_S

    # -- channels of this node ------------------------------------------------------------------

    def note(self, name: str, note: StreamNote) -> None:
        """Take note of how a stream of this node stands; called about once a second, and written seldom."""
        owned = self._mine(name)
        if owned is None:
            return
        entry = owned.wanted or owned.entry
        until_s = entry.numbers_until_s
        if note.used_until_s + NUMBERS_LEFT_S > until_s:
            until_s = note.used_until_s + NUMBERS_AHEAD_S
        told = replace(entry, record=note.record, codecs=note.codecs, numbers_until_s=until_s)
        if told != entry:
            self._write(owned, told)

    def give_away(self, name: str, note: StreamNote) -> None:
        """Let another node go on with a stream of this one; it is this node's no more, and is to be ended silently."""
        owned = self._mine(name)
        if owned is None:
            return
        owned.is_lost = True
        del self._owned[name]
        self._dropped.add(owned)
        self._write(
            owned,
            replace(
                owned.entry,
                tenure=Tenure.LEFT,
                record=note.record,
                codecs=note.codecs,
                numbers_until_s=note.used_until_s,
                changed_ms=self._now_ms(),
            ),
        )

    async def disown(self, name: str) -> None:
        """Give a channel back that stands under this node's name without being its own: a claim that had no answer.

        Raises:
            ClusterUnavailableError: It could not be written.
        """
        kept = await self._streams.get(name)
        entry = decode_stream(name, kept.value) if kept is not None else None
        if kept is None or entry is None or entry.session != self.me.session or entry.tenure is not Tenure.LIVE:
            return
        if name in self._owned:
            return
        tenure = Tenure.LEFT if entry.record is not None else Tenure.ENDED
        with contextlib.suppress(ConflictError):
            await self._streams.update(
                name, encode(replace(entry, tenure=tenure, changed_ms=self._now_ms())), kept.revision
            )

    async def settle(self) -> None:
        """Wait until what was given back is written, as far as it can be."""
        while self._writes:
            await asyncio.wait(set(self._writes))

    def _drop(self, owned: _Owned) -> None:
        """Give a channel back, once nobody holds it."""
        owned.holders -= 1
        if owned.holders or owned.is_lost:
            return
        owned.is_lost = True
        name = owned.entry.name
        if self._owned.get(name) is owned:
            del self._owned[name]
        self._dropped.add(owned)
        # The floor of the next owner stays beyond all that may have been used.
        self._write(owned, replace(owned.wanted or owned.entry, tenure=Tenure.ENDED, changed_ms=self._now_ms()))

    def _write(self, owned: _Owned, entry: StreamEntry) -> None:
        """Write the newest state of a channel; one write of it at a time."""
        owned.wanted = entry
        if not owned.is_writing:
            owned.is_writing = True
            task = asyncio.create_task(self._write_wanted(owned))
            self._writes.add(task)
            task.add_done_callback(self._writes.discard)

    async def _write_wanted(self, owned: _Owned) -> None:
        try:
            while (entry := owned.wanted) is not None:
                asked_at = self._clock.monotonic()
                try:
                    owned.revision = await self._streams.update(entry.name, encode(entry), owned.revision)
                except ConflictError:
                    if not await self._find_again(owned):
                        return
                    continue
                if owned.wanted is entry:
                    owned.wanted = None
                owned.entry = entry
                # A lease that has run out and was renewed meanwhile is doubted anew.
                owned.is_sure = owned.is_sure or self._permit.had_lease_at(asked_at)
                self._keep(entry.name, entry, owned.revision)
            self._dropped.discard(owned)
        except ClusterUnavailableError as exc:
            # It is tried again about once a second.
            log.debug("channel.unwritten", extra={"stream": owned.entry.name, "reason": str(exc)})
        finally:
            owned.is_writing = False

    async def _find_again(self, owned: _Owned) -> bool:
        """Find out why a channel's entry is not as it was left; returns False where it is another node's."""
        name = owned.entry.name
        kept = await self._streams.get(name)
        if kept is None:
            # The store was made anew.
            owned.revision = await self._streams.create(name, encode(owned.entry))
            return True
        entry = decode_stream(name, kept.value)
        is_ours = entry is not None and entry.session == self.me.session and entry.epoch == owned.entry.epoch
        if is_ours or entry is None or entry.epoch < owned.entry.epoch:
            owned.revision = kept.revision
            return True
        self._keep(name, entry, kept.revision)
        self._lose(owned)
        return False

    def _lose(self, owned: _Owned) -> None:
        self._dropped.discard(owned)
        owned.wanted = None
        if owned.is_lost:
            return
        owned.is_lost = True
        name = owned.entry.name
        if self._owned.get(name) is owned:
            del self._owned[name]
        log.warning("channel.lost", extra={"stream": name, "epoch": owned.entry.epoch})
        self.on_lost(name)

    def _note_stream(self, name: str, kept: Kept | None) -> None:
        owned = self._owned.get(name)
        if kept is None:
            if owned is None and self._known.pop(name, None) is not None:
                self._tell(name)
            return
        entry = decode_stream(name, kept.value)
        if entry is None:
            log.warning("cluster.entry_unreadable", extra={"bucket": "streams", "entry_bytes": len(kept.value)})
            return
        if owned is not None and entry.session != self.me.session and entry.epoch > owned.entry.epoch:
            self._lose(owned)
        self._keep(name, entry, kept.revision)

    def _keep(self, name: str, entry: StreamEntry, revision: int) -> None:
        """Know of a channel's entry, if it is newer than what is known."""
        known, found = self._known.get(name), _Known(entry, revision)
        if known is not None and found.age <= known.age:
            return
        self._known[name] = found
        self._tell(name)

    def _tell(self, name: str) -> None:
        for on_change in self._watchers:
            on_change(name)

    def _tell_of(self, node: str) -> None:
        for name, known in [*self._known.items()]:
            if known.entry.node == node:
                self._tell(name)

    def _now_ms(self) -> int:
        return int(self._clock.now().timestamp() * 1000)


_EPOCH_2020_S = (EPOCH_2020 - EPOCH_2020.replace(year=1970)) // timedelta(seconds=1)
