"""Who may do what over the admin API: tokens, roles, sessions and codes, on a real listener."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp import ClientResponse, hdrs
from aiohttp.test_utils import TestClient, TestServer

from streamd.clock import ManualClock
from streamd.doors.web.admin.api import admin_app
from streamd.doors.web.admin.console import Console
from streamd.doors.web.admin.recordings import RecordingDesk
from streamd.doors.web.models.common import ACCOUNT_FIELD
from streamd.doors.web.session_file import SessionFile
from streamd.errors import StoreUnavailableError
from streamd.services.audit.records import Actor
from streamd.services.audit.verify import verify_log
from streamd.services.history import History
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.service import KeyService
from streamd.services.keys.verifier import KeyVerifier
from streamd.services.metrics import Metrics
from streamd.services.operators.operator_store import OperatorStore
from streamd.services.operators.roles import RIGHTS, Role
from streamd.services.operators.service import OperatorService
from streamd.services.operators.totp import STEP_S, code_of
from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.recorder import Recorder, RecorderOptions
from streamd.services.recording.records import RecordingMode
from tests.support.live_streams import Streams
from tests.support.ports import port_of
from tests.support.roles import MAY, OF_ADMINS, A, M, O, R, may
from tests.support.stores import migrated_sqlite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio

TOKEN = "t0ken-t0ken-t0ken-t0ken"
TIMEOUT_S = 10


class House:
    """The admin port of one server, which can be followed by another on the same directory."""

    def __init__(self, store: KeyStore, directory: Path, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.store = store
        self.directory = directory
        self.streams = Streams()
        self.keys = KeyService(store, self.clock, KeyVerifier(store, self.clock))
        self.operators = OperatorService(store.database, self.clock)
        self.wrong_codes: list[tuple[str, str]] = []
        self.over: list[float] = []
        self.console = Console(
            clock=self.clock,
            streams=self.streams,
            history=History(Metrics(), self.clock),
            revision=lambda: self.keys.revision,
            public_origin=lambda hostname: f"http://{hostname}:8080",
            operators=self.operators,
            on_wrong_code=lambda name, address: self.wrong_codes.append((name, address)),
            on_token_over=lambda: self.over.append(self.clock.monotonic()),
        )
        self.console.sessions.secret = TOKEN
        self.sessions = SessionFile(directory / "sessions.json", self.clock)
        index = RecordingIndex(store.database)
        self.recorder = Recorder(RecorderOptions(RecordingMode.OFF, directory / "recordings"), index, self.clock)
        app = admin_app(
            keys=self.keys,
            streams=self.streams,
            metrics=Metrics().registry,
            token=TOKEN,
            rtmp_urls=("rtmp://localhost/live",),
            console=self.console,
            recordings=RecordingDesk(self.recorder, self.clock),
            operators=self.operators,
            port=port_of("admin", clock=self.clock),
            clock=self.clock,
        )
        self.client = TestClient(TestServer(app))

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[House]:
        await self.operators.start()
        self.sessions.keep("console", self.console)
        async with self.client:
            yield self
        await self.sessions.save(is_last=True)
        await self.operators.close()
        await self.recorder.close()

    def request(
        self, method: str, path: str, token: str = TOKEN, body: object = None, headers: dict[str, str] | None = None
    ) -> Any:
        fields = {hdrs.AUTHORIZATION: f"Bearer {token}"} | (headers or {})
        return self.client.request(method, path, json=body, headers=fields)

    async def call(
        self, method: str, path: str, token: str = TOKEN, body: object = None, status: int = 200, **fields: str
    ) -> dict[str, Any]:
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        async with self.request(method, path, token, body, headers) as response:
            text = await response.text()
            assert response.status == status, text
            answer: dict[str, Any] = json.loads(text)
            return answer

    async def add(self, name: str = "carol", role: str = O, **more: Any) -> str:
        answer = await self.call("POST", "/api/v1/operators", body={"name": name, "role": role, **more}, status=201)
        return str(answer["token"])

    async def sign_in(self, token: str = TOKEN, **body: str) -> str:
        return str((await self.call("POST", "/api/v1/session", token, body, status=201))["token"])

    async def listen(self, token: str) -> ClientResponse:
        response: ClientResponse = await self.request("GET", "/api/v1/events", token)
        assert response.status == 200
        # It has begun when it has said what is live.
        assert (await response.content.readline()).startswith(b"event: streams")
        return response

    async def is_over(self, response: ClientResponse) -> bool:
        async with asyncio.timeout(TIMEOUT_S):
            return (await response.content.read()) is not None

    async def enrol(self, token: str) -> str:
        """Set up an authenticator; returns its secret in hexadecimal digits."""
        await self.call("POST", "/api/v1/session/totp", token, status=201)
        (secret, _) = next(iter(self.operators.authenticators._enrolments.values()))
        confirmed = await self.call("POST", "/api/v1/session/totp/confirm", token, {"code": self.code(secret)})
        assert confirmed["totp"] is True
        self.clock.advance(2 * STEP_S)
        return secret.hex()

    def code(self, secret: bytes) -> str:
        return code_of(secret, int(self.clock.now().timestamp()) // STEP_S)

    async def last_row(self) -> tuple[str, str, str | None]:
        (row, *_) = (await self.call("GET", "/api/v1/audit?newest_first=true"))["entries"]
        return row["action"], row["actor"], row["subject"]


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[KeyStore]:
    store = KeyStore(migrated_sqlite(tmp_path / "streamd.db"))
    await store.start()
    yield store
    await store.close()


@pytest_asyncio.fixture
async def house(store: KeyStore, tmp_path: Path) -> AsyncIterator[House]:
    async with House(store, tmp_path).open() as house:
        yield house


class TestRoles:
    async def test_every_call_is_open_to_just_the_roles_that_may(self, house: House) -> None:
        document = await house.call("GET", "/openapi.json")
        calls = [
            (method.upper(), path)
            for path, methods in document["paths"].items()
            for method, described in methods.items()
            if described.get("security") != []
        ]
        known = {f"{method} {path}" for method, path in calls}
        assert known >= {*MAY, *OF_ADMINS}
        for role in Role:
            token = await house.add(f"a-{role}", role.value)
            for method, path in calls:
                name = f"{method} {path}"
                # Nothing that exists: whoever may is told so.
                filled = re.sub(r"\{\w+\}", "nothing", path.replace("{name}", "nobody"))
                async with house.request(method, filled, token) as response:
                    if path.endswith("/events"):
                        is_refused = response.status == 403
                        response.close()
                    else:
                        detail = (await response.text()) if response.status == 403 else ""
                        is_refused = "this is for the role" in detail
                assert is_refused is not may(role.value, name), f"{role} {name}: {response.status}"

    async def test_the_document_says_of_each_call_for_whom_it_is(self, house: House) -> None:
        document = await house.call("GET", "/openapi.json")
        for name, roles in MAY.items():
            method, path = name.split()
            described = document["paths"][path][method.lower()].get("description", "")
            said = re.search(r"For the roles ([a-z, ]+)\.$", described)
            if said is not None:
                assert {*said[1].split(", ")} == roles, name
            else:
                assert roles == {A, O, M, R}, name

    async def test_a_refusal_says_who_may_and_reads_nothing(self, house: House) -> None:
        token = await house.add("mia", M)
        answer = await house.call("POST", "/api/v1/keys", token, {"user": "alice"}, status=403)
        assert answer["detail"] == "this is for the role admin or operator; mia is moderator"
        async with house.client.post(
            "/api/v1/keys", data="no JSON", headers={hdrs.AUTHORIZATION: f"Bearer {token}"}
        ) as response:
            assert response.status == 403
        assert (await house.call("GET", "/api/v1/users"))["users"] == []

    async def test_an_unknown_path_is_unknown_to_everybody_with_a_token(self, house: House) -> None:
        await house.call("GET", "/api/v1/nothing", await house.add("rita", R), status=404)
        await house.call("GET", "/api/v1/nothing", "wrong", status=401)

    async def test_a_head_is_a_get(self, house: House) -> None:
        async with house.request("HEAD", "/api/v1/keys", await house.add("mia", M)) as response:
            assert response.status == 403

    async def test_what_is_done_stands_in_the_log_by_name(self, house: House) -> None:
        token = await house.add()
        key = await house.call("POST", "/api/v1/keys", token, {"user": "alice"}, status=201)
        await house.call("POST", f"/api/v1/keys/{key['id']}/revoke", await house.sign_in(token))
        rows = (await house.call("GET", "/api/v1/audit"))["entries"]
        assert [(row["action"], row["actor"]) for row in rows] == [
            ("operator.added", "root"),
            ("user.created", "carol"),
            ("key.issued", "carol"),
            ("session.begun", "carol"),
            ("key.revoked", "carol"),
        ]
        assert (await verify_log(house.store.database)).faults == ()

    async def test_the_account_of_a_command_is_believed_of_root_alone(self, house: House) -> None:
        token, body = await house.add(), {"user": "alice"}
        for shown, account, actor in (
            (TOKEN, "alice", "cli/alice"),
            (TOKEN, "", "root"),
            (TOKEN, "x" * 40, "root"),
            (TOKEN, "two words", "root"),
            (token, "alice", "carol"),
            (await house.sign_in(), "alice", "root"),
        ):
            key = await house.call("POST", "/api/v1/keys", shown, body, status=201, **{ACCOUNT_FIELD: account})
            assert (await house.call("GET", f"/api/v1/keys/{key['id']}"))["created_by"] == actor


class TestOperators:
    async def test_a_token_is_shown_once(self, house: House) -> None:
        token = await house.add(expires_at=(house.clock.now() + timedelta(days=1)).isoformat())
        secret = token.rpartition("_")[2]
        for path in ("/api/v1/operators", "/api/v1/operators/carol", "/api/v1/audit"):
            assert secret not in json.dumps(await house.call("GET", path))
        assert secret not in str((await OperatorStore(house.store.database).everybody())[0])
        shown = await house.call("GET", "/api/v1/operators/carol")
        assert (shown["role"], shown["state"], shown["totp"], shown["created_by"]) == (O, "active", False, "root")

    async def test_an_admin_may_do_all_of_it_by_name(self, house: House) -> None:
        admin = await house.add("ada", A)
        await house.call("POST", "/api/v1/operators", admin, {"name": "carol", "role": R}, status=201)
        assert await house.last_row() == ("operator.added", "ada", "carol")
        changed = await house.call("PATCH", "/api/v1/operators/carol", admin, {"role": M, "expires_at": None})
        assert changed["role"] == M
        new = await house.call("POST", "/api/v1/operators/carol/rotate", admin, status=201)
        await house.call("GET", "/api/v1/streams", new["token"])
        revoked = await house.call("POST", "/api/v1/operators/carol/revoke", admin, {"reason": "left"})
        assert revoked["reason"] == "left"
        await house.call("GET", "/api/v1/streams", new["token"], status=401)
        assert await house.call("DELETE", "/api/v1/operators/carol", admin) == {"name": "carol"}
        await house.call("GET", "/api/v1/operators/carol", admin, status=404)
        assert await house.last_row() == ("operator.deleted", "ada", "carol")

    async def test_when_one_was_last_used_is_shown(self, house: House) -> None:
        token = await house.add()
        assert (await house.call("GET", "/api/v1/operators/carol"))["last_used_at"] is None
        await house.call("GET", "/api/v1/streams", token)
        assert (await house.call("GET", "/api/v1/operators/carol"))["last_used_at"] is not None

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({}, 422),
            ({"name": "carol"}, 422),
            ({"name": "carol", "role": "king"}, 422),
            ({"name": "Carol", "role": O}, 422),
            ({"name": "root", "role": O}, 422),
            ({"name": "carol", "role": O, "expires_at": "2020-01-01T00:00:00Z"}, 422),
            ({"name": "carol", "role": O, "token": "so_mine"}, 422),
            ({"name": "dave", "role": O}, 409),
        ],
    )
    async def test_what_cannot_be_is_refused(self, house: House, body: dict[str, str], status: int) -> None:
        await house.add("dave")
        await house.call("POST", "/api/v1/operators", body=body, status=status)

    @pytest.mark.parametrize("body", [{}, {"role": None}, {"totp": True}, {"role": "king"}, {"reason": "x"}])
    async def test_a_change_of_nothing_is_refused(self, house: House, body: dict[str, Any]) -> None:
        await house.add()
        await house.call("PATCH", "/api/v1/operators/carol", body=body, status=422)

    async def test_a_store_that_fails_keeps_nobody_in(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        token = await house.add()

        async def fails(*_: object, **__: object) -> None:
            raise StoreUnavailableError("the disk is full")

        monkeypatch.setattr(OperatorStore, "revoke", fails)
        answer = await house.call("POST", "/api/v1/operators/carol/revoke", status=202)
        assert "the disk is full" in answer["unwritten"]
        await house.call("GET", "/api/v1/streams", token, status=401)


class TestSessions:
    async def test_tell_who_has_signed_in_and_what_they_may(self, house: House) -> None:
        session = await house.call("POST", "/api/v1/session", await house.add("mia", M), status=201)
        assert (session["name"], session["role"]) == ("mia", M)
        assert {*session["rights"]} == RIGHTS[Role.MODERATOR]
        again = await house.call("GET", "/api/v1/session", session["token"])
        assert again == {name: session[name] for name in ("name", "role", "rights", "totp")}
        root = await house.call("GET", "/api/v1/session")
        assert (root["name"], root["role"]) == ("root", A)

    async def test_end_with_the_token_at_the_latest(self, house: House) -> None:
        end = house.clock.now() + timedelta(hours=1)
        token = await house.add(expires_at=end.isoformat())
        session = await house.call("POST", "/api/v1/session", token, status=201)
        assert session["expires_at"].startswith(end.isoformat()[:19])
        house.clock.advance(3599)
        await house.call("GET", "/api/v1/streams", session["token"])
        house.clock.advance(2)
        await house.call("GET", "/api/v1/streams", session["token"], status=401)

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("POST", "/api/v1/operators/carol/revoke", {}),
            ("POST", "/api/v1/operators/carol/rotate", None),
            ("DELETE", "/api/v1/operators/carol", None),
        ],
    )
    async def test_and_event_streams_are_over_when_the_token_is_dead(
        self, house: House, method: str, path: str, body: Any
    ) -> None:
        token = await house.add()
        session = await house.sign_in(token)
        others = await house.listen(await house.sign_in())
        streams = [await house.listen(shown) for shown in (token, session)]
        async with house.request(method, path, body=body) as response:
            assert response.ok
        assert len(house.console.sessions) == 1
        for shown in (token, session):
            await house.call("GET", "/api/v1/streams", shown, status=401)
        for stream in streams:
            assert await house.is_over(stream)
        house.console.events.tick()
        assert len(house.console.events._listeners) == 1
        others.close()

    async def test_an_event_stream_is_over_with_the_end_of_its_token(self, house: House) -> None:
        token = await house.add(expires_at=(house.clock.now() + timedelta(seconds=60)).isoformat())
        stream = await house.listen(token)
        house.clock.advance(61)
        house.console.events.tick()
        assert await house.is_over(stream)

    async def test_a_change_of_role_holds_in_an_open_console(self, house: House) -> None:
        session = await house.sign_in(await house.add())
        stream = await house.listen(session)
        await house.call("PATCH", "/api/v1/operators/carol", body={"role": R})
        # The page begins anew, and learns what it may offer.
        assert await house.is_over(stream)
        assert (await house.call("GET", "/api/v1/session", session))["role"] == R
        await house.call("POST", "/api/v1/keys", session, {"user": "alice"}, status=403)

    async def test_cannot_begin_another(self, house: House) -> None:
        session = await house.sign_in(await house.add())
        await house.call("POST", "/api/v1/session", session, status=403)

    async def test_outlive_the_server_and_a_revocation_between_two_of_them_does_too(
        self, store: KeyStore, tmp_path: Path
    ) -> None:
        async with House(store, tmp_path).open() as first:
            mia, carol = await first.sign_in(await first.add("mia", M)), await first.sign_in(await first.add())
            root = await first.sign_in()
        kept = (tmp_path / "sessions.json").read_text()
        assert not any(token in kept for token in (mia, carol, root))
        meanwhile = OperatorService(store.database, first.clock)
        await meanwhile.revoke("carol", by=Actor("root"))
        async with House(store, tmp_path, first.clock).open() as second:
            assert (await second.call("GET", "/api/v1/session", mia))["name"] == "mia"
            assert (await second.call("GET", "/api/v1/session", root))["name"] == "root"
            await second.call("GET", "/api/v1/session", carol, status=401)


class TestCodes:
    async def test_a_secret_is_shown_once_and_counts_when_a_code_has_proved_it(self, house: House) -> None:
        token = await house.add()
        session = await house.sign_in(token)
        begun = await house.call("POST", "/api/v1/session/totp", session, status=201)
        assert re.fullmatch(r"[A-Z2-7]{32}", begun["secret"])
        assert begun["uri"].startswith(f"otpauth://totp/streamd:carol?secret={begun['secret']}&issuer=streamd")
        assert (await house.call("GET", "/api/v1/session", session))["totp"] is False
        await house.call("POST", "/api/v1/session/totp/confirm", session, {"code": "000000"}, status=403)
        await house.enrol(session)
        for path in ("/api/v1/operators", "/api/v1/session", "/api/v1/audit"):
            assert begun["secret"] not in json.dumps(await house.call("GET", path))

    async def test_the_token_alone_opens_nothing_from_then_on(self, house: House) -> None:
        token = await house.add("ada", A)
        session = await house.sign_in(token)
        secret = bytes.fromhex(await house.enrol(session))
        for method, path in (
            ("GET", "/api/v1/streams"),
            ("POST", "/api/v1/keys"),
            ("POST", "/api/v1/session/totp/remove"),
            ("GET", "/api/v1/session"),
        ):
            answer = await house.call(method, path, token, status=403)
            assert "signs in with a code" in answer["detail"]
        # Whoever has signed in stays so.
        await house.call("GET", "/api/v1/streams", session)
        await house.call("POST", "/api/v1/session", token, {}, status=403)
        assert house.wrong_codes == []
        await house.call("POST", "/api/v1/session", token, {"code": "000000"}, status=403)
        assert house.wrong_codes == [("ada", "127.0.0.1")]
        code = house.code(secret)
        await house.call("GET", "/api/v1/streams", await house.sign_in(token, code=code))
        await house.call("POST", "/api/v1/session", token, {"code": code}, status=403)

    async def test_many_wrong_ones_are_429_with_the_time_to_wait(self, house: House) -> None:
        token = await house.add()
        await house.enrol(await house.sign_in(token))
        for _ in range(5):
            await house.call("POST", "/api/v1/session", token, {"code": "000000"}, status=403)
        async with house.request("POST", "/api/v1/session", token, {"code": "000000"}) as response:
            assert (response.status, response.headers[hdrs.RETRY_AFTER]) == (429, "300")

    async def test_an_admin_takes_it_away_when_a_telephone_is_lost(self, house: House) -> None:
        token = await house.add()
        await house.enrol(await house.sign_in(token))
        changed = await house.call("PATCH", "/api/v1/operators/carol", body={"totp": False, "reason": "lost"})
        assert changed["totp"] is False
        await house.sign_in(token)

    async def test_its_owner_takes_it_away_by_a_code(self, house: House) -> None:
        token = await house.add()
        session = await house.sign_in(token)
        secret = bytes.fromhex(await house.enrol(session))
        await house.call("POST", "/api/v1/session/totp/remove", session, {"code": ""}, status=403)
        removed = await house.call("POST", "/api/v1/session/totp/remove", session, {"code": house.code(secret)})
        assert removed["totp"] is False
        await house.call("GET", "/api/v1/streams", token)

    async def test_root_has_none(self, house: House) -> None:
        await house.call("POST", "/api/v1/session/totp", status=409)


class TestSessionsOfBeforeACode:
    async def test_end_but_the_one_that_set_it_up(self, house: House) -> None:
        token, other = await house.add(), await house.add("dave")
        mine, older, daves = await house.sign_in(token), await house.sign_in(token), await house.sign_in(other)
        listening = await house.listen(older)
        await house.enrol(mine)
        assert await house.is_over(listening)
        await house.call("GET", "/api/v1/session", older, status=401)
        for session in (mine, daves, await house.sign_in()):
            await house.call("GET", "/api/v1/session", session)


class TestWhatHangsOnATokenElsewhere:
    """Looks at streams on the public port are over with the token of whoever looks, as consoles are."""

    @pytest.mark.parametrize("act", ["revoke", "rotate", "delete"])
    async def test_is_ended_before_the_act_returns(self, house: House, act: str) -> None:
        await house.add()
        await house.call("PATCH", "/api/v1/operators/carol", body={"role": M})
        assert house.over == []
        method, path = ("DELETE", "") if act == "delete" else ("POST", f"/{act}")
        body: dict[str, str] | None = {} if act == "revoke" else None
        await house.call(method, f"/api/v1/operators/carol{path}", body=body, status=201 if act == "rotate" else 200)
        assert len(house.over) == 1

    async def test_is_ended_when_it_expires(self, house: House) -> None:
        await house.add(expires_at=(house.clock.now() + timedelta(seconds=60)).isoformat())
        house.console.tick()
        assert house.over == []
        house.clock.advance(61)
        house.console.tick()
        house.console.tick()
        assert len(house.over) == 1
