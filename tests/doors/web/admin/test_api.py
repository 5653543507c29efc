from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession, TCPConnector
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry, Counter

from streamd.clock import ManualClock
from streamd.doors.web.admin import guards
from streamd.doors.web.admin.api import BODY_BYTES_MAX, admin_app
from streamd.doors.web.refusals import REFUSALS_LOGGED_PER_SOURCE
from streamd.errors import KeyRejectedError, StoreUnavailableError
from streamd.services.keys.act_journal import ActJournal
from streamd.services.keys.foreign_key import KEYS_MAX
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.service import KeyService
from streamd.services.keys.verifier import KeyVerifier
from streamd.services.live.meter import StreamSummary
from tests.support.console import console_of
from tests.support.live_streams import Streams, summary
from tests.support.ports import port_of

pytestmark = pytest.mark.asyncio

TOKEN = "t0ken-t0ken-t0ken-t0ken"
RTMP_URL = "rtmp://live.example.org/live"


class BreakableStore(KeyStore):
    """A store that can be made to fail."""

    is_down = False

    async def check(self) -> None:
        if self.is_down:
            raise StoreUnavailableError("the key store /secret/place is down")
        await super().check()

    async def get_key(self, key_id: str) -> Any:
        await self.check()
        return await super().get_key(key_id)

    is_full = False

    def _check_room(self) -> None:
        if self.is_full:
            raise StoreUnavailableError("the key store cannot be written: the disk is full")

    async def revoke_key(self, key_id: str, **act: Any) -> Any:
        self._check_room()
        return await super().revoke_key(key_id, **act)

    async def suspend_user(self, name: str, **act: Any) -> Any:
        self._check_room()
        return await super().suspend_user(name, **act)

    def audit_is_full(self) -> None:
        async def append(entries: object) -> None:
            raise StoreUnavailableError("the key store cannot be written: the disk is full")

        self.audit.append = append  # type: ignore[method-assign]  # the log of this store alone


class Api:
    """The admin API on a real listener, and what stands behind it."""

    def __init__(self, store: BreakableStore, directory: Path) -> None:
        self.clock = ManualClock()
        self.store = store
        self.verifier = KeyVerifier(store, self.clock)
        self.keys = KeyService(store, self.clock, self.verifier, journal=ActJournal(directory / "acts"))
        self.streams = Streams()
        self.verifier.admissions.attach(self.streams)
        self.metrics = CollectorRegistry()
        self.port = port_of("admin", clock=self.clock)
        self.not_ready_because: str | None = None
        self.warnings: list[str] = []
        self.wrong_tokens: list[str] = []
        app = admin_app(
            keys=self.keys,
            streams=self.streams,
            metrics=self.metrics,
            token=TOKEN,
            rtmp_urls=(RTMP_URL,),
            console=console_of(self.keys, self.streams, clock=self.clock),
            port=self.port,
            clock=self.clock,
            hosts=["admin.example.org"],
            not_ready_because=lambda: self.not_ready_because,
            warnings=self._warn,
            on_wrong_token=self.wrong_tokens.append,
        )
        self.client = TestClient(TestServer(app))

    async def _warn(self) -> list[str]:
        return self.warnings

    async def call(
        self, method: str, path: str, body: object = None, *, status: int = 200, **options: Any
    ) -> dict[str, Any]:
        """One call with the token; its answer has ``status`` and is JSON."""
        headers = {"Authorization": f"Bearer {TOKEN}"} | options.pop("headers", {})
        async with self.client.request(method, path, json=body, headers=headers, **options) as response:
            text = await response.text()
            assert response.status == status, text
            assert response.headers["Cache-Control"] == "no-store"
            expected = "application/json" if status < 400 else "application/problem+json"
            assert response.content_type == expected
            answer: dict[str, Any] = json.loads(text)
            if status >= 400:
                assert answer["status"] == status
                assert answer["title"]
                assert answer["detail"]
            return answer

    async def issue(self, user: str = "alice", **body: object) -> dict[str, Any]:
        return await self.call("POST", "/api/v1/keys", {"user": user, **body}, status=201)


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    store = BreakableStore(f"sqlite+aiosqlite:///{tmp_path / 'streamd.db'}")
    await store.start()
    api = Api(store, tmp_path)
    async with api.client:
        yield api
    await store.close()


