"""The console's page, sessions and events as HTTP has them. How it behaves in a browser is in tests/browser."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp import ClientError, ClientResponse, hdrs, web
from aiohttp.test_utils import TestClient, TestServer

from streamd.clock import ManualClock
from streamd.doors.web.admin import events
from streamd.doors.web.admin.api import admin_app
from streamd.doors.web.admin.console import SESSION_LIMITS, Console
from streamd.doors.web.admin.events import LISTENERS_MAX
from streamd.doors.web.assets import ROOT
from streamd.services.audit.records import Actor
from streamd.services.history import History
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.service import KeyService
from streamd.services.keys.verifier import KeyVerifier
from streamd.services.live.health import Health, HealthStatus
from streamd.services.live.meter import StreamSummary
from streamd.services.metrics import Metrics
from tests.support.ports import port_of

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.asyncio

TOKEN = "t0ken-t0ken-t0ken-t0ken"
TIMEOUT_S = 10
STATIC = ROOT / "static"


class Streams:
    """Live streams by name."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def summaries(self) -> Sequence[StreamSummary]:
        return [
            StreamSummary(
                name, "7k2m9xq4ct", ManualClock().now(), "192.0.2.1", "obs", ("avc1.640028",), 1920, 1080, 6e6, 60.0,
                2.0, Health(HealthStatus.GOOD), {"hls": 3},
            )
            for name in self.names
        ]  # fmt: skip

    def summary(self, name: str) -> StreamSummary | None:
        return next((summary for summary in self.summaries() if summary.name == name), None)

    async def kick(self, name: str) -> bool:
        return False


class House:
    """The admin port with a console, and what stands behind it."""

    def __init__(self, store: KeyStore) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.streams = Streams()
        self.keys = KeyService(store, self.clock, KeyVerifier(store, self.clock))
        self.history = History(self.metrics, self.clock)
        self.console = Console(
            clock=self.clock,
            streams=self.streams,
            history=self.history,
            revision=lambda: self.keys.revision,
            public_origin=lambda hostname: f"http://{hostname}:8080",
        )
        app = admin_app(
            keys=self.keys,
            streams=self.streams,
            metrics=self.metrics.registry,
            token=TOKEN,
            rtmp_urls=("rtmp://localhost/live",),
            console=self.console,
            port=port_of("admin", clock=self.clock),
            clock=self.clock,
            hosts=["admin.example.org"],
        )
        self.client = TestClient(TestServer(app))

    async def call(self, method: str, path: str, token: str = TOKEN, status: int = 200) -> dict[str, Any]:
        async with self.client.request(method, path, headers={"Authorization": f"Bearer {token}"}) as response:
            assert response.status == status, await response.text()
            answer: dict[str, Any] = await response.json()
            return answer

    async def sign_in(self) -> str:
        return str((await self.call("POST", "/api/v1/session", status=201))["token"])

    async def listen(self, token: str = TOKEN) -> Listener:
        response = await self.client.get("/api/v1/events", headers={"Authorization": f"Bearer {token}"})
        assert response.status == 200, await response.text()
        return Listener(response)


