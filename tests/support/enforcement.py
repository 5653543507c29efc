"""Takedowns, blocks and orders on a store, with streams and viewers that are told what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamd.clock import ManualClock
from streamd.errors import ReceiverUnreachableError
from streamd.services.audit.records import Actor, AuditEntry
from streamd.services.events.event import Event
from streamd.services.events.sender import ReceiverAnswer
from streamd.services.keys.admission import Admission
from streamd.services.keys.bars import Bars
from streamd.services.keys.key_store import KeyStore
from streamd.services.moderation.acts.enforcement import Enforcement
from streamd.services.moderation.statement import Statement
from streamd.services.moderation.target import Target, TargetKind, Targets
from streamd.services.playback.countries import Countries
from streamd.services.playback.gate import PlaybackGate
from streamd.services.playback.gate_options import GateOptions
from streamd.services.recording.clip_index import ClipIndex
from streamd.services.recording.index import RecordingIndex

MODERATOR = Actor("mo", "192.0.2.1")
ANNA = Target(TargetKind.CHANNEL, "anna", "anna")
ILLEGAL: dict[str, Any] = {
    "decision_visibility": ["CONTENT_REMOVED"],
    "decision_ground": "ILLEGAL_CONTENT",
    "illegal_content_legal_ground": "StGB section 131",
    "illegal_content_explanation": "The broadcast shows it.",
    "decision_facts": "Seen at 12:00.",
    "category": "VIOLENCE",
}
STATEMENT = Statement.of(ILLEGAL)


@dataclass
class LiveOne:
    """A live channel."""

    name: str


class Streams:
    """Live streams, by their admissions."""

    def __init__(self) -> None:
        self.admissions: dict[str, Admission] = {}
        self.looks = 0

    def go_live(self, name: str, key_id: str = "key0000000", address: str = "198.51.100.1") -> None:
        admission = Admission(key_id, name)
        admission.address = address
        self.admissions[name] = admission

    def channels(self) -> Iterable[LiveOne]:
        return [LiveOne(name) for name in self.admissions]

    async def close_barred(self, is_barred: Callable[[Admission], bool]) -> list[str]:
        self.looks += 1
        closed = [name for name, admission in self.admissions.items() if is_barred(admission)]
        for name in closed:
            del self.admissions[name]
        return closed


@dataclass
class Cache:
    """Caches in front: what they were told, and what they answer."""

    told: list[tuple[str, str]] = field(default_factory=list)
    status: dict[str, int] = field(default_factory=dict)
    is_away: bool = False

    async def tell(self, method: str, url: str, *, timeout_s: float) -> ReceiverAnswer:
        assert timeout_s <= 1.0
        if self.is_away:
            raise ReceiverUnreachableError("connection refused")
        self.told.append((method, url))
        return ReceiverAnswer(self.status.get(method, 200))


class KnownCountries(Countries):
    """The country of an address, by its first byte."""

    def __init__(self) -> None:
        super().__init__(None)
        self.looked_up = 0
        self.by_first_byte = {"203": "DE", "198": "FR"}

    @property
    def is_known(self) -> bool:
        return bool(self.by_first_byte)

    def of(self, address: str) -> str:
        self.looked_up += 1
        return self.by_first_byte.get(address.partition(".")[0], "")


class Deck:
    """One server's enforcement on a store."""

    def __init__(
        self, store: KeyStore, data_dir: Path, clock: ManualClock | None = None, bars: Bars | None = None
    ) -> None:
        self.store = store
        self.data_dir = data_dir
        self.clock = clock or ManualClock()
        self.bars = bars or Bars()
        self.countries = KnownCountries()
        self.gate = PlaybackGate(self.clock, GateOptions(), self.countries)
        self.streams = Streams()
        self.cache = Cache()
        self.cache_urls: tuple[str, ...] = ()
        self.events: list[Event] = []
        self.recordings = RecordingIndex(store.database)
        self.clips = ClipIndex(store.database, self.recordings)
        self.room = Enforcement(
            store.database,
            self.clock,
            targets=Targets(self.recordings, self.clips, store, lambda: "https://live.example"),
            bars=self.bars,
            gate=self.gate,
            streams=self.streams,
            knows_countries=lambda: self.countries.is_known,
            country_of=self.countries.of,
            on_change=self.recordings.note_edit,
            purge_sender=self.cache,
            purge_urls=lambda: self.cache_urls,
            data_dir=data_dir,
            tell=self.events.append,
        )
        self.takedowns, self.blocks, self.orders = self.room.takedowns, self.room.blocks, self.room.orders

    async def again(self) -> Deck:
        """The next server on the same store and data directory."""
        await self.room.close()
        deck = Deck(self.store, self.data_dir, self.clock)
        await deck.room.start()
        return deck

    async def audit(self) -> list[AuditEntry]:
        """All rows of the audit log."""
        return [record.entry for record in (await self.store.audit.page(after=0, limit=1000)).items]
