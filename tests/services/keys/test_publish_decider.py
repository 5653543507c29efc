from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import parse_qs

import pytest

from streamd.doors.outgoing.hook_formats import HookWords
from streamd.errors import (
    KeyRejectedError,
    KeyUsedTooOftenError,
    PublishError,
    PublishUndecidedError,
    ReceiverUnreachableError,
    StoreUnavailableError,
)
from streamd.services.events.sender import ReceiverAnswer
from streamd.services.keys.admission import Denial
from streamd.services.keys.guessing import GuessLimits
from streamd.services.keys.publish_decider import TEXT_LENGTH_MAX, PublishDecider
from streamd.services.keys.publish_hook import HookFormat, HookOptions
from streamd.services.keys.shown_publish import ShownPublish
from streamd.services.keys.verifier import VerifierOptions
from streamd.services.metrics import Metrics
from tests.support.key_house import ADMIN, PEER, FragileStore, KeyHouse
from tests.support.receiver import SECRET, Request, ScriptedPoster

pytestmark = pytest.mark.asyncio

FORMATS = list(HookFormat)


def shown(name: str = "alice?key=hunter2", app: str = "live", address: str = PEER) -> ShownPublish:
    return ShownPublish.of(
        app=app,
        stream_name=name,
        tc_url="rtmp://live.example.org/live",
        publishing_type="live",
        address=address,
        encoder="FMLE/3.0",
    )


class Desk:
    """A decider that asks a scripted service."""

    def __init__(self, house: KeyHouse, *script: Any, hook_format: HookFormat = HookFormat.STREAMD) -> None:
        self.house = house
        self.sender = ScriptedPoster(*script)
        self.metrics = Metrics()
        secret = SECRET if hook_format is HookFormat.STREAMD else ""
        self.decider = PublishDecider(
            HookOptions("https://a.example/", secret, timeout_s=2, decides=True, format=hook_format),
            HookWords(hook_format),
            VerifierOptions(),
            sender=self.sender,
            store=house.store,
            verifier=house.verifier,
            clock=house.clock,
            metrics=self.metrics,
        )

    async def channel(self, publish: ShownPublish | None = None) -> str:
        admission = await self.decider.admit(publish or shown())
        assert self.house.verifier.admissions.is_admissible(admission)
        return admission.user

    async def refusal(self, publish: ShownPublish | None = None) -> PublishError:
        with pytest.raises(PublishError) as caught:
            await self.decider.admit(publish or shown())
        return caught.value

    async def reason(self, publish: ShownPublish | None = None) -> str:
        error = await self.refusal(publish)
        assert isinstance(error, KeyRejectedError)
        return error.reason

    @property
    def request(self) -> Request:
        (request,) = self.sender.requests
        return request

    def counted(self, result: str) -> float | None:
        return self.metrics.registry.get_sample_value("streamd_publish_hook_answers_total", {"result": result})


def named(channel: Any, status: int = 200) -> ReceiverAnswer:
    return ReceiverAnswer(status, body=json.dumps({"channel": channel}).encode())