class TestKeys:
    async def test_a_new_key_is_shown_whole_and_only_once(self, api: Api) -> None:
        key = await api.issue(label="main")
        assert set(key) == {
            *("id", "user", "label", "state", "user_state", "stream_key", "rtmp_url", "rtmp_urls", "created_at"),
            *("expires_at", "replaces", "replaced_works_until", "closed"),
        }
        assert (key["user"], key["label"], key["state"], key["rtmp_url"]) == ("alice", "main", "active", RTMP_URL)
        assert (await api.verifier.verify(key["stream_key"], "192.0.2.9")).user == "alice"
        secret = key["stream_key"].rpartition("_")[2]
        for path in (f"/api/v1/keys/{key['id']}", "/api/v1/keys", "/api/v1/audit", "/api/v1/users"):
            assert secret not in json.dumps(await api.call("GET", path))

    async def test_a_key_says_where_it_stands(self, api: Api) -> None:
        issued = await api.issue(expires_at=(api.clock.now() + timedelta(hours=1)).isoformat())
        await api.verifier.verify(issued["stream_key"], "192.0.2.9")
        key = await api.call("GET", f"/api/v1/keys/{issued['id']}")
        assert (key["state"], key["last_used_address"], key["created_by"]) == ("active", "192.0.2.9", "root")
        assert "stream_key" not in key
        api.clock.advance(3600)
        assert (await api.call("GET", f"/api/v1/keys/{issued['id']}"))["state"] == "expired"

    async def test_lists_come_in_pages_and_filtered(self, api: Api) -> None:
        issued = [await api.issue() for _ in range(3)] + [await api.issue("bob")]
        await api.call("POST", f"/api/v1/keys/{issued[0]['id']}/revoke")
        ids: list[str] = []
        after: int | None = 0
        while after is not None:
            page = await api.call("GET", "/api/v1/keys", params={"limit": "2", "after": str(after), "user": "alice"})
            ids += [key["id"] for key in page["keys"]]
            after = page["next_after"]
        assert ids == [key["id"] for key in issued[:3]]
        page = await api.call("GET", "/api/v1/keys", params={"state": "revoked"})
        assert [key["id"] for key in page["keys"]] == ids[:1]

    async def test_revoking_closes_and_says_what_and_again_the_same(self, api: Api) -> None:
        key = await api.issue()
        api.streams.live["alice"] = summary("alice", key["id"])
        once = await api.call("POST", f"/api/v1/keys/{key['id']}/revoke", {"reason": "leaked"})
        assert (once["id"], once["closed"], api.streams.live) == (key["id"], ["alice"], {})
        assert await api.call("POST", f"/api/v1/keys/{key['id']}/revoke") == once
        with pytest.raises(KeyRejectedError):
            await api.verifier.verify(key["stream_key"], "192.0.2.9")

    async def test_rotating_gives_a_new_key_and_both_work_in_the_overlap(self, api: Api) -> None:
        old = await api.issue()
        new = await api.call("POST", f"/api/v1/keys/{old['id']}/rotate", {"overlap_s": 60}, status=201)
        assert (await api.call("GET", f"/api/v1/keys/{old['id']}"))["replaced_by"] == new["id"]
        for key in (old, new):
            await api.verifier.verify(key["stream_key"], "192.0.2.9")
        await api.call("POST", f"/api/v1/keys/{old['id']}/rotate", status=409)

    async def test_a_created_key_says_where_it_is(self, api: Api) -> None:
        headers = {"Authorization": f"bearer {TOKEN}"}
        async with api.client.post("/api/v1/keys", json={"user": "alice"}, headers=headers) as response:
            assert response.headers["Location"] == f"/api/v1/keys/{(await response.json())['id']}"


