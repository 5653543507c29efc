"""Targets in a store, and the broadcasts that run."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from streamd.clock import ManualClock
from streamd.errors import RestreamError, RestreamTargetNotFoundError, SecretsError, UserNotFoundError
from streamd.services.audit.records import Actor
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.service import KeyService
from streamd.services.keys.verifier import KeyVerifier
from streamd.services.restream.secret_box import SecretBox, new_secret_key
from streamd.services.restream.service import RestreamOptions
from streamd.services.restream.target import TargetState
from streamd.services.restream.target_metrics import TargetMetrics
from streamd.services.restream.target_store import TargetStore
from tests.support.output_context import output_context, tracks_of
from tests.support.restream import StandInDialer, restream_of
from tests.support.stores import migrated_sqlite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from streamd.services.restream.restream_output import RestreamOutput
    from streamd.services.restream.service import RestreamService, Target

pytestmark = pytest.mark.asyncio

URL, KEY = "rtmp://a.example/live2", "a-secret-stream-key"
ROOT = Actor("root", "127.0.0.1")


class Room:
    def __init__(self, store: KeyStore, path: Path) -> None:
        self.store = store
        self.path = path
        self.clock = ManualClock()
        self.dialer = StandInDialer()
        self.keys = KeyService(store, self.clock, KeyVerifier(store, self.clock))
        self.box = SecretBox([new_secret_key()])
        self.service = restream_of(
            store.database, self.clock, self.dialer, options=RestreamOptions(targets_per_user_max=2), box=self.box
        )

    async def add(self, label: str = "far", *, is_enabled: bool = True) -> Target:
        return await self.service.add("alice", URL, KEY, label=label, is_enabled=is_enabled, by=ROOT)

    async def go_live(self) -> RestreamOutput:
        output = self.service.output(output_context(clock=self.clock))
        output.start(tracks_of())
        await asyncio.gather(*self.service._tasks)
        self.clock.advance(1)
        output.look(self.clock.monotonic())
        return output

    async def actions(self) -> list[str]:
        return [row.entry.action for row in (await self.store.audit.page(after=0, limit=100)).items]


@pytest_asyncio.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    path = tmp_path / "streamd.db"
    store = KeyStore(migrated_sqlite(path))
    await store.start()
    room = Room(store, path)
    await room.keys.issue("alice", by=ROOT)
    yield room
    await room.service.close()
    await store.close()


class TestTargets:
    async def test_are_kept_with_their_keys_locked(self, room: Room) -> None:
        made = await room.add()
        (listed,) = await room.service.list("alice")
        assert listed.record == made.record
        assert listed.record.stream_key == KEY
        assert listed.report.state is TargetState.WAITING
        with sqlite3.connect(room.path) as database:
            assert KEY not in "\n".join(database.iterdump())
        assert (await room.actions())[-1] == "target.added"

    async def test_a_user_has_only_so_many(self, room: Room) -> None:
        await room.add("one")
        await room.add("two")
        with pytest.raises(RestreamError, match="may have no more"):
            await room.add("three")

    async def test_nobody_has_none(self, room: Room) -> None:
        with pytest.raises(UserNotFoundError):
            await room.service.add("nobody", URL, KEY, by=ROOT)
        assert await room.service.list("nobody") == []

    @pytest.mark.parametrize(
        "act",
        [
            lambda service, target_id: service.change("bob", target_id, label="x", by=ROOT),
            lambda service, target_id: service.delete("bob", target_id, by=ROOT),
            lambda service, target_id: service.start("bob", target_id),
            lambda service, target_id: service.stop("bob", target_id),
        ],
        ids=["change", "delete", "start", "stop"],
    )
    async def test_what_another_has_is_as_none(
        self, room: Room, act: Callable[[RestreamService, str], Awaitable[object]]
    ) -> None:
        made = await room.add()
        with pytest.raises(RestreamTargetNotFoundError):
            await act(room.service, made.record.target_id)

    async def test_a_change_leaves_what_is_not_said(self, room: Room) -> None:
        made = await room.add()
        changed = await room.service.change("alice", made.record.target_id, label="other", by=ROOT)
        assert (changed.record.label, changed.record.stream_key) == ("other", KEY)
        changed = await room.service.change(
            "alice", made.record.target_id, url="rtmps://b.example/app", stream_key="another-secret-1", by=ROOT
        )
        (listed,) = await room.service.list("alice")
        assert listed.record == changed.record
        assert (listed.record.place.is_tls, listed.record.key_hint) == (True, "…et-1")

    async def test_the_key_that_is_kept_goes_to_no_other_server(self, room: Room) -> None:
        made = await room.add()
        with pytest.raises(RestreamError, match="is wanted with another server"):
            await room.service.change("alice", made.record.target_id, url="rtmp://thief.example/live2", by=ROOT)
        assert (await room.service.list("alice"))[0].record == made.record

    async def test_a_label_or_a_url_has_no_key_in_it(self, room: Room) -> None:
        made = await room.add()
        changes: list[dict[str, Any]] = [{"label": f"x {KEY}"}, {"label": "two\nlines"}, {"url": f"{URL}/{KEY}"}]
        for change in changes:
            with pytest.raises(RestreamError) as caught:
                await room.service.change("alice", made.record.target_id, by=ROOT, **change)
            assert KEY not in str(caught.value)

    async def test_a_deleted_one_is_gone(self, room: Room) -> None:
        made = await room.add()
        await room.service.delete("alice", made.record.target_id, by=ROOT)
        assert await room.service.list("alice") == []
        assert (await room.actions())[-1] == "target.deleted"

    async def test_a_user_who_is_deleted_has_none(self, room: Room) -> None:
        await room.add()
        await room.service.forget("alice")
        assert await room.service.list("alice") == []


class TestBroadcasts:
    async def test_go_to_what_is_switched_on(self, room: Room) -> None:
        await room.add("on")
        await room.add("off", is_enabled=False)
        await room.go_live()
        assert len(room.dialer.links) == 1
        states = {target.record.label: target.report.state for target in await room.service.list("alice")}
        assert states == {"on": TargetState.CONNECTING, "off": TargetState.OFF}
        families = [*TargetMetrics(lambda: room.service.reports).collect()]
        samples = {sample.labels["state"]: sample.value for sample in families[0].samples}
        assert samples["connecting"] == 1
        assert samples["live"] == 0

    async def test_that_run_go_to_what_is_added_and_no_more_to_what_is_removed(self, room: Room) -> None:
        output = await room.go_live()
        made = await room.add()
        room.clock.advance(1)
        output.look(room.clock.monotonic())
        assert len(room.dialer.links) == 1
        await room.service.change("alice", made.record.target_id, is_enabled=False, by=ROOT)
        assert room.dialer.links[0].is_closed

    async def test_can_be_stopped_and_started_at_a_target(self, room: Room) -> None:
        made = await room.add()
        output = await room.go_live()
        stopped = await room.service.stop("alice", made.record.target_id)
        assert stopped.report.state is TargetState.OFF
        assert room.dialer.links[0].is_closed
        started = await room.service.start("alice", made.record.target_id)
        assert started.report.state is TargetState.WAITING
        room.clock.advance(1)
        output.look(room.clock.monotonic())
        assert len(room.dialer.links) == 2

    async def test_another_label_leaves_the_connection(self, room: Room) -> None:
        made = await room.add()
        await room.go_live()
        await room.service.change("alice", made.record.target_id, label="new", by=ROOT)
        assert not room.dialer.links[0].is_closed

    async def test_that_ended_are_forgotten(self, room: Room) -> None:
        await room.add()
        output = await room.go_live()
        output.end()
        assert room.dialer.links[0].is_closed
        assert room.service.reports == []
        (listed,) = await room.service.list("alice")
        assert listed.report.state is TargetState.WAITING


class TestRotation:
    async def test_locks_all_anew(self, room: Room) -> None:
        made = await room.add()
        new = new_secret_key()
        other = TargetStore(room.store.database, lambda: SecretBox([new]))
        with pytest.raises(SecretsError):
            await other.lock_anew(SecretBox([new]))
        assert (await room.service.list("alice"))[0].record == made.record, "nothing is changed"
        with pytest.raises(SecretsError):
            await other.of_user("alice")
