"""Evidence over the admin API: who sees what, and that the audit log has it first."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from streamd.doors.web.admin.api import admin_app
from streamd.doors.web.admin.evidence import EvidenceDesk
from streamd.errors import StoreUnavailableError
from streamd.services.audit.audit_log import AuditLog
from streamd.services.audit.records import AuditFilter
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.service import KeyService
from streamd.services.keys.verifier import KeyVerifier
from streamd.services.moderation.act_details import words_of
from tests.support.console import console_of
from tests.support.evidence import CASE, OTHER_CASE, EvidenceHouse, PaintedArtist
from tests.support.live_streams import Streams
from tests.support.ports import port_of
from tests.support.stores import migrated_sqlite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp import web

pytestmark = pytest.mark.asyncio

TOKEN = "t0ken-t0ken-t0ken-t0ken"


class Api:
    """The admin API with a piece of evidence of Alice's, and a restricted one."""

    def __init__(self, store: KeyStore, directory: Path) -> None:
        self.store = store
        self.house = EvidenceHouse(store, directory, PaintedArtist())
        self.house.cases.restricted.add(OTHER_CASE)
        keys = KeyService(store, self.house.clock, KeyVerifier(store, self.house.clock))
        app = admin_app(
            keys=keys,
            streams=Streams(),
            metrics=CollectorRegistry(),
            token=TOKEN,
            rtmp_urls=("rtmp://localhost/live",),
            console=console_of(keys, Streams(), clock=self.house.clock),
            more=EvidenceDesk(self.house.room.shelf).operations(),
            port=port_of("admin", clock=self.house.clock),
            clock=self.house.clock,
        )
        self.client: TestClient[web.Request, web.Application] = TestClient(TestServer(app))
        self.id = self.restricted_id = ""

    async def get(self, path: str, **headers: str) -> tuple[int, Any, bytes]:
        headers = {"Authorization": f"Bearer {TOKEN}"} | headers
        async with self.client.get(path, headers=headers) as response:
            body = await response.read()
            assert response.headers["Cache-Control"] == "no-store"
            shown = await response.json() if "json" in response.content_type else dict(response.headers)
            return response.status, shown, body

    async def reads(self) -> list[str]:
        """What the audit log has of readings."""
        page = await AuditLog(self.store.database).page(after=0, limit=100, found=AuditFilter(action="evidence.read"))
        assert all(record.entry.actor == "root" for record in page.items)
        return [words_of(record.entry.reason) for record in page.items]


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    store = KeyStore(migrated_sqlite(tmp_path / "streamd.db"))
    await store.start()
    api = Api(store, tmp_path)
    await api.house.room.open()
    await api.house.go_live(4)
    api.id, api.restricted_id = (await api.house.keep()).id, (await api.house.keep(OTHER_CASE)).id
    async with api.client:
        yield api
    await api.house.room.close()
    await store.close()


async def test_a_list_shows_nothing_of_what_is_in_the_pieces_and_is_no_reading(api: Api) -> None:
    status, page, body = await api.get("/api/v1/evidence?channel=alice")
    assert status == 200
    assert [piece["id"] for piece in page["evidence"]] == [api.restricted_id, api.id]
    assert [piece["restricted"] for piece in page["evidence"]] == [True, False]
    assert b"192.0.2.7" not in body
    assert await api.reads() == []
    _, page, _ = await api.get(f"/api/v1/evidence?case_id={CASE}&limit=1")
    assert [piece["id"] for piece in page["evidence"]] == [api.id]
    assert page["next_before"] is None
    _, page, _ = await api.get("/api/v1/evidence?limit=1")
    _, page, _ = await api.get(f"/api/v1/evidence?before={page['next_before']}")
    assert [piece["id"] for piece in page["evidence"]] == [api.id]


async def test_a_piece_shows_what_is_known_and_the_log_tells_who_looked(api: Api) -> None:
    status, piece, _ = await api.get(f"/api/v1/evidence/{api.id}")
    assert status == 200
    assert piece["facts"]["live"]["publisher_address"] == "192.0.2.7"
    assert {"main-0.mp4", "keyframe.jpg", "blurred.jpg", "facts.json"} <= set(piece["files"])
    assert await api.reads() == [f"{api.id}/facts"]


async def test_every_file_is_as_its_hash_says_and_each_reading_is_in_the_log(api: Api) -> None:
    _, piece, _ = await api.get(f"/api/v1/evidence/{api.id}")
    for file in piece["facts"]["files"]:
        status, headers, body = await api.get(f"/api/v1/evidence/{api.id}/files/{file['name']}?reason=case")
        assert status == 200
        assert hashlib.sha256(body).hexdigest() == file["sha256"]
        if not file["name"].endswith(".json"):
            assert headers["Content-Disposition"].startswith("attachment")
        assert (await api.reads())[-1] == f"{api.id}/{file['name']}: case"


async def test_a_player_may_ask_for_a_range(api: Api) -> None:
    status, _, body = await api.get(f"/api/v1/evidence/{api.id}/files/main-0.mp4", Range="bytes=4-7")
    assert (status, body) == (206, b"ftyp")


@pytest.mark.parametrize("query", ["", "?reveal=true", "?reason=to+decide", "?reveal=true&reason=+"])
@pytest.mark.parametrize("name", ["main-0.mp4", "keyframe.jpg"])
async def test_what_is_restricted_is_shown_to_nobody_who_does_not_say_why(api: Api, name: str, query: str) -> None:
    status, problem, _ = await api.get(f"/api/v1/evidence/{api.restricted_id}/files/{name}{query}")
    assert status == 403
    assert "restricted" in problem["detail"]
    assert await api.reads() == []


async def test_what_is_restricted_is_shown_blurred_and_on_demand(api: Api) -> None:
    one = f"/api/v1/evidence/{api.restricted_id}/files"
    assert (await api.get(f"{one}/blurred.jpg"))[0] == 200
    assert (await api.get(f"{one}/keyframe.jpg?reveal=true&reason=to+decide"))[0] == 200
    assert await api.reads() == [
        f"{api.restricted_id}/blurred.jpg",
        f"{api.restricted_id}/keyframe.jpg: to decide",
    ]


async def test_what_a_later_report_says_of_the_case_restricts_what_was_kept_before(api: Api) -> None:
    api.house.cases.restricted.add(CASE)
    _, page, _ = await api.get("/api/v1/evidence")
    assert [piece["restricted"] for piece in page["evidence"]] == [True, True]
    assert (await api.get(f"/api/v1/evidence/{api.id}/files/main-0.mp4"))[0] == 403


async def test_where_the_log_does_not_take_it_nothing_is_shown(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: object) -> None:
        raise StoreUnavailableError("the disk is full")

    monkeypatch.setattr(api.house.store, "note_read", fail)
    for path in ("", "/files/main-0.mp4", "/files/facts.json"):
        status, _, body = await api.get(f"/api/v1/evidence/{api.id}{path}")
        assert status == 503
        assert b"192.0.2.7" not in body


@pytest.mark.parametrize(
    "path",
    [
        "/evi_01kjmg3m00aaaaaaaaaaaaaaaa",
        "/evi_01kjmg3m00aaaaaaaaaaaaaaaa/files/main-0.mp4",
        "/nothing",
        "/{id}/files/%2e%2e%2fstreamd.db",
        "/{id}/files/..%2F..%2Fstreamd.db",
        "/{id}/files/chain.json.new",
        "/{id}/files/main-9.mp4",
    ],
)
async def test_there_is_nothing_else(api: Api, path: str) -> None:
    status, _, _ = await api.get("/api/v1/evidence" + path.format(id=api.id))
    assert status == 404