class TestUsers:
    async def test_suspending_closes_and_restoring_opens(self, api: Api) -> None:
        key = await api.issue()
        api.streams.live["alice"] = summary("alice", key["id"])
        user = await api.call("PATCH", "/api/v1/users/alice", {"state": "suspended", "reason": "abuse"})
        assert (user["state"], user["suspend_reason"], api.streams.live) == ("suspended", "abuse", {})
        assert (user.pop("closed"), user.pop("nodes")) == (["alice"], {})
        assert await api.call("GET", "/api/v1/users/alice") == user
        page = await api.call("GET", "/api/v1/users", params={"state": "suspended"})
        assert page == {"users": [user], "next_after": None}
        assert (await api.call("PATCH", "/api/v1/users/alice", {"state": "active"}))["state"] == "active"

    async def test_what_they_may_send_is_changed_field_by_field(self, api: Api) -> None:
        await api.issue()
        path = "/api/v1/users/alice"
        user = await api.call("PATCH", path, {"limits": {"bitrate_kbps_max": 6000, "picture_pixels_max": 2_088_960}})
        assert user["limits"] == {"bitrate_kbps_max": 6000, "picture_pixels_max": 2_088_960}
        change = {"limits": {"bitrate_kbps_max": None}, "state": "suspended", "reason": "plan"}
        user = await api.call("PATCH", path, change)
        assert (user["limits"], user["state"]) == (
            {"bitrate_kbps_max": None, "picture_pixels_max": 2_088_960},
            "suspended",
        )
        assert await api.call("GET", path) | {"closed": [], "nodes": {}} == user

    @pytest.mark.parametrize("body", [{}, {"reason": "x"}, {"limits": {"bitrate_kbps_max": 0}}, {"limits": {"x": 1}}])
    async def test_a_change_that_is_none_is_refused(self, api: Api, body: dict[str, Any]) -> None:
        await api.issue()
        await api.call("PATCH", "/api/v1/users/alice", body, status=422)

    async def test_they_come_in_pages(self, api: Api) -> None:
        for name in ("carol", "alice", "bob"):
            await api.issue(name)
        first = await api.call("GET", "/api/v1/users", params={"limit": "2"})
        rest = await api.call("GET", "/api/v1/users", params={"limit": "2", "after": first["next_after"]})
        assert [user["name"] for user in first["users"] + rest["users"]] == ["alice", "bob", "carol"]
        assert rest["next_after"] is None


class TestStreams:
    async def test_they_are_listed_by_name_with_all_that_the_contract_names(self, api: Api) -> None:
        api.streams.live = {name: summary(name) for name in ("bob", "alice")}
        listed = (await api.call("GET", "/api/v1/streams"))["streams"]
        assert [stream["name"] for stream in listed] == ["alice", "bob"]
        assert await api.call("GET", "/api/v1/streams/alice") == listed[0]
        assert listed[0] == {
            "name": "alice",
            "key_id": "7k2m9xq4ct",
            "live_since": "2026-01-01T00:00:00Z",
            "publisher_address": "192.0.2.1",
            "recording_id": None,
            "encoder": "obs",
            "codecs": ["avc1.640028", "mp4a.40.2"],
            "width": 1920,
            "height": 1080,
            "bitrate_bps": 6e6,
            "frame_rate": 60.0,
            "keyframe_interval_s": 2.0,
            "health": {
                "status": "ok",
                "findings": [
                    {
                        "code": "frames_missing",
                        "severity": "warning",
                        "message": "Frames are missing.",
                        "advice": "Send them.",
                        "since": "2026-01-01T00:00:00Z",
                    }
                ],
            },
            "viewers": {"hls": 3},
            "tags_dropped": 0,
            "timestamps_repaired": 0,
        }

    async def test_a_field_that_is_unknown_is_not_repeated(self, api: Api) -> None:
        secret = "sk_7k2m9xq4ct_aB3aB3aB3"
        for answer in (
            await api.call("POST", "/api/v1/keys", {secret: "alice"}, status=422),
            await api.call("GET", f"/api/v1/keys?{secret}=1", status=422),
            await api.call("GET", f"/api/v1/keys?{secret}=1&{secret}=2", status=422),
        ):
            assert secret not in str(answer)
            assert "an unknown field" in str(answer)

    async def test_a_kick_closes_and_is_audited(self, api: Api) -> None:
        api.streams.live["alice"] = summary("alice")
        answer = await api.call("POST", "/api/v1/streams/alice/kick", {"reason": "test"})
        assert (answer, api.streams.live) == ({"name": "alice", "kicked": True, "unwritten": "", "nodes": {}}, {})
        (entry,) = (await api.call("GET", "/api/v1/audit"))["entries"]
        assert (entry["action"], entry["stream"], entry["reason"], entry["actor"], entry["address"]) == (
            "stream.kicked", "alice", "test", "root", "127.0.0.1",
        )  # fmt: skip
        await api.call("POST", "/api/v1/streams/alice/kick", status=404)


