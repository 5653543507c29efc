"""All that decides over keys, put together on one store, and the streams of a registry that keeps count."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from streamd.clock import ManualClock
from streamd.errors import KeyRejectedError, StoreUnavailableError
from streamd.services.audit.audit_log import AuditLog
from streamd.services.audit.records import Actor, AuditEntry
from streamd.services.events.event import Event
from streamd.services.keys.act_journal import ActJournal
from streamd.services.keys.admission import Admission
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.records import IssuedKey, KeyRecord, KeyStanding, KeyUse, UserRecord
from streamd.services.keys.service import KeyService
from streamd.services.keys.sweeper import KeySweeper
from streamd.services.keys.verifier import KeyVerifier

ADMIN = Actor("admin", "192.0.2.1")
PEER = "198.51.100.7"


class Streams:
    """The streams of a registry: name by key id, and what closed them."""

    def __init__(self) -> None:
        self.live: dict[str, str] = {}
        self.admissions: list[Admission] = []
        self.closed: list[tuple[str, str]] = []

    async def close_streams(self, key_ids: Collection[str], reason: str) -> list[str]:
        names = [name for key_id, name in self.live.items() if key_id in key_ids]
        self.live = {key_id: name for key_id, name in self.live.items() if key_id not in key_ids}
        self.closed += [(name, reason) for name in names]
        return names


class FragileAuditLog(AuditLog):
    """The log of a store that can be made to fail."""

    def __init__(self, store: FragileStore) -> None:
        super().__init__(store.database)
        self._store = store

    async def append(self, entries: Iterable[AuditEntry]) -> None:
        self._store.check_up()
        await super().append(entries)


class FragileStore(KeyStore):
    """A store that can be made to fail."""

    is_down = False

    def __init__(self, database_url: str) -> None:
        super().__init__(database_url)
        self.audit = FragileAuditLog(self)

    def check_up(self) -> None:
        if self.is_down:
            raise StoreUnavailableError("the key store is down")

    async def standings(self, key_ids: Collection[str]) -> dict[str, KeyStanding]:
        self.check_up()
        return await super().standings(key_ids)

    async def suspended_users(self) -> set[str]:
        self.check_up()
        return await super().suspended_users()

    async def record_uses(self, uses: Mapping[str, KeyUse]) -> None:
        self.check_up()
        await super().record_uses(uses)

    async def record_closed(self, key_id: str, streams: Collection[str]) -> None:
        self.check_up()
        await super().record_closed(key_id, streams)

    async def revoke_key(self, key_id: str, **act: Any) -> KeyRecord:
        self.check_up()
        return await super().revoke_key(key_id, **act)

    async def suspend_user(self, name: str, **act: Any) -> tuple[UserRecord, set[str]]:
        self.check_up()
        return await super().suspend_user(name, **act)


class KeyHouse:
    """The key service, the verifier and the sweeper on a store that a test may break, with streams to close."""

    def __init__(self, store: KeyStore, journal: ActJournal | None = None) -> None:
        self.store = store
        self.clock = ManualClock()
        self.told: list[Event] = []
        self.streams = Streams()
        self.verifier = KeyVerifier(store, self.clock)
        self.verifier.admissions.attach(self.streams)
        self.keys = KeyService(store, self.clock, self.verifier, tell=self.told.append, journal=journal)
        self.sweeper = KeySweeper(store, self.clock, self.verifier, write_acts=self.keys.takedowns.write_waiting)

    async def issue(self, user: str = "alice", seconds: float | None = None) -> IssuedKey:
        expires_at = None if seconds is None else self.clock.now() + timedelta(seconds=seconds)
        return await self.keys.issue(user, by=ADMIN, expires_at=expires_at)

    async def publish(self, issued: IssuedKey) -> Admission:
        admission = await self.verifier.verify(issued.stream_key.reveal(), PEER)
        assert self.verifier.admissions.is_admissible(admission)
        self.streams.live[admission.key_id] = admission.user
        self.streams.admissions.append(admission)
        return admission

    async def denial(self, stream_key: str) -> str:
        with pytest.raises(KeyRejectedError) as caught:
            await self.verifier.verify(stream_key, PEER)
        assert str(caught.value) == KeyRejectedError.description
        return caught.value.reason

    async def audited(self) -> list[str]:
        return [row.entry.action for row in (await self.keys.list_audit()).items]
