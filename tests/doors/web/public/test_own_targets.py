"""A broadcaster's own targets, through the studio's calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from streamd.clock import ManualClock
from streamd.doors.web.public.own_recordings import ACTS_AT_ONCE_MAX, OwnRecordingDesk
from streamd.doors.web.public.own_targets import OwnTargetDesk
from streamd.doors.web.public.studio import PATH
from streamd.errors import SecretsError
from streamd.services.audit.records import AuditFilter
from streamd.services.restream.service import RestreamOptions
from tests.doors.web.public.test_studio import BY, House
from tests.support.output_context import output_context, tracks_of
from tests.support.recorded import recorder_of
from tests.support.restream import StandInDialer, restream_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from streamd.services.keys.key_store import KeyStore
    from streamd.services.recording.recorder import Recorder
    from streamd.services.restream.restream_output import RestreamOutput

pytestmark = pytest.mark.asyncio

URL, KEY = "rtmps://a.example/live2", "a-secret-of-elsewhere-x9f2"
NOWHERE = "tgt_01kjmg3m00q8p4w6s2v0x9y7z5"


class Passage(House):
    """The page of a broadcaster whose broadcasts are passed on."""

    def __init__(self, store: KeyStore, recorder: Recorder, *, targets_max: int = 2) -> None:
        clock = ManualClock()
        self.dialer = StandInDialer()
        self.restream = restream_of(
            store.database, clock, self.dialer, options=RestreamOptions(targets_per_user_max=targets_max)
        )
        desk = OwnTargetDesk(self.restream, OwnRecordingDesk(recorder, clock), clock)
        super().__init__(store, targets=desk, clock=clock)

    async def add(self, status: int = 201, **changes: Any) -> dict[str, Any]:
        return await self.call("POST", "targets", status, json={"url": URL, "stream_key": KEY, **changes})

    async def targets(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = (await self.call("GET", "targets", 200))["targets"]
        return listed

    async def change(self, target: str, status: int = 200, **changes: Any) -> dict[str, Any]:
        return await self.call("PATCH", f"targets/{target}", status, json=changes)

    async def others(self) -> str:
        """A target of another user."""
        await self.issue("bob")
        return (await self.restream.add("bob", URL, KEY, by=BY)).record.target_id

    async def go_live(self) -> RestreamOutput:
        output = self.restream.output(output_context(clock=self.clock))
        output.start(tracks_of())
        for task in [*self.restream._tasks]:
            await task
        self.look(output)
        return output

    def look(self, output: RestreamOutput) -> None:
        self.clock.advance(1)
        output.look(self.clock.monotonic())


@pytest_asyncio.fixture
async def passage(store: KeyStore, tmp_path: Path) -> AsyncIterator[Passage]:
    recorder = recorder_of(store, tmp_path)
    passage = Passage(store, recorder)
    async with passage.client:
        await passage.sign_in(await passage.issue())
        yield passage
    await passage.restream.close()
    await recorder.close()


class TestOwnTargets:
    async def test_a_broadcaster_adds_one_and_sees_the_end_of_its_key_alone(self, passage: Passage) -> None:
        assert (await passage.state())["targets_max"] == 2
        assert await passage.targets() == []
        made = await passage.add(label="far")
        assert (made["state"], made["key_hint"], made["label"]) == ("waiting", "…x9f2", "far")
        listed = await passage.call("GET", "targets", 200)
        assert listed == {"targets": [made], "targets_max": 2}
        assert KEY not in str(listed)
        (row,) = (await passage.keys.list_audit(found=AuditFilter(action="target.added"))).items
        assert (row.entry.actor, row.entry.user, row.entry.subject) == ("studio", "alice", made["id"])
        assert row.entry.address

    async def test_nobody_elses_are_among_them(self, passage: Passage) -> None:
        await passage.others()
        mine = await passage.add()
        assert [target["id"] for target in await passage.targets()] == [mine["id"]]

    @pytest.mark.parametrize(
        "changes",
        [
            {"url": "http://a.example/live"},
            {"url": "rtmp://a.example"},
            {"url": f"rtmp://{'a' * 64}.example/live"},
            {"url": f"rtmps://a.example/live2/{KEY}"},
            {"stream_key": ""},
            {"stream_key": "  "},
            {"stream_key": "sk_" + "x" * 2045},
            {"stream_key": 7},
            {"label": "x" * 101},
            {"label": "two\nlines"},
            {"label": f"mine {KEY}"},
            {"enabled": "perhaps"},
            {"user": "bob"},
        ],
    )
    async def test_what_is_no_target_is_refused_without_its_key(
        self, passage: Passage, changes: dict[str, Any]
    ) -> None:
        refused = await passage.add(422, **changes)
        assert refused["errors"]
        assert KEY not in str(refused)
        assert "xxxxxxxx" not in str(refused)
        assert await passage.targets() == []

    async def test_there_are_only_so_many(self, passage: Passage) -> None:
        for _ in range(2):
            await passage.add()
        assert "may have no more" in str(await passage.add(422))

    async def test_the_key_that_is_kept_goes_to_no_other_server(self, passage: Passage) -> None:
        mine = (await passage.add())["id"]
        for url in ("rtmps://thief.example/live2", "rtmp://a.example/live2", "rtmps://a.example:444/live2"):
            assert "stream_key: is wanted" in str(await passage.change(mine, 422, url=url))
        assert (await passage.change(mine, url="rtmps://A.example/live3"))["url"] == "rtmps://A.example/live3"
        moved = await passage.change(mine, url="rtmp://b.example/app", stream_key="another-secret-of-b")
        assert (moved["url"], moved["key_hint"]) == ("rtmp://b.example/app", "…of-b")

    async def test_it_is_named_switched_and_removed(self, passage: Passage) -> None:
        mine = (await passage.add())["id"]
        assert (await passage.change(mine, label="near"))["label"] == "near"
        assert (await passage.change(mine, enabled=False))["state"] == "off"
        assert await passage.call("DELETE", f"targets/{mine}", 200) == {"id": mine}
        assert await passage.targets() == []
        rows = (await passage.keys.list_audit(found=AuditFilter())).items
        actions = [row.entry.action for row in rows]
        assert [action for action in actions if action.startswith("target.")] == [
            "target.added", "target.changed", "target.changed", "target.deleted",
        ]  # fmt: skip

    async def test_one_is_started_and_stopped_for_the_broadcast_that_runs(self, passage: Passage) -> None:
        mine = (await passage.add())["id"]
        output = await passage.go_live()
        assert (await passage.targets())[0]["state"] == "connecting"
        assert (await passage.call("POST", f"targets/{mine}/stop", 200))["state"] == "off"
        assert passage.dialer.links[0].is_closed
        assert (await passage.targets())[0]["enabled"]
        assert (await passage.call("POST", f"targets/{mine}/start", 200))["state"] == "waiting"
        passage.look(output)
        passage.dialer.links[1].owner.link_ended(
            passage.dialer.links[1], "NetStream.Publish.BadName: no such key", is_refusal=True
        )
        passage.clock.advance(2)
        (target,) = await passage.targets()
        assert (target["state"], target["last_error"]) == ("refused", "NetStream.Publish.BadName: no such key")
        assert target["since"] is not None

    async def test_another_users_is_as_none(self, passage: Passage) -> None:
        others = await passage.others()
        refused = await passage.change(others, 404, enabled=False)
        assert await passage.change(NOWHERE, 404, enabled=False) == refused
        for method, path in (("DELETE", ""), ("POST", "/start"), ("POST", "/stop")):
            assert await passage.call(method, f"targets/{others}{path}", 404) == refused
        for made_up in ("tgt_", "x" * 100, "%00", "tgt_01kjmg3m00q8p4w6s2v0x9y7z5%0A"):
            assert await passage.change(made_up, 404, enabled=False) == refused
        (target,) = await passage.restream.list("bob")
        assert target.record.is_enabled

    async def test_nobody_without_a_session_gets_there(self, passage: Passage) -> None:
        mine = (await passage.add())["id"]
        await passage.call("POST", "end", 204)
        await passage.call("GET", "targets", 401)
        await passage.add(401)
        await passage.change(mine, 401, label="x")
        await passage.call("DELETE", f"targets/{mine}", 401)
        for act in ("start", "stop"):
            await passage.call("POST", f"targets/{mine}/{act}", 401)
        assert len(await passage.restream.list("alice")) == 1

    async def test_the_pace_of_acts_is_bounded(self, passage: Passage) -> None:
        mine = (await passage.add())["id"]
        for number in range(ACTS_AT_ONCE_MAX - 1):
            await passage.change(mine, label=str(number))
        await passage.add(429)
        await passage.change(mine, 429, label="x")
        await passage.call("DELETE", f"targets/{mine}", 429)
        for act in ("start", "stop"):
            await passage.call("POST", f"targets/{mine}/{act}", 429)
        # To look is no act.
        assert len(await passage.targets()) == 1

    async def test_a_page_that_asks_often_asks_the_store_little(
        self, passage: Passage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []
        read = passage.restream.list

        async def counted(user: str) -> Any:
            asked.append(user)
            return await read(user)

        monkeypatch.setattr(passage.restream, "list", counted)
        for _ in range(5):
            await passage.targets()
        assert asked == ["alice"]
        mine = await passage.add()
        assert await passage.targets() == [mine], "an act is seen at once"

    async def test_a_file_of_secrets_that_cannot_be_read_is_not_named(
        self, passage: Passage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def unreadable(*_: object, **__: object) -> None:
            raise SecretsError("/var/lib/streamd/secret-key cannot be read")

        monkeypatch.setattr(passage.restream, "add", unreadable)
        assert "secret-key" not in str(await passage.add(503))

    async def test_where_it_is_switched_off_nothing_is_shown(self, passage: Passage) -> None:
        mine = (await passage.add())["id"]
        passage.restream.options = RestreamOptions(targets_per_user_max=0)
        assert (await passage.state())["targets_max"] == 0
        await passage.call("GET", "targets", 404)
        await passage.add(404)
        await passage.call("POST", f"targets/{mine}/start", 404)


async def test_a_server_that_passes_nothing_on_has_no_such_calls(store: KeyStore) -> None:
    house = House(store)
    async with house.client:
        assert (await house.sign_in(await house.issue()))["targets_max"] == 0
        async with house.client.get(f"{PATH}/targets") as response:
            assert response.status == 404