class TestAStoreThatCannotBeWritten:
    """With a full disk, or without its database."""

    async def test_a_revocation_is_done_and_accepted(self, api: Api) -> None:
        key = await api.issue()
        api.streams.live["alice"] = summary("alice", key["id"])
        api.store.is_full = True
        path = f"/api/v1/keys/{key['id']}"
        answer = await api.call("POST", f"{path}/revoke", {"reason": "leaked"}, status=202)
        assert (answer["closed"], answer["reason"], api.streams.live) == (["alice"], "leaked", {})
        assert "the disk is full" in answer["unwritten"]
        assert (await api.call("GET", path))["state"] == "revoked"
        api.store.is_full = False
        again = await api.call("POST", f"{path}/revoke")
        assert again == answer | {"unwritten": ""}

    async def test_a_suspension_is_done_and_accepted(self, api: Api) -> None:
        key = await api.issue()
        admission = await api.verifier.verify(key["stream_key"], "192.0.2.9")
        api.streams.live["alice"] = summary("alice", admission.key_id)
        api.store.is_full = True
        others = {"limits": {"bitrate_kbps_max": 6000}, "listed": False, "record": None}
        change = {"state": "suspended", **others, "reason": "abuse"}
        answer = await api.call("PATCH", "/api/v1/users/alice", change, status=202)
        assert (answer["closed"], answer["state"], api.streams.live) == (["alice"], "suspended", {})
        assert "the disk is full" in answer["unwritten"]
        assert answer["unwritten"].endswith("; not changed: limits, listed, record")
        assert (await api.call("GET", "/api/v1/users/alice"))["state"] == "suspended"

    async def test_a_kick_is_done_and_accepted(self, api: Api) -> None:
        api.streams.live["alice"] = summary("alice")
        api.store.audit_is_full()
        answer = await api.call("POST", "/api/v1/streams/alice/kick", {"reason": "test"}, status=202)
        assert (answer["kicked"], api.streams.live) == (True, {})
        assert "the disk is full" in answer["unwritten"]

    async def test_a_kick_whose_reason_cannot_be_kicks_nobody(self, api: Api) -> None:
        api.streams.live["alice"] = summary("alice")
        await api.call("POST", "/api/v1/streams/alice/kick", {"reason": "a\nb"}, status=422)
        assert "alice" in api.streams.live


class TestAudit:
    async def test_it_comes_in_pages_in_order(self, api: Api) -> None:
        await api.issue()
        await api.issue()
        first = await api.call("GET", "/api/v1/audit", params={"limit": "2"})
        rest = await api.call("GET", "/api/v1/audit", params={"after": str(first["next_after"])})
        assert [e["action"] for e in first["entries"] + rest["entries"]] == ["user.created", "key.issued", "key.issued"]
        assert rest["next_after"] is None


