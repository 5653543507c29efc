from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
import pytest_asyncio
from aiohttp import ClientResponse, ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from streamd.doors.web.public.obs import ObsDesk
from streamd.errors import StoreUnavailableError
from streamd.services.keys.records import PublishLimits
from streamd.services.metrics import Metrics
from streamd.services.obs.ladder import ObsOptions
from tests.services.obs.test_ladder import OBS_32, OPTIONS
from tests.support.go_live import read_go_live_config
from tests.support.ingest import GOOD_KEY, FakeKeys

if TYPE_CHECKING:
    from streamd.services.keys.verifier import KeyVerifier

pytestmark = pytest.mark.asyncio

PATH = "/api/v1/obs/config"
WRONG_KEY = "sk_wrong_5ecret"


class Desk:
    """The route with keys in memory, and an HTTP client."""

    def __init__(self, options: ObsOptions = OPTIONS, verify_timeout_s: float = 5.0) -> None:
        self.keys = FakeKeys()
        self.metrics = Metrics()
        app = web.Application()
        self.desk = ObsDesk(cast("KeyVerifier", self.keys), options, self.metrics, verify_timeout_s)
        self.desk.add_to(app)
        self.client: TestClient[web.Request, web.Application] = TestClient(TestServer(app))

    async def post(self, stream_key: str = GOOD_KEY, **changes: Any) -> ClientResponse:
        return await self.client.post(PATH, json=OBS_32 | {"authentication": stream_key} | changes)


@pytest_asyncio.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    async with desk.client:
        yield desk


class TestWhoMayPublish:
    async def test_obs_gets_what_it_can_read(self, desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            response = await desk.post(f"{GOOD_KEY}?bandwidthtest=true")
        document = await response.json()
        read_go_live_config(document)
        assert (response.status, document["status"]["result"]) == (200, "success")
        assert response.headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in response.headers
        assert desk.keys.asked == [(GOOD_KEY, "127.0.0.1")]
        assert GOOD_KEY not in await response.text() + caplog.text

    async def test_the_least_that_may_be_posted(self, desk: Desk) -> None:
        response = await desk.client.post(PATH, json={"authentication": GOOD_KEY})
        read_go_live_config(await response.json())

    async def test_the_ladder_is_within_what_the_user_may_send(self, desk: Desk) -> None:
        desk.keys.limits = PublishLimits(bitrate_kbps_max=5300)
        for wanted, expected in (({}, [3000, 1200]), ({"maximum_aggregate_bitrate": 1400}, [1200])):
            preferences = OBS_32["preferences"] | wanted
            document = await (await desk.post(preferences=preferences)).json()
            assert [e["settings"]["bitrate"] for e in document["encoder_configurations"]] == expected

    async def test_who_may_send_no_rung_is_told_to_send_one_picture(self, desk: Desk) -> None:
        desk.keys.limits = PublishLimits(bitrate_kbps_max=800)
        response = await desk.post()
        document = await response.json()
        read_go_live_config(document)
        assert (response.status, document["status"]["result"]) == (200, "error")
        for said in ("800 kb/s", "Enable Multitrack Video"):
            assert said in document["status"]["html_en_us"]

    async def test_what_everybody_may_send_can_be_changed(self, desk: Desk) -> None:
        desk.desk.configure(replace(OPTIONS, limits=PublishLimits(bitrate_kbps_max=5300)), verify_timeout_s=5.0)
        document = await (await desk.post()).json()
        assert [e["settings"]["bitrate"] for e in document["encoder_configurations"]] == [3000, 1200]


class TestWhoMayNot:
    async def test_a_wrong_key_is_told_in_obs_words(self, desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            response = await desk.post(WRONG_KEY)
        document = await response.json()
        read_go_live_config(document)
        assert (response.status, document["status"]["result"]) == (200, "error")
        assert "stream key is not valid" in document["status"]["html_en_us"]
        assert document["encoder_configurations"] == []
        assert WRONG_KEY not in str(document) + caplog.text

    async def test_a_store_that_fails_is_no_wrong_key(self, desk: Desk) -> None:
        desk.keys.error = StoreUnavailableError("down")
        assert (await desk.post()).status == 503

    async def test_a_store_that_does_not_answer_is_given_up(self) -> None:
        desk = Desk(verify_timeout_s=0.01)
        desk.keys.hold = asyncio.get_running_loop().create_future()
        async with desk.client:
            assert (await desk.post()).status == 503
        limit = {"limit": "verify_timeout_s"}
        assert desk.metrics.registry.get_sample_value("streamd_limit_hits_total", limit) == 1

    async def test_a_server_without_a_ladder_has_nothing_to_tell(self) -> None:
        desk = Desk(ObsOptions(ladder=()))
        async with desk.client:
            assert (await desk.post()).status == 404
        assert desk.keys.asked == []


class TestWhatIsPosted:
    @pytest.mark.parametrize(
        ("body", "content_type", "status"),
        [
            (f'{{"authentication": "{GOOD_KEY}"}}', "text/plain", 415),
            ("not json", "application/json", 400),
            (f'{{"authentication": "{GOOD_KEY}", "authentication": "x"}}', "application/json", 400),
            (f'["{GOOD_KEY}"]', "application/json", 422),
            (f'{{"authentication": ["{GOOD_KEY}"]}}', "application/json", 422),
            (f'{{"authentication": "{GOOD_KEY}", "preferences": {{"canvases": [{{}}]}}}}', "application/json", 422),
        ],
    )
    async def test_what_obs_would_not_post_is_refused_and_not_repeated(
        self, desk: Desk, body: str, content_type: str, status: int
    ) -> None:
        async with ClientSession() as session:
            url = desk.client.make_url(PATH)
            async with session.post(url, data=body, headers={"Content-Type": content_type}) as response:
                assert response.status == status
                assert GOOD_KEY not in await response.text()
        assert desk.keys.asked == []
