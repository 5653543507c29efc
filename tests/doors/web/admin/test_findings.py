"""What the machine has found, over the admin API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from streamd.clock import ManualClock
from streamd.doors.web.admin.api import admin_app
from streamd.doors.web.admin.findings import FindingDesk
from streamd.services.audit.records import Actor, AuditEntry
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.service import KeyService
from streamd.services.keys.verifier import KeyVerifier
from streamd.services.moderation.categories import Category
from streamd.services.moderation.ids import IdKind, new_id
from streamd.services.moderation.machine.sight import ListState, Look, Match, Ready
from streamd.services.moderation.target import Target, TargetKind
from streamd.services.sandbox import Layer
from tests.support.assistance import StandInDesk, StandInHands, assistance_of
from tests.support.console import console_of
from tests.support.live_streams import Streams
from tests.support.ports import port_of
from tests.support.stores import migrated_sqlite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp import web

pytestmark = pytest.mark.asyncio

TOKEN = "t0ken-t0ken-t0ken-t0ken"
HASH = "cd" * 32
DEMO = Target(TargetKind.CHANNEL, "demo", "demo")
LISTED = Look(HASH, 96, (Match("known.txt", Category.VIOLENCE, HASH, 3),), (("blood", 0.91),), ("<b>fight</b>",))


class Api:
    def __init__(self, store: KeyStore) -> None:
        clock = ManualClock()
        self.store = store
        self.case_id = new_id(IdKind.CASE, clock.now())
        self.hands, self.desk = StandInHands(LISTED), StandInDesk(clock)
        self.assistance = assistance_of(store, clock, self.hands, self.desk)
        keys = KeyService(store, clock, KeyVerifier(store, clock))
        app = admin_app(
            keys=keys,
            streams=Streams(),
            metrics=CollectorRegistry(),
            token=TOKEN,
            rtmp_urls=("rtmp://localhost/live",),
            console=console_of(keys, Streams(), clock=clock),
            more=FindingDesk(self.assistance).operations(),
            port=port_of("admin", clock=clock),
            clock=clock,
        )
        self.client: TestClient[web.Request, web.Application] = TestClient(TestServer(app))

    async def get(self, path: str, token: str = TOKEN) -> tuple[int, Any]:
        async with self.client.get(path, headers={"Authorization": f"Bearer {token}"}) as response:
            return response.status, await response.json(content_type=None)

    async def acts(self) -> list[AuditEntry]:
        return [record.entry for record in (await self.store.audit.page(after=0, limit=100)).items]

    async def judge(self, finding_id: str, *, agreed: Any, case_id: str = "") -> tuple[int, Any]:
        path = f"/api/v1/cases/{case_id or self.case_id}/findings/{finding_id}/judge"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self.client.post(path, json={"agreed": agreed}, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def newest(self) -> Any:
        _, answer = await self.get(f"/api/v1/cases/{self.case_id}/findings")
        return answer["findings"][0]


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    store = KeyStore(migrated_sqlite(tmp_path / "streamd.db"))
    await store.start()
    api = Api(store)
    await api.client.start_server()
    yield api
    await api.client.close()
    await api.assistance.close()
    await store.close()


async def test_findings_are_told_with_all_that_was_seen(api: Api) -> None:
    path = f"/api/v1/cases/{api.case_id}/findings"
    assert await api.get(path) == (200, {"findings": []})
    await api.assistance.look_at(api.case_id, DEMO)
    await api.assistance.note_decision(api.case_id, agreed=True, by=Actor("carol"))
    status, answer = await api.get(path)
    assert status == 200
    (found,) = answer["findings"]
    assert found["id"].startswith("fnd_")
    del found["id"]
    assert found == {
        "at": "2026-01-01T00:00:00Z",
        "source": "report",
        "signs": ["known picture: known.txt, 3 of 256 bits off", "blood 0.91"],
        "hash": HASH,
        "quality": 96,
        "known": [{"list": "known.txt", "category": "VIOLENCE", "hash": HASH, "distance": 3}],
        "scores": [{"label": "blood", "score": 0.91}],
        "words": ["<b>fight</b>"],
        "same_picture": [],
        "assistant": None,
        "fault": "",
        "agreed": True,
        "judged_by": "carol",
        "judged_at": "2026-01-01T00:00:00Z",
    }


async def test_what_a_person_says_of_a_finding_stays_whatever_is_decided_about_the_case(api: Api) -> None:
    await api.assistance.look_at(api.case_id, DEMO)
    finding = await api.newest()
    status, judged = await api.judge(finding["id"], agreed=False)
    assert (status, judged["agreed"], judged["judged_by"]) == (200, False, "root")
    await api.assistance.note_decision(api.case_id, agreed=True, by=Actor("carol"))
    assert await api.newest() == judged
    # Said twice it counts once, and a person may think better of it.
    await api.judge(finding["id"], agreed=False)
    assert (await api.get("/api/v1/assistance"))[1]["disagreed"] == 1
    assert [entry.action for entry in await api.acts()] == ["machine.found", "machine.disagreed"]
    await api.judge(finding["id"], agreed=True)
    assert (await api.newest())["agreed"] is True


async def test_what_is_no_finding_of_the_case_is_not_judged(api: Api) -> None:
    await api.assistance.look_at(api.case_id, DEMO)
    found = (await api.newest())["id"]
    assert (await api.judge(new_id(IdKind.FINDING, ManualClock().now()), agreed=True))[0] == 404
    other = new_id(IdKind.CASE, ManualClock().now())
    assert (await api.judge(found, agreed=True, case_id=other))[0] == 404
    for given in ("maybe", None, 2):
        assert (await api.judge(found, agreed=given))[0] == 422
    assert (await api.newest())["agreed"] is None


async def test_where_nothing_was_found_there_is_nothing_to_judge(api: Api) -> None:
    api.hands.sees = Look("ab" * 32, 96)
    await api.assistance.look_at(api.case_id, DEMO)
    assert (await api.judge((await api.newest())["id"], agreed=True))[0] == 409


async def test_a_draft_names_what_is_the_persons_to_write(api: Api) -> None:
    await api.assistance.look_at(api.case_id, DEMO)
    status, draft = await api.get(f"/api/v1/cases/{api.case_id}/draft")
    assert status == 200
    assert draft["missing"] == ["illegal_content_legal_ground", "illegal_content_explanation"]
    assert "blood 0.91" in draft["statement"]["decision_facts"]
    api.desk.gone.add(api.case_id)
    assert (await api.get(f"/api/v1/cases/{api.case_id}/draft"))[0] == 404


@pytest.mark.parametrize("case_id", ["1", "case_", "rpt_01jqz3v5x8k2m4n6p8r0t2v4x6", "case_x%27--", "..%2Fkeys"])
async def test_what_is_no_case_is_refused(case_id: str, api: Api) -> None:
    for name in ("findings", "draft"):
        assert (await api.get(f"/api/v1/cases/{case_id}/{name}"))[0] == 404


async def test_the_machine_tells_what_it_can_and_how_good_it_is(api: Api) -> None:
    nothing: dict[str, Any] = {
        "agreed": 0,
        "disagreed": 0,
        "waiting": 0,
        "error_rate": None,
        "faults": [],
        "labels": [],
        "lists": [],
    }
    assert await api.get("/api/v1/assistance") == (200, nothing)
    await api.assistance.look_at(api.case_id, DEMO)
    await api.assistance.note_decision(api.case_id, agreed=False, by=Actor("carol"))
    lists = (ListState("known.txt", 7, 1, ("line 2: no hash",)),)
    api.hands.ready = Ready(Layer(0), "", "model.onnx is no ONNX model", "", (), lists)
    assert await api.get("/api/v1/assistance") == (
        200,
        nothing
        | {
            "disagreed": 1,
            "error_rate": 1.0,
            "faults": ["model.onnx is no ONNX model"],
            "lists": [{"name": "known.txt", "hashes": 7, "bad_lines": 1, "faults": ["line 2: no hash"]}],
        },
    )


async def test_nobody_else_is_told(api: Api) -> None:
    for path in (f"/api/v1/cases/{api.case_id}/findings", "/api/v1/assistance"):
        assert (await api.get(path, token="another-t0ken-another"))[0] == 401