class TestDeletion:
    async def test_a_key_and_a_user_are_gone_and_the_log_says_who_did_it(self, api: Api) -> None:
        first, second = [await api.call("POST", "/api/v1/keys", {"user": "alice"}, status=201) for _ in range(2)]
        api.streams.live["alice"] = summary("alice", first["id"])
        answer = await api.call("DELETE", f"/api/v1/keys/{first['id']}?reason=asked")
        assert answer == {"id": first["id"], "closed": ["alice"]}
        await api.call("DELETE", f"/api/v1/keys/{first['id']}", status=404)
        assert await api.call("DELETE", "/api/v1/users/alice") == {"name": "alice", "keys": 1, "closed": []}
        await api.call("DELETE", "/api/v1/users/alice", status=404)
        await api.call("GET", f"/api/v1/keys/{second['id']}", status=404)
        entries = (await api.call("GET", "/api/v1/audit?newest_first=true"))["entries"]
        deleted = [(row["action"], row["actor"], row["reason"]) for row in entries if "deleted" in row["action"]]
        assert deleted == [("user.deleted", "root", ""), ("key.deleted", "root", "asked")]


class TestImport:
    SECRET = "Xk29sQm4Tz81LdRw"

    async def test_keys_are_imported_once_and_shown_without_their_secrets(self, api: Api) -> None:
        body = {"keys": [{"user": "alice", "secret": self.SECRET, "label": "studio"}]}
        for outcome in ("imported", "known"):
            answer = await api.call("POST", "/api/v1/keys/import", body)
            assert answer["keys"][0]["outcome"] == outcome
            assert self.SECRET not in json.dumps(answer)
        assert (await api.verifier.verify(self.SECRET, "192.0.2.7")).user == "alice"

    async def test_the_largest_import_is_read(self, api: Api) -> None:
        keys = [
            {
                "user": f"user{number}" + "x" * 50,
                "secret": "\U0001f600" * 189 + f"abcdef{number:05}",
                "label": "\U0001f600" * 100,
            }
            for number in range(KEYS_MAX)
        ]
        answer = await api.call("POST", "/api/v1/keys/import", {"keys": keys}, status=200)
        assert answer["imported"] == KEYS_MAX

    async def test_a_refusal_lists_every_fault_by_line_or_place_and_no_secret(self, api: Api) -> None:
        body = {"keys": [{"user": "B", "secret": self.SECRET, "line": 7}, {"user": "bob", "secret": "hunter2"}]}
        answer = await api.call("POST", "/api/v1/keys/import", body, status=422)
        assert answer["detail"] == "nothing was imported"
        assert [error.partition(":")[0] for error in answer["errors"]] == ["line 7", "key 2"]
        assert not {self.SECRET, "hunter2"} & set(json.dumps(answer).split('"'))
        lenient = {**body, "check_only": True, "allow_weak": True}
        assert len((await api.call("POST", "/api/v1/keys/import", lenient, status=422))["errors"]) == 1

    async def test_too_many_are_refused(self, api: Api) -> None:
        keys = [{"user": "alice", "secret": self.SECRET}] * (KEYS_MAX + 1)
        await api.call("POST", "/api/v1/keys/import", {"keys": keys}, status=422)