class TestOurFormat:
    async def test_the_question_is_all_that_was_shown_and_signed(self, house: KeyHouse) -> None:
        desk = Desk(house, named("alice"))
        assert await desk.channel() == "alice"
        assert json.loads(desk.request.body) == {
            "type": "publish.requested",
            "timestamp": "2026-01-01T00:00:00.000000Z",
            "data": {
                "app": "live",
                "name": "alice",
                "query": "key=hunter2",
                "address": PEER,
                "encoder": "FMLE/3.0",
            },
        }
        assert set(desk.request.headers) == {"Content-Type", "webhook-id", "webhook-timestamp", "webhook-signature"}
        assert desk.sender.timeouts == [2]
        assert desk.counted("allowed") == 1

    async def test_the_answer_names_the_channel(self, house: KeyHouse) -> None:
        assert await Desk(house, named("bob")).channel(shown("some-secret")) == "bob"

    async def test_without_a_channel_the_name_is_taken_where_it_is_not_the_secret(self, house: KeyHouse) -> None:
        assert await Desk(house, 204).channel() == "alice"
        assert isinstance(await Desk(house, 204).refusal(shown("a-secret")), PublishUndecidedError)

    @pytest.mark.parametrize(
        "answer",
        [
            ReceiverAnswer(200, body=b"alice"),
            ReceiverAnswer(200, body=b'["alice"]'),
            ReceiverAnswer(200, body=b"[" * 4000),
            named(7),
            named("Not A Channel"),
            named("a" * 65),
            302,
            500,
            ReceiverUnreachableError("no answer within 2 s"),
        ],
    )
    async def test_any_other_answer_decides_nothing_and_nobody_is_let_in(
        self, house: KeyHouse, answer: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        desk = Desk(house, answer)
        with caplog.at_level(logging.DEBUG):
            assert isinstance(await desk.refusal(), PublishUndecidedError)
        assert desk.counted("failed") == 1
        assert "hunter2" not in caplog.text
        (record,) = caplog.records
        assert (record.message, record.__dict__["peer"]) == ("publish_hook.failed", PEER)


class TestNginxRtmp:
    async def test_the_question_is_the_form_of_on_publish(self, house: KeyHouse) -> None:
        desk = Desk(house, 200, hook_format=HookFormat.NGINX_RTMP)
        assert await desk.channel(shown("alice?key=hun%20ter2&\u00fc=\n")) == "alice"
        assert desk.request.headers == {"Content-Type": "application/x-www-form-urlencoded"}
        assert parse_qs(desk.request.body.decode("ascii"), keep_blank_values=True) == {
            "app": ["live"],
            "flashver": ["FMLE/3.0"],
            "swfurl": [""],
            "tcurl": ["rtmp://live.example.org/live"],
            "pageurl": [""],
            "addr": [PEER],
            "clientid": ["1"],
            "call": ["publish"],
            "name": ["alice"],
            "type": ["live"],
            "key": ["hun ter2"],
            "\u00fc": [""],
        }

    @pytest.mark.parametrize(
        ("location", "channel"),
        [
            ("bob", "bob"),
            ("rtmp://127.0.0.1/live/bob", "bob"),
            ("https://x.example/bob/?a=/b", "bob"),
            ("/live/bob", "bob"),
        ],
    )
    async def test_a_redirect_names_the_channel(self, house: KeyHouse, location: str, channel: str) -> None:
        desk = Desk(house, ReceiverAnswer(302, location=location), hook_format=HookFormat.NGINX_RTMP)
        assert await desk.channel(shown("a-secret")) == channel

    async def test_a_redirect_to_nowhere_decides_nothing(self, house: KeyHouse) -> None:
        desk = Desk(house, 302, hook_format=HookFormat.NGINX_RTMP)
        assert isinstance(await desk.refusal(), PublishUndecidedError)


class TestMediaMtx:
    async def test_the_question_is_that_of_its_http_authentication(self, house: KeyHouse) -> None:
        desk = Desk(house, 200, hook_format=HookFormat.MEDIAMTX)
        assert await desk.channel(shown("alice?user=a%20l&pass=hunter2&jwt=x.y")) == "alice"
        asked = json.loads(desk.request.body)
        assert len(asked.pop("id")) == 36
        assert asked == {
            "user": "a l",
            "password": "hunter2",
            "token": "x.y",
            "ip": PEER,
            "action": "publish",
            "path": "live/alice",
            "protocol": "rtmp",
            "query": "user=a%20l&pass=hunter2&jwt=x.y",
            "userAgent": "FMLE/3.0",
        }

    async def test_a_path_of_one_part_is_the_channel(self, house: KeyHouse) -> None:
        desk = Desk(house, 200, hook_format=HookFormat.MEDIAMTX)
        assert await desk.channel(shown("", app="alice")) == "alice"
        assert json.loads(desk.request.body)["path"] == "alice"


@pytest.mark.parametrize("hook_format", FORMATS)
class TestInEveryFormat:
    @pytest.mark.parametrize("status", [400, 401, 403, 404])
    async def test_a_no_looks_like_a_wrong_key(self, house: KeyHouse, hook_format: HookFormat, status: int) -> None:
        desk = Desk(house, status, hook_format=hook_format)
        error = await desk.refusal()
        assert isinstance(error, KeyRejectedError)
        assert (error.reason, error.status_code) == (Denial.FORBIDDEN, "NetStream.Publish.Denied")
        assert desk.counted("forbidden") == 1
        await house.sweeper.close()
        (row,) = (await house.keys.list_audit()).items
        assert (row.entry.action, row.entry.reason, row.entry.address) == ("publish.denied", "forbidden", PEER)

    async def test_guesses_are_budgeted_by_address_and_the_service_is_not_asked(
        self, house: KeyHouse, hook_format: HookFormat
    ) -> None:
        limit = GuessLimits().failed_publishes_per_address_max
        desk = Desk(house, 200, *[403] * limit, 200, hook_format=hook_format)
        assert await desk.channel() == "alice"
        reasons = [await desk.reason(shown(f"alice?key={number}")) for number in range(limit + 5)]
        assert reasons == [Denial.FORBIDDEN] * limit + [Denial.RATE_LIMITED] * 5
        assert len(desk.sender.requests) == limit + 1
        # What the service has let in gets in all the same, and another address is not held to it.
        assert await desk.channel() == "alice"
        assert await desk.channel(shown(address="192.0.2.99")) == "alice"

    async def test_no_guesser_from_many_addresses_keeps_the_owner_of_a_name_out(
        self, house: KeyHouse, hook_format: HookFormat
    ) -> None:
        desk = Desk(house, *[403] * 100, 200, hook_format=hook_format)
        for number in range(100):
            await desk.reason(shown(f"alice?key={number}", address=f"192.0.2.{number}"))
        assert await desk.channel(shown("alice?key=new")) == "alice"

    async def test_a_good_publisher_is_let_in_so_often_a_minute(self, house: KeyHouse, hook_format: HookFormat) -> None:
        limit = VerifierOptions().publishes_per_minute_max
        desk = Desk(house, *[200] * (limit + 1), hook_format=hook_format)
        for _ in range(limit):
            await desk.channel()
        assert isinstance(await desk.refusal(), KeyUsedTooOftenError)
        assert len(desk.sender.requests) == limit

    async def test_a_text_that_is_too_long_is_not_passed_on(self, house: KeyHouse, hook_format: HookFormat) -> None:
        desk = Desk(house, hook_format=hook_format)
        assert await desk.reason(shown("a" * TEXT_LENGTH_MAX)) == Denial.MALFORMED
        assert desk.sender.requests == []


class TestTheOperator:
    async def test_the_user_is_made_and_can_be_suspended_and_limited(self, house: KeyHouse) -> None:
        desk = Desk(house, 200, 200, 200)
        admission = await desk.decider.admit(shown())
        house.streams.live[admission.key_id] = "alice"
        await house.keys.limit("alice", {"bitrate_kbps_max": 5000}, by=ADMIN)
        assert admission.limits.bitrate_kbps_max == 5000
        await house.keys.suspend("alice", by=ADMIN)
        assert house.streams.closed == [("alice", "suspended")]
        assert not house.verifier.admissions.is_admissible(admission)
        assert await desk.reason() == Denial.SUSPENDED
        await house.keys.restore("alice", by=ADMIN)
        assert (await desk.decider.admit(shown())).limits.bitrate_kbps_max == 5000
        assert [row for row in await house.audited() if row == "user.created"] == ["user.created"]

    async def test_an_admission_outlives_the_looks_at_the_store_for_dead_keys(self, house: KeyHouse) -> None:
        admission = await Desk(house, 200).decider.admit(shown())
        assert await house.verifier.admissions.recheck()
        assert house.verifier.admissions.is_admissible(admission)

    async def test_a_suspension_by_another_process_is_found_by_them(self, house: KeyHouse) -> None:
        admission = await Desk(house, 200).decider.admit(shown())
        await house.store.suspend_user("alice", reason="", now=house.clock.now(), by=ADMIN)
        await house.verifier.admissions.recheck()
        assert admission.ended_by is Denial.SUSPENDED

    async def test_a_suspension_while_the_store_is_read_is_seen(
        self, house: KeyHouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read = house.store.ensure_user

        async def suspended_meanwhile(*args: Any, **kwargs: Any) -> Any:
            monkeypatch.setattr(house.store, "ensure_user", read)
            user = await read(*args, **kwargs)
            await house.keys.suspend("alice", by=ADMIN)
            return user

        monkeypatch.setattr(house.store, "ensure_user", suspended_meanwhile)
        assert await Desk(house, 200).reason() == Denial.SUSPENDED

    async def test_whoever_is_let_into_a_channel_goes_on_with_its_stream(self, house: KeyHouse) -> None:
        desk = Desk(house, 200, 200, named("bob"))
        first, second = [await desk.decider.admit(shown(f"alice?token={number}")) for number in range(2)]
        assert first.key_id == second.key_id
        assert (await desk.decider.admit(shown())).key_id != first.key_id

    async def test_nobody_is_let_in_where_suspensions_cannot_be_read(
        self, house: KeyHouse, fragile: FragileStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fails(*_: Any, **__: Any) -> Any:
            raise StoreUnavailableError("the key store is down")

        monkeypatch.setattr(fragile, "ensure_user", fails)
        with pytest.raises(StoreUnavailableError):
            await Desk(house, 200).decider.admit(shown())
