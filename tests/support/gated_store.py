"""A key store whose reads and commits wait at gates that a test opens one by one."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from streamd.services.audit.audit_log import AuditLog
from streamd.services.audit.records import Actor
from streamd.services.keys.import_store import ImportStore
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.records import KeyRecord, KeyStanding, UserRecord, UserState
from streamd.services.keys.secret import hash_secret
from streamd.services.keys.stream_key import StreamKey

KEY = StreamKey("7k2m9xq4ct", "s" * 32)


class Gates:
    """Where a task waits until the test lets it on."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._is_open = False

    async def wait(self, task: str) -> None:
        if self._is_open:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(task, []).append(future)
        await future

    def let_on(self, task: str) -> None:
        """Let the task take one step, if it waits."""
        waiting = self._waiting.get(task, [])
        while waiting:
            future = waiting.pop(0)
            if not future.done():  # its task may have been cancelled
                future.set_result(None)
                return

    def open(self) -> None:
        """Nobody waits any more."""
        self._is_open = True
        for future in itertools.chain(*self._waiting.values()):
            if not future.done():
                future.set_result(None)


class UnwrittenLog(AuditLog):
    """A log that keeps nothing."""

    def __init__(self) -> None:
        pass

    async def append(self, entries: object) -> None:
        pass


class NoImports(ImportStore):
    """Nothing is imported."""

    def __init__(self) -> None:
        pass


class GatedStore(KeyStore):
    """One key and its user in memory; a gate before and after every read and every commit."""

    def __init__(self, gates: Gates, now: datetime) -> None:
        self._gates = gates
        self.audit = UnwrittenLog()
        self.imports = NoImports()
        self.key = KeyRecord(1, KEY.key_id, "alice", "", now, "admin", None)
        self.user = UserRecord("alice", UserState.ACTIVE, now)

    async def standing(self, key_id: str) -> KeyStanding | None:
        await self._gates.wait("verify")
        seen = KeyStanding(
            KEY.key_id,
            "alice",
            hash_secret(KEY.key_id, KEY.secret),
            self.key.expires_at,
            self.key.revoked_at is not None,
            self.user.state is UserState.SUSPENDED,
        )
        await self._gates.wait("verify")
        return seen

    async def revoke_key(
        self, key_id: str, *, reason: str, now: datetime, by: Actor, closed: Collection[str] = ()
    ) -> KeyRecord:
        await self._gates.wait("kill")
        if self.key.revoked_at is None:
            self.key = replace(self.key, revoked_at=now)
        if closed:
            self.key = replace(self.key, closed_streams=tuple(closed))
        record = self.key
        await self._gates.wait("kill")
        return record

    async def rotate_key(
        self,
        key_id: str,
        *,
        new_key_id: str,
        new_secret_hash: bytes,
        old_until: datetime,
        now: datetime,
        by: Actor,
    ) -> tuple[KeyRecord, KeyRecord]:
        old = await self.revoke_key(key_id, reason="rotated", now=now, by=by)
        return old, replace(old, key_id=new_key_id, revoked_at=None)

    async def suspend_user(
        self, name: str, *, reason: str, now: datetime, by: Actor, closed: Collection[str] = ()
    ) -> tuple[UserRecord, set[str]]:
        await self._gates.wait("kill")
        self.user = replace(self.user, state=UserState.SUSPENDED, suspended_at=now)
        await self._gates.wait("kill")
        return self.user, {KEY.key_id}

    async def record_closed(self, key_id: str, streams: Collection[str]) -> None:
        self.key = replace(self.key, closed_streams=tuple(streams))

    async def record_uses(self, uses: object) -> None:
        pass