class TestBadInput:
    @pytest.mark.parametrize(
        ("body", "fault"),
        [
            ({}, "user: Field required"),
            ({"user": "A b"}, "user: String should match"),
            ({"user": 5}, "user: Input should be a valid string"),
            ({"user": "alice", "label": "x" * 101}, "label: String should have at most 100"),
            ({"user": "alice", "expires_at": "tomorrow"}, "expires_at: Input should be a valid datetime"),
            ({"user": "alice", "expires_at": "2030-01-01T00:00:00"}, "expires_at: Input should have timezone"),
            ({"user": "alice", "expire_at": None}, "expire_at: Extra inputs are not permitted"),
            ([], "body: Input should be"),
        ],
    )
    async def test_each_fault_of_a_body_is_told_with_its_field(self, api: Api, body: object, fault: str) -> None:
        problem = await api.call("POST", "/api/v1/keys", body, status=422)
        assert any(error.startswith(fault) for error in problem["errors"])
        assert (await api.call("GET", "/api/v1/keys"))["keys"] == []

    async def test_what_the_service_refuses_is_told(self, api: Api) -> None:
        past = {"user": "alice", "expires_at": "2020-01-01T00:00:00Z"}
        assert (await api.call("POST", "/api/v1/keys", past, status=422))["detail"] == "expires_at is in the past"

    @pytest.mark.parametrize(
        ("data", "content_type", "status"),
        [
            (b"{", "application/json", 400),
            (b"\xff\xfe", "application/json", 400),
            (b"", "application/json", 422),
            (b'{"user": "alice"}', "text/plain", 415),
            (b'{"user": "alice"}', "application/x-www-form-urlencoded", 415),
            (b"x" * (BODY_BYTES_MAX + 1), "application/json", 413),
            (b"[" * 10_000, "application/json", 400),
            (b'{"user": "\\ud800alice"}', "application/json", 400),
        ],
    )
    async def test_what_is_not_json_is_refused(self, api: Api, data: bytes, content_type: str, status: int) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": content_type}
        async with api.client.post("/api/v1/keys", data=data, headers=headers) as response:
            assert response.status == status
            assert response.content_type == "application/problem+json"

    @pytest.mark.parametrize(
        "query",
        [
            "limit=0",
            "limit=1001",
            "limit=x",
            "after=-1",
            f"after={2**63}",
            "state=dead",
            "user=A",
            "x=1",
            "limit=1&limit=2",
        ],
    )
    async def test_a_query_that_does_not_validate_is_refused(self, api: Api, query: str) -> None:
        await api.call("GET", f"/api/v1/keys?{query}", status=422)

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/api/v1/keys/0000000000", 404),
            ("GET", "/api/v1/keys/..%2f..%2fetc", 404),
            ("GET", "/api/v1/keys/%00", 404),
            ("POST", "/api/v1/keys/0000000000/revoke", 404),
            ("POST", "/api/v1/keys/0000000000/rotate", 404),
            ("GET", "/api/v1/users/nobody", 404),
            ("GET", "/api/v1/users/%F0%9F%8E%A5", 404),
            ("GET", "/api/v1/streams/nobody", 404),
            ("GET", "/nothing", 404),
            ("DELETE", "/api/v1/keys", 405),
        ],
    )
    async def test_what_is_not_there_is_a_problem_too(self, api: Api, method: str, path: str, status: int) -> None:
        await api.call(method, path, status=status)

    async def test_head_is_answered_where_get_is(self, api: Api) -> None:
        for path in ("/healthz", "/readyz", "/api/v1/keys"):
            async with api.client.head(path, headers={"Authorization": f"Bearer {TOKEN}"}) as response:
                assert (response.status, await response.read()) == (200, b"")

    async def test_a_wrong_method_says_which_are_right(self, api: Api) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with api.client.delete("/api/v1/keys", headers=headers) as response:
            assert {method.strip() for method in response.headers["Allow"].split(",")} >= {"GET", "POST"}

    async def test_a_whole_key_where_its_id_belongs_is_not_repeated(
        self, api: Api, caplog: pytest.LogCaptureFixture
    ) -> None:
        secret = (await api.issue())["stream_key"]
        with caplog.at_level(logging.INFO):
            answers = [
                await api.call("GET", f"/api/v1/keys/{secret}", status=404),
                await api.call("GET", f"/api/v1/users/{secret}", status=404),
                await api.call("GET", f"/api/v1/streams/{secret}", status=404),
                await api.call("POST", "/api/v1/keys", {"user": secret}, status=422),
                await api.call("POST", "/api/v1/keys", {"user": "alice", "label": secret}, status=422),
                await api.call("GET", "/api/v1/keys", params={"user": secret}, status=422),
            ]
        assert secret not in json.dumps(answers)