class Listener:
    """One console's events."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response

    async def next(self) -> tuple[str, Any]:
        """The next event with its data."""
        async with asyncio.timeout(TIMEOUT_S):
            event = (await self.response.content.readline()).decode().removeprefix("event: ").strip()
            data = (await self.response.content.readline()).decode().removeprefix("data: ")
            assert await self.response.content.readline() == b"\n"
        return event, json.loads(data)

    async def is_over(self) -> bool:
        async with asyncio.timeout(TIMEOUT_S):
            return await self.response.content.read() == b""


@pytest_asyncio.fixture
async def house(store: KeyStore) -> AsyncIterator[House]:
    house = House(store)
    async with house.client:
        yield house


class TestThePage:
    async def test_needs_no_token_and_holds_no_secret(self, house: House) -> None:
        async with house.client.get("/") as response:
            text = await response.text()
            assert response.status == 200
            assert response.content_type == "text/html"
            assert TOKEN not in text
            for path in re.findall(r'(?:src|href)="(/static/[^"]+)"', text):
                async with house.client.get(path) as file:
                    assert file.status == 200, path

    async def test_runs_no_code_but_its_files_and_plays_from_the_public_port_alone(self, house: House) -> None:
        async with house.client.get("/", headers={hdrs.HOST: "admin.example.org:8081"}) as response:
            policy = dict(
                directive.strip().split(" ", 1) for directive in response.headers["Content-Security-Policy"].split(";")
            )
            assert 'data-public="http://admin.example.org:8080"' in await response.text()
        assert policy["default-src"] == policy["frame-ancestors"] == policy["trusted-types"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["media-src"] == "http://admin.example.org:8080"

    async def test_is_not_given_under_a_name_that_is_not_ours(self, house: House) -> None:
        async with house.client.get("/", headers={hdrs.HOST: "evil.example"}) as response:
            assert response.status == 421

    async def test_an_ipv6_address_keeps_its_brackets(self, house: House) -> None:
        async with house.client.get("/", headers={hdrs.HOST: "[::1]:8081"}) as response:
            assert 'data-public="http://[::1]:8080"' in await response.text()

    async def test_every_module_that_is_imported_is_there_and_none_makes_html_from_text(self) -> None:
        modules = [*STATIC.glob("console/*.js"), *STATIC.glob("studio/*.js"), STATIC / "dom.js", STATIC / "health.js"]
        assert len(modules) > 10
        for module in modules:
            text = module.read_text("utf-8")
            for name in re.findall(r'^import .* from "(.+)";$', text, re.MULTILINE):
                assert (module.parent / name).is_file(), f"{module.name} imports {name}"
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)


class TestSessions:
    async def test_the_admin_token_is_exchanged_for_a_session_that_can_do_the_same(self, house: House) -> None:
        token = await house.sign_in()
        assert token != TOKEN
        assert await house.call("GET", "/api/v1/streams", token) == {"streams": []}

    async def test_what_a_console_does_stands_in_the_audit_log_by_the_name_of_who_signed_in(self, house: House) -> None:
        key = await house.keys.issue("alice", by=Actor("test"))
        await house.call("POST", f"/api/v1/keys/{key.record.key_id}/revoke", await house.sign_in())
        (row, *_) = (await house.call("GET", "/api/v1/audit?newest_first=true"))["entries"]
        assert (row["action"], row["actor"], row["address"]) == ("key.revoked", "root", "127.0.0.1")

    async def test_a_session_cannot_begin_another(self, house: House) -> None:
        await house.call("POST", "/api/v1/session", await house.sign_in(), status=403)

    async def test_without_the_token_there_is_none(self, house: House) -> None:
        await house.call("POST", "/api/v1/session", "wrong", status=401)

    async def test_signing_out_ends_it(self, house: House) -> None:
        token = await house.sign_in()
        assert await house.call("POST", "/api/v1/session/end", token) == {"ended": True}
        await house.call("GET", "/api/v1/streams", token, status=401)

    async def test_it_goes_on_in_the_next_server_unless_the_admin_token_is_another(self, house: House) -> None:
        token = await house.sign_in()
        records = house.console.sessions.records()
        for admin_token, status in (("", 200), ("another", 401)):
            house.console.sessions.__init__(house.clock, SESSION_LIMITS)  # type: ignore[misc]
            house.console.sessions.secret = admin_token
            house.console.restore(records)
            await house.call("GET", "/api/v1/users", token, status=status)

    async def test_the_admin_token_is_no_session_that_could_end(self, house: House) -> None:
        assert await house.call("POST", "/api/v1/session/end") == {"ended": False}
        await house.call("GET", "/api/v1/streams")

    async def test_it_ends_by_itself(self, house: House) -> None:
        token = await house.sign_in()
        house.clock.advance(SESSION_LIMITS.idle_s)
        await house.call("GET", "/api/v1/streams", token, status=401)


class TestHistory:
    async def test_shows_the_samples_oldest_first(self, house: House) -> None:
        for _ in range(3):
            house.clock.advance(5)
            house.history.tick()
        answer = await house.call("GET", "/api/v1/history")
        assert answer["interval_s"] == 5
        assert len(answer["samples"]) == 3
        assert answer["samples"][0]["at"] < answer["samples"][2]["at"]


class TestEvents:
    async def test_begin_with_what_is_live(self, house: House) -> None:
        house.streams.names = ["alice"]
        listener = await house.listen()
        event, data = await listener.next()
        assert (event, [stream["name"] for stream in data["streams"]]) == ("streams", ["alice"])
        assert (await listener.next())[0] == "records"

    async def test_tell_what_changes_and_nothing_else(self, house: House) -> None:
        listener = await house.listen()
        await listener.next()
        await listener.next()
        house.console.events.tick()
        house.streams.names = ["alice"]
        house.console.events.tick()
        event, data = await listener.next()
        assert (event, len(data["streams"])) == ("streams", 1)
        await house.keys.issue("bob", by=Actor("test"))
        house.console.events.tick()
        assert (await listener.next())[0] == "records"
        house.clock.advance(5)
        house.history.tick()
        house.console.events.tick()
        event, data = await listener.next()
        assert (event, data["viewers"]) == ("sample", 0)

    async def test_who_reads_late_is_told_the_newest(self, house: House) -> None:
        listener = await house.listen()
        await listener.next()
        await listener.next()
        for count in (1, 2, 3):
            house.streams.names = ["alice", "bob", "carol"][:count]
            house.console.events.tick()
        _, data = await listener.next()
        assert len(data["streams"]) == 3

    async def test_end_with_the_session(self, house: House) -> None:
        token = await house.sign_in()
        listener = await house.listen(token)
        await listener.next()
        await listener.next()
        await house.call("POST", "/api/v1/session/end", token)
        house.streams.names = ["alice"]
        house.console.events.tick()
        assert await listener.is_over()

    async def test_end_with_the_server(self, house: House) -> None:
        listener = await house.listen()
        await listener.next()
        await listener.next()
        house.console.events.close()
        assert await listener.is_over()

    async def test_need_the_token(self, house: House) -> None:
        await house.call("GET", "/api/v1/events", "wrong", status=401)

    async def test_only_so_many_may_listen(self, house: House) -> None:
        listeners = [await house.listen() for _ in range(LISTENERS_MAX)]
        await house.call("GET", "/api/v1/events", status=503)
        for listener in listeners:
            listener.response.close()

    async def test_who_takes_nothing_is_let_go(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        async def waits_for_ever(_: web.StreamResponse, __: bytes) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(events, "WRITE_TIMEOUT_S", 0.01)
        monkeypatch.setattr(web.StreamResponse, "write", waits_for_ever)
        listener = await house.listen()
        with pytest.raises(ClientError):
            await listener.is_over()
        assert len(house.console.events._listeners) == 0
