"""The broadcaster's page and calls as HTTP has them. How it behaves in a browser is in tests/browser."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from streamd.clock import ManualClock
from streamd.doors.web.public.own_recordings import ACTS_AT_ONCE_MAX, OwnRecordingDesk
from streamd.doors.web.public.pages import Pages
from streamd.doors.web.public.studio import COOKIE, PATH, SESSION_LIMITS, Studio, StudioOptions
from streamd.doors.web.sessions import Sessions
from streamd.errors import KeyRejectedError
from streamd.services.audit.records import Actor, AuditFilter
from streamd.services.keys.guessing import GuessLimits
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.service import KeyService
from streamd.services.keys.sweeper import KeySweeper
from streamd.services.keys.verifier import KeyVerifier, VerifierOptions
from streamd.services.live.health import Health, HealthStatus
from streamd.services.live.meter import StreamSummary
from streamd.services.recording.records import RecordingMode, RecordingState, Visibility
from tests.support.recorded import record_of, recorder_of, recording_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from http.cookies import Morsel
    from pathlib import Path

    from streamd.doors.web.public.own_targets import OwnTargetDesk
    from streamd.services.recording.recorder import Recorder

pytestmark = pytest.mark.asyncio

BY = Actor("test")
RTMP_URL = "rtmp://live.example.org/live"
REASON = "a reason that is the operator's own"
LABEL = "a label of the operator's"


class Streams:
    """Live streams by name."""

    def __init__(self) -> None:
        self.by_name: dict[str, StreamSummary] = {}

    def begin(self, name: str, key_id: str) -> None:
        self.by_name[name] = StreamSummary(
            name, key_id, ManualClock().now(), "192.0.2.99", "obs", ("avc1.640028",), 1920, 1080, 6e6, 60.0, 2.0,
            Health(HealthStatus.GOOD), {"hls": 3}, 1, 2,
        )  # fmt: skip

    def summaries(self) -> Sequence[StreamSummary]:
        return [*self.by_name.values()]

    def summary(self, name: str) -> StreamSummary | None:
        return self.by_name.get(name)

    async def kick(self, name: str) -> bool:
        return False


class House:
    """The page, and what stands behind it."""

    def __init__(
        self,
        store: KeyStore,
        *,
        is_secure: bool = False,
        recordings: OwnRecordingDesk | None = None,
        targets: OwnTargetDesk | None = None,
        clock: ManualClock | None = None,
    ) -> None:
        self.store = store
        self.clock = clock or ManualClock()
        self.streams = Streams()
        limits = VerifierOptions(
            guess_limits=GuessLimits(failed_publishes_per_address_max=5, failed_publishes_per_key_max=3)
        )
        self.verifier = KeyVerifier(store, self.clock, limits)
        self.keys = KeyService(store, self.clock, self.verifier)
        self.studio = studio = Studio(
            keys=self.verifier,
            streams=self.streams,
            clock=self.clock,
            files=Pages().files,
            options=StudioOptions(RTMP_URL, is_secure=is_secure),
            recordings=recordings,
            targets=targets,
        )
        app = web.Application()
        studio.add_to(app)
        self.client = TestClient(TestServer(app))

    async def issue(self, user: str = "alice", **options: Any) -> str:
        return (await self.keys.issue(user, by=BY, label=LABEL, **options)).stream_key.reveal()

    async def sign_in(self, stream_key: str, status: int = 201) -> dict[str, Any]:
        return await self.call("POST", "session", status, json={"stream_key": stream_key})

    async def state(self, status: int = 200) -> dict[str, Any]:
        return await self.call("GET", "state", status)

    async def call(self, method: str, path: str, status: int, **options: Any) -> dict[str, Any]:
        async with self.client.request(method, f"{PATH}/{path}", **options) as response:
            text = await response.text()
            assert response.status == status, text
            answer: dict[str, Any] = json.loads(text) if text else {}
            return answer

    @property
    def cookie(self) -> Morsel[str]:
        return self.client.session.cookie_jar.filter_cookies(self.client.make_url(PATH))[COOKIE]


@pytest_asyncio.fixture
async def house(store: KeyStore) -> AsyncIterator[House]:
    house = House(store)
    async with house.client:
        yield house


def wrong(stream_key: str) -> str:
    return stream_key[:-1] + ("0" if stream_key[-1] != "0" else "1")


class TestTheSession:
    async def test_the_key_is_exchanged_for_a_cookie_that_is_for_this_page_alone(self, house: House) -> None:
        key = await house.issue()
        async with house.client.post(f"{PATH}/session", json={"stream_key": key}) as response:
            assert response.status == 201
            (fields,) = response.headers.getall("Set-Cookie")
        attributes = [part.strip() for part in fields.split(";")][1:]
        # Without a path, so that it is for the folder of the request (RFC 6265 section 5.1.4), wherever that is.
        assert sorted(attributes) == ["HttpOnly", "SameSite=Strict"]
        assert key not in fields
        assert house.client.session.cookie_jar.filter_cookies(house.client.make_url("/live/alice.mp4")) == {}

    async def test_over_https_it_goes_over_nothing_else(self, store: KeyStore) -> None:
        house = House(store, is_secure=True)
        async with house.client, house.client.post(f"{PATH}/session", json={"stream_key": await house.issue()}) as got:
            assert "Secure" in got.headers["Set-Cookie"]

    async def test_without_one_there_is_nothing_to_see(self, house: House) -> None:
        await house.state(401)
        house.client.session.cookie_jar.update_cookies({COOKIE: "made-up"}, URL(house.client.make_url(PATH)))
        await house.state(401)

    async def test_signs_that_came_along_with_a_copied_key_do_no_harm(self, house: House) -> None:
        assert (await house.sign_in(f" “{await house.issue()}”\n"))["channel"] == "alice"

    async def test_signing_out_ends_it(self, house: House) -> None:
        await house.sign_in(await house.issue())
        token = house.cookie.value
        await house.call("POST", "end", 204)
        house.client.session.cookie_jar.update_cookies({COOKIE: token}, URL(house.client.make_url(PATH)))
        await house.state(401)

    async def test_cookies_that_another_host_of_the_site_has_set_hide_none_and_show_none(self, house: House) -> None:
        """RFC 6265 section 8.6: a browser sends those of ``evil.example.org`` to ``live.example.org`` as well."""
        await house.sign_in(await house.issue())
        own = house.cookie.value
        await house.sign_in(await house.issue("mallory"))
        foreign = house.cookie.value
        house.client.session.cookie_jar.clear()
        for tokens, status in (
            (["x", own], 200),
            ([own, "x"], 200),
            ([own, own], 200),
            ([foreign, own], 401),
            ([own, foreign], 401),
            (["x"] * 100 + [own], 401),
        ):
            shown = {"Cookie": "; ".join(f"{COOKIE}={token}" for token in tokens)}
            async with house.client.get(f"{PATH}/state", headers=shown) as response:
                assert response.status == status, tokens
                if status == 200:
                    assert (await response.json())["channel"] == "alice"

    async def test_it_ends_when_nobody_looks(self, house: House) -> None:
        await house.sign_in(await house.issue())
        house.clock.advance(SESSION_LIMITS.idle_s)
        await house.state(401)

    async def test_a_form_of_another_site_is_not_read(self, house: House) -> None:
        body = json.dumps({"stream_key": await house.issue()})
        for content_type in ("text/plain", "application/x-www-form-urlencoded"):
            await house.call("POST", "session", 415, data=body, headers={"Content-Type": content_type})

    async def test_what_is_no_key_is_refused_without_being_repeated(self, house: House) -> None:
        for shown in ("", "hello", "sk_" + "x" * 100, "x" * 4000):
            answer = await house.sign_in(shown, 422 if len(shown) > 200 else 403)
            assert shown == "" or shown not in json.dumps(answer)
            house.clock.advance(60)


class TestOverARestart:
    """What the next server has of a session is the id of its key, and the store."""

    def restart(self, house: House) -> None:
        records = house.studio.sessions.records()
        # Neither the sessions nor the admissions of the server before.
        house.studio.sessions = Sessions(house.clock, SESSION_LIMITS)
        house.studio.restore(records)

    async def test_nobody_signs_in_again(self, house: House) -> None:
        await house.sign_in(await house.issue())
        self.restart(house)
        assert (await house.state())["channel"] == "alice"

    async def test_a_key_that_died_meanwhile_signs_nobody_in(self, house: House) -> None:
        key = await house.issue()
        await house.sign_in(key)
        await house.keys.revoke(key.split("_")[1], by=BY, reason=REASON)
        self.restart(house)
        assert "revoked" in (await house.state(403))["detail"]
        await house.state(401)

    async def test_a_key_that_dies_later_ends_it_as_any_other(self, house: House) -> None:
        key = await house.issue()
        await house.sign_in(key)
        self.restart(house)
        await house.state()
        await house.keys.suspend("alice", by=BY, reason=REASON)
        assert "suspended" in (await house.state(403))["detail"]

    async def test_a_key_that_the_store_does_not_know_any_more_signs_nobody_in(self, house: House) -> None:
        house.studio.restore([])
        await house.sign_in(await house.issue())
        (record,) = house.studio.sessions.records()
        house.studio.sessions = Sessions(house.clock, SESSION_LIMITS)
        house.studio.restore([dataclasses.replace(record, name="0000000000")])
        await house.state(403)


class TestWhoIsLetIn:
    async def test_a_wrong_secret_and_an_unknown_key_look_alike(self, house: House) -> None:
        key = await house.issue()
        answers = [await house.sign_in(shown, 403) for shown in (wrong(key), f"sk_0000000000_{'a' * 32}", "nonsense")]
        assert answers[0] == answers[1] == answers[2]

    async def test_who_shows_a_dead_key_is_told_what_killed_it_and_not_why(self, house: House) -> None:
        revoked, expiring, suspended = [
            await house.issue(user, **options)
            for user, options in (
                ("alice", {}),
                ("bob", {"expires_at": house.clock.now() + timedelta(seconds=1)}),
                ("carol", {}),
            )
        ]
        await house.keys.revoke(revoked.split("_")[1], by=BY, reason=REASON)
        await house.keys.suspend("carol", by=BY, reason=REASON)
        house.clock.advance(2)
        for key, word in ((revoked, "revoked"), (expiring, "expired"), (suspended, "suspended")):
            answer = await house.sign_in(key, 403)
            assert word in answer["detail"]
            assert REASON not in json.dumps(answer)
        assert "revoked" not in json.dumps(await house.sign_in(wrong(revoked), 403))

    async def test_guessing_is_limited_by_the_budgets_of_publishing(self, house: House) -> None:
        key = await house.issue()
        for _ in range(3):
            await house.sign_in(wrong(key), 403)
        await house.sign_in(wrong(key), 429)
        with pytest.raises(KeyRejectedError, match="not valid"):
            await house.verifier.verify(wrong(key), "192.0.2.200")
        # Whoever has the key is not locked out by who guesses it.
        await house.sign_in(key)

    async def test_a_refusal_stands_in_the_audit_log_as_what_it_was(self, house: House) -> None:
        key = await house.issue()
        await house.sign_in(wrong(key), 403)
        await KeySweeper(house.store, house.clock, house.verifier).close()
        (row,) = (await house.keys.list_audit(found=AuditFilter("denied"))).items
        assert (row.entry.action, row.entry.key_id, row.entry.reason) == ("studio.denied", key.split("_")[1], "unknown")


class TestTheState:
    async def test_says_what_arrives_on_the_own_channel(self, house: House) -> None:
        key = await house.issue()
        state = await house.sign_in(key)
        assert (state["channel"], state["state"], state["stream"]) == ("alice", "offline", None)
        house.streams.begin("alice", key.split("_")[1])
        house.streams.begin("bob", "0000000000")
        state = await house.state()
        assert (state["state"], state["rtmp_url"]) == ("live", RTMP_URL)
        stream = state["stream"]
        assert (stream["bitrate_bps"], stream["viewers"], stream["health"]["status"]) == (6e6, {"hls": 3}, "good")
        assert (stream["tags_dropped"], stream["timestamps_repaired"]) == (1, 2)
        assert "bob" not in json.dumps(state)

    async def test_says_what_may_be_sent_as_it_is_now(self, house: House) -> None:
        state = await house.sign_in(await house.issue())
        assert state["limits"] == {"bitrate_kbps_max": None, "picture_pixels_max": None}
        await house.keys.limit("alice", {"bitrate_kbps_max": 6000}, by=BY)
        assert (await house.state())["limits"] == {"bitrate_kbps_max": 6000, "picture_pixels_max": None}

    async def test_tells_another_key_of_the_user_apart(self, house: House) -> None:
        await house.sign_in(await house.issue())
        house.streams.begin("alice", "0000000000")
        state = await house.state()
        assert state["state"] == "live_with_other_key"

    async def test_holds_no_key_no_label_and_no_address_of_another_encoder(self, house: House) -> None:
        key = await house.issue()
        other = await house.issue()
        await house.verifier.verify(other, "192.0.2.50")
        house.streams.begin("alice", other.split("_")[1])
        text = json.dumps(await house.sign_in(key))
        for secret in (key, other, key.split("_")[1], other.split("_")[1], LABEL, "192.0.2.50", "192.0.2.99"):
            assert secret not in text

    async def test_tells_of_the_attempts_with_this_key_newest_first(self, house: House) -> None:
        key = await house.issue()
        for _ in range(2):
            with pytest.raises(KeyRejectedError):
                await house.verifier.verify(wrong(key), "192.0.2.7")
        house.verifier.attempts.accept(key.split("_")[1], "192.0.2.8", house.clock.now())
        state = await house.sign_in(key)
        assert [(a["result"], a["count"], a["address"]) for a in state["attempts"]] == [
            ("live", 1, "192.0.2.8"),
            ("unknown", 2, "192.0.2.7"),
        ]

    async def test_signing_in_is_no_attempt_and_no_use_of_the_key(self, house: House) -> None:
        key = await house.issue()
        await house.sign_in(wrong(key), 403)
        state = await house.sign_in(key)
        assert state["attempts"] == []
        assert (await house.keys.get_key(key.split("_")[1])).last_used_at is None

    @pytest.mark.parametrize("death", ["revoked", "suspended", "expired"])
    async def test_a_key_that_dies_ends_it_in_the_same_step(self, house: House, death: str) -> None:
        key = await house.issue(expires_at=house.clock.now() + timedelta(hours=1))
        await house.sign_in(key)
        if death == "revoked":
            await house.keys.revoke(key.split("_")[1], by=BY, reason=REASON)
        elif death == "suspended":
            await house.keys.suspend("alice", by=BY, reason=REASON)
        else:
            for _ in range(5):
                house.clock.advance(720)
                await house.client.get(f"{PATH}/state")
        answer = await house.call("GET", "state", 403) if death != "expired" else await house.sign_in(key, 403)
        assert death in answer["detail"]
        assert REASON not in json.dumps(answer)
        await house.state(401)


class TestThePage:
    async def test_runs_no_code_but_the_files_of_this_server(self, house: House) -> None:
        async with house.client.get(PATH) as response:
            assert response.status == 200
            policy = response.headers["Content-Security-Policy"]
            assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        for directive in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"):
            assert directive in policy


async def test_where_a_service_decides_alone_the_page_says_that_it_wants_a_key_of_this_server(store: KeyStore) -> None:
    house = House(store)
    async with house.client, house.client.get(PATH) as page:
        assert 'id="decided"' not in await page.text()
    studio = Studio(
        keys=house.verifier,
        streams=house.streams,
        clock=house.clock,
        files=Pages().files,
        options=StudioOptions(RTMP_URL, is_secure=False, is_decided_elsewhere=True),
    )
    app = web.Application()
    studio.add_to(app)
    async with TestClient(TestServer(app)) as client, client.get(PATH) as page:
        assert "decided by a service of whoever runs this server" in await page.text()


class Library(House):
    """The page of a broadcaster who has recordings."""

    def __init__(self, store: KeyStore, recorder: Recorder, clock: ManualClock) -> None:
        super().__init__(store, recordings=OwnRecordingDesk(recorder, clock))
        self.recorder = recorder
        self.pace = clock

    async def have(self, number: int, user: str = "alice", **facts: Any) -> str:
        record = record_of(number, user, **facts)
        await self.recorder.index.save(record)
        self.recorder.index.edits += 1
        return record.id

    async def ids(self, query: str = "") -> list[str]:
        answer = await self.call("GET", f"recordings{query}", 200)
        return [recording["id"] for recording in answer["recordings"]]

    async def change(self, recording: str, status: int = 200, **changes: Any) -> dict[str, Any]:
        return await self.call("PATCH", f"recordings/{recording}", status, json=changes)

    async def delete(self, recording: str, status: int = 200) -> dict[str, Any]:
        return await self.call("DELETE", f"recordings/{recording}", status)


@pytest_asyncio.fixture
async def library(store: KeyStore, tmp_path: Path) -> AsyncIterator[Library]:
    clock = ManualClock()
    library = Library(store, recorder_of(store, tmp_path, clock=clock), clock)
    async with library.client:
        await library.sign_in(await library.issue())
        yield library
    await library.recorder.close()


class TestOwnRecordings:
    async def test_a_broadcaster_sees_all_of_theirs_and_nobody_elses(self, library: Library) -> None:
        mine = await library.have(0, visibility=Visibility.PRIVATE)
        newer = await library.have(2, state=RecordingState.FAILED, reason="No space left on device")
        await library.have(1, "bob")
        assert await library.ids() == [newer, mine]
        answer = await library.call("GET", "recordings", 200)
        assert (answer["is_recorded"], answer["is_off"]) == (True, False)
        assert answer["recordings"][0]["reason"] == "No space left on device"
        assert "path" not in answer["recordings"][0]

    async def test_an_operators_words_about_a_deletion_are_not_among_them(self, library: Library) -> None:
        await library.have(0, state=RecordingState.DELETED, reason=REASON)
        await library.have(1, state=RecordingState.DELETED, reason="keep_days")
        assert await library.ids() == []
        deleted = await library.call("GET", "recordings?state=deleted", 200)
        assert [recording["reason"] for recording in deleted["recordings"]] == ["keep_days", ""]

    async def test_title_and_visibility_are_changed_and_written_down(self, library: Library) -> None:
        mine = await library.have(0)
        changed = await library.change(mine, title="Evening", visibility="unlisted")
        assert (changed["title"], changed["visibility"]) == ("Evening", "unlisted")
        (row,) = (await library.keys.list_audit(found=AuditFilter(action="recording.changed"))).items
        assert (row.entry.actor, row.entry.user) == ("studio", "alice")
        assert row.entry.key_id is not None
        await library.change(mine, 422)
        await library.change(mine, 422, keep=True)
        await library.change(mine, 422, title="x" * 201)
        await library.change(mine, 422, visibility="secret")

    async def test_another_users_is_as_none(self, library: Library) -> None:
        others = await library.have(0, "bob")
        refused = await library.change(others, 404, title="mine now")
        assert await library.change(recording_id(9), 404, title="mine now") == refused
        assert await library.delete(others, 404) == refused
        for made_up in ("rec_", "..%2f..", "x" * 100, "%00"):
            await library.change(made_up, 404, title="mine now")
        record = await library.recorder.index.find(others)
        assert record is not None
        assert (record.title, record.state) == ("", RecordingState.READY)

    async def test_one_is_deleted_unless_it_is_written_or_pinned(self, library: Library) -> None:
        mine = await library.have(0)
        going = await library.have(1, state=RecordingState.RECORDING)
        pinned = await library.have(2)
        await library.recorder.index.change(pinned, is_kept=True)
        assert "still being recorded" in (await library.delete(going, 409))["detail"]
        assert "pinned" in (await library.delete(pinned, 409))["detail"]
        assert (await library.delete(mine))["state"] == "deleted"
        assert await library.ids() == [pinned, going]
        await library.delete(mine, 404)

    async def test_nobody_without_a_session_gets_there(self, library: Library) -> None:
        mine = await library.have(0)
        await library.call("POST", "end", 204)
        await library.call("GET", "recordings", 401)
        await library.change(mine, 401, title="x")
        await library.delete(mine, 401)

    async def test_the_session_of_a_dead_key_does_nothing_more(self, library: Library) -> None:
        mine = await library.have(0)
        (key,) = (await library.keys.list_keys(user="alice")).items
        await library.keys.revoke(key.key_id, reason=REASON, by=BY)
        assert "revoked" in (await library.delete(mine, 403))["detail"]
        assert (await library.recorder.index.find(mine)) is not None

    async def test_the_pace_of_acts_is_bounded(self, library: Library) -> None:
        mine = await library.have(0)
        for number in range(ACTS_AT_ONCE_MAX):
            await library.change(mine, title=str(number))
        await library.change(mine, 429, title="one more")
        # Another session of the same user is no way around it.
        await library.sign_in(await library.issue())
        await library.change(mine, 429, title="one more")
        library.pace.advance(10)
        await library.change(mine, title="one more")

    async def test_where_recording_is_off_it_is_said(self, store: KeyStore, tmp_path: Path) -> None:
        clock = ManualClock()
        recorder = recorder_of(store, tmp_path, RecordingMode.OFF, clock)
        library = Library(store, recorder, clock)
        async with library.client:
            await library.sign_in(await library.issue())
            answer = await library.call("GET", "recordings", 200)
            assert (answer["is_recorded"], answer["is_off"]) == (False, True)
        await recorder.close()