class TestGuards:
    @pytest.mark.parametrize(
        "authorization",
        [None, "", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN],
    )
    @pytest.mark.parametrize("path", ["/api/v1/keys", "/metrics", "/nothing", "/healthz/"])
    async def test_without_the_token_nothing_is_told(self, api: Api, authorization: str | None, path: str) -> None:
        headers = {} if authorization is None else {"Authorization": authorization}
        async with api.client.get(path, headers=headers) as response:
            assert response.status == 401
            assert response.content_type == "application/problem+json"
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            assert TOKEN not in await response.text()

    @pytest.mark.parametrize(
        ("host", "is_allowed"),
        [
            ("127.0.0.1:8081", True),
            ("localhost", True),
            ("LOCALHOST:1", True),
            ("[::1]:8081", True),
            ("admin.example.org", True),
            ("evil.example", False),
            ("localhost.evil.example", False),
            ("", False),
        ],
    )
    async def test_only_our_own_names_are_answered_to(self, api: Api, host: str, is_allowed: bool) -> None:
        async with api.client.get("/healthz", headers={"Host": host}) as response:
            assert response.status == (200 if is_allowed else 421)

    @pytest.mark.parametrize(
        ("origin", "status"),
        [
            ("http://127.0.0.1:8081", 200),
            ("https://evil.example", 403),
            ("http://127.0.0.1:8082", 403),
            ("null", 403),
        ],
    )
    async def test_pages_of_other_sites_are_refused_even_with_the_token(
        self, api: Api, origin: str, status: int
    ) -> None:
        await api.call("GET", "/api/v1/keys", status=status, headers={"Host": "127.0.0.1:8081", "Origin": origin})


class TestHealth:
    async def test_alive_and_ready_are_told_to_anybody(self, api: Api) -> None:
        for path in ("/healthz", "/readyz"):
            async with api.client.get(path) as response:
                assert (response.status, await response.json()) == (200, {"status": "ok"})

    async def test_not_ready_without_the_store_and_while_draining(self, api: Api) -> None:
        api.store.is_down = True
        async with api.client.get("/readyz") as response:
            assert (response.status, await response.json()) == (503, {"status": "the key store is unavailable"})
        api.store.is_down = False
        api.not_ready_because = "the server is stopping"
        async with api.client.get("/readyz") as response:
            assert (response.status, await response.json()) == (503, {"status": "the server is stopping"})

    async def test_what_should_not_last_is_told_of_a_server_that_is_ready(self, api: Api) -> None:
        api.warnings = ["the disk of the data directory is full"]
        async with api.client.get("/readyz") as response:
            assert (response.status, await response.json()) == (200, {"status": "ok", "warnings": api.warnings})

    async def test_a_store_that_fails_is_503_and_does_not_tell_where_it_is(self, api: Api) -> None:
        api.store.is_down = True
        problem = await api.call("GET", "/api/v1/keys/0000000000", status=503)
        assert "/secret/place" not in json.dumps(problem)

    async def test_metrics_are_prometheus_text(self, api: Api) -> None:
        Counter("streamd_things_total", "Things.", registry=api.metrics).inc()
        async with api.client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}) as response:
            assert response.headers["Content-Type"].startswith("text/plain")
            assert "streamd_things_total 1.0" in await response.text()

    async def test_a_fault_of_ours_is_500_without_a_traceback(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken() -> Sequence[StreamSummary]:
            raise RuntimeError("inner detail")

        monkeypatch.setattr(api.streams, "summaries", broken)
        assert "inner detail" not in json.dumps(await api.call("GET", "/api/v1/streams", status=500))


async def test_many_calls_at_once_are_all_answered(api: Api) -> None:
    issued = await asyncio.gather(*(api.issue(f"user{number}") for number in range(20)))
    answers = await asyncio.gather(*(api.call("POST", f"/api/v1/keys/{key['id']}/revoke") for key in issued))
    assert {answer["id"] for answer in answers} == {key["id"] for key in issued}


class TestWrongTokens:
    async def show(self, api: Api, token: str = "wrong", path: str = "/api/v1/keys") -> int:
        async with api.client.get(path, headers={"Authorization": f"Bearer {token}"}) as response:
            assert TOKEN not in str(response.headers)
            return response.status

    async def test_each_leaves_a_trace(self, api: Api, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        assert [await self.show(api) for _ in range(10)] == [401] * 10
        assert api.wrong_tokens == ["127.0.0.1"] * 10
        told = [record for record in caplog.records if record.message == "request.refused"]
        assert len(told) == REFUSALS_LOGGED_PER_SOURCE
        assert {getattr(record, "reason", "") for record in told} == {"token"}

    async def test_none_at_all_is_no_wrong_one(self, api: Api) -> None:
        async with api.client.get("/api/v1/keys") as response:
            assert response.status == 401
        assert api.wrong_tokens == []

    async def test_past_what_is_answered_in_time_they_are_429_and_the_right_one_gets_in(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(guards, "WRONG_TOKEN_WAITS_MAX_S", 0.0)
        answered = [await self.show(api) for _ in range(30)]
        assert answered == [401] * 20 + [429] * 10
        assert await self.show(api, TOKEN) == 200
        api.clock.advance(1)
        assert await self.show(api) == 401

    async def test_the_right_one_gets_in_through_a_flood(self, api: Api) -> None:
        while api.port.budget.spend("127.0.0.1"):
            pass
        assert await self.show(api) == 429
        assert await self.show(api, TOKEN) == 200

    async def test_health_is_told_through_a_flood(self, api: Api) -> None:
        while api.port.budget.spend("127.0.0.1"):
            pass
        assert await self.show(api) == 429
        for path in guards.HEALTH_PATHS:
            async with api.client.get(path) as response:
                assert response.status == 200

    async def test_a_flood_of_health_checks_is_bounded_and_takes_nothing_from_others(self, api: Api) -> None:
        at_once = int(guards.HEALTH_CHECKS_PER_SECOND * guards.HEALTH_CHECKS_BURST_S)
        answered = [await self.show(api, path="/healthz") for _ in range(at_once + 5)]
        assert answered == [200] * at_once + [429] * 5
        assert await self.show(api, path="/") == 200
        assert await self.show(api, TOKEN, path="/healthz") == 200
        api.clock.advance(1)
        assert await self.show(api, path="/readyz") == 200

    async def test_all_addresses_of_this_machine_are_one(self, api: Api) -> None:
        while api.port.budget.spend("127.0.0.1"):
            pass
        connector = TCPConnector(local_addr=("127.3.2.1", 0))
        async with ClientSession(connector=connector) as session, session.get(api.client.make_url("/")) as response:
            assert response.status == 429


class TestDescriptions:
    async def test_the_list_of_streams_is_made_once_for_a_moment(self, api: Api) -> None:
        api.streams.live["alice"] = summary("alice")
        first = await api.call("GET", "/api/v1/streams")
        api.streams.live["alice"] = replace(summary("alice"), bitrate_bps=1.0)
        assert await api.call("GET", "/api/v1/streams") == first
        api.clock.advance(1)
        assert (await api.call("GET", "/api/v1/streams"))["streams"][0]["bitrate_bps"] == 1.0

    async def test_who_is_gone_is_gone_at_once(self, api: Api) -> None:
        api.streams.live["alice"] = summary("alice")
        await api.call("GET", "/api/v1/streams")
        del api.streams.live["alice"]
        assert await api.call("GET", "/api/v1/streams") == {"streams": []}


class TestPreconditions:
    """RFC 9110 section 13.1.1."""

    async def test_nothing_is_done_where_a_tag_is_asked_for(self, api: Api) -> None:
        await api.call("POST", "/api/v1/keys", {"user": "alice"}, status=412, headers={"If-Match": '"x"'})
        assert (await api.call("GET", "/api/v1/keys"))["keys"] == []
