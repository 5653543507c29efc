from __future__ import annotations

import gzip
import json
import re
from ipaddress import ip_network
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urljoin

import pytest
from aiohttp import ClientError, web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request

from streamd.clock import ManualClock
from streamd.doors.delivery.channels import PublicChannels
from streamd.doors.web.public.app import GZIP_FROM_BYTES, PublicApi
from streamd.services.metrics import Metrics
from streamd.services.playback.gate import PlaybackGate
from streamd.services.playback.gate_options import GateOptions
from streamd.services.playback.view_blocks import ViewBlock
from tests.support.doors import StandInRegistry, media_routes
from tests.support.enforcement import KnownCountries
from tests.support.ports import port_of

if TYPE_CHECKING:
    from streamd.services.live.channel import Channel

pytestmark = pytest.mark.asyncio


async def test_a_fault_of_ours_is_a_plain_500_and_one_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(_: web.Request) -> web.Response:
        raise ValueError("secret")

    answer = await port_of().faultless()(make_mocked_request("GET", "/"), fails)
    assert answer.status == 500
    assert isinstance(answer, web.Response)
    assert "secret" not in (answer.text or "")
    assert [record.message for record in caplog.records] == ["request.failed"]


@pytest.mark.parametrize("begins", [True, False])
async def test_a_viewer_who_leaves_is_no_fault(begins: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def loses_its_viewer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if begins:
            await response.prepare(request)
        assert request.transport is not None
        request.transport.abort()
        await response.prepare(request)
        await response.write(b"to nobody")
        return response

    app = web.Application(middlewares=[port_of().faultless()])
    app.router.add_get("/", loses_its_viewer)
    async with TestClient(TestServer(app)) as client:
        with pytest.raises(ClientError):
            await (await client.get("/")).read()
    assert not caplog.records


class TestWhereThereIsNothing:
    """A person is shown a page; a program, and who asked for media or JSON, an answer without one."""

    @pytest.mark.parametrize("path", ["/nothing", "/watch", "/studio/nothing", "/watch/alice/more"])
    async def test_a_browser_is_shown_a_page(self, path: str) -> None:
        async with TestClient(TestServer(media_routes(StandInRegistry(), ManualClock(), Metrics()))) as client:
            async with client.get(path, headers={"Accept": "text/html,*/*;q=0.8"}) as response:
                assert (response.status, response.content_type) == (404, "text/html")
                assert "There is no such page" in await response.text()
                assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
            async with client.get(path) as response:
                assert (response.status, response.content_type) == (404, "text/plain")

    @pytest.mark.parametrize("path", ["/nothing", "/a/b/c", "/a/b/", "/" + "a/" * 8, "/" + "a/" * 9])
    async def test_its_links_lead_to_this_server_from_any_depth_under_any_path(self, path: str) -> None:
        app = media_routes(StandInRegistry(), ManualClock(), Metrics(), public_url="https://site.example/tv")
        async with TestClient(TestServer(app)) as client, client.get(path, headers={"Accept": "text/html"}) as response:
            links = re.findall(r'href="([^"]+)"', await response.text())
        assert len(links) > 3
        for link in links:
            assert urljoin(f"https://site.example/tv{path}", link).startswith("https://site.example/tv/"), link
        assert "https://site.example/tv/studio" in {urljoin(f"https://site.example/tv{path}", link) for link in links}

    @pytest.mark.parametrize("path", ["/live/alice/nothing", "/api/v1/nothing", "/static/0/nothing.js"])
    async def test_what_is_no_page_has_none(self, path: str) -> None:
        server = TestServer(media_routes(StandInRegistry(), ManualClock(), Metrics()))
        async with TestClient(server) as client, client.get(path, headers={"Accept": "text/html"}) as response:
            assert response.status == 404
            assert response.content_type != "text/html"


class TestTheListWhereSomethingIsBlocked:
    """An order holds in its country: what is not shown there is not listed there, and is everywhere else."""

    async def listed(self, api: PublicApi, address: str, **more: Any) -> tuple[list[str], str]:
        request = make_mocked_request("GET", "/api/v1/streams", transport=_transport_of(address), **more)
        response = await api.list_streams(request)
        assert isinstance(response.body, bytes)
        streams = json.loads(response.body)["streams"]
        return [each["name"] for each in streams], response.headers["Cache-Control"]

    async def test_it_is_left_out_there_alone(self) -> None:
        german, french = "203.0.113.9", "198.51.100.9"
        gate = PlaybackGate(ManualClock(), GateOptions(), KnownCountries())
        named = [SimpleNamespace(name=name, presentation=object()) for name in ("anna", "bert", "carl")]
        channels = cast("PublicChannels", SimpleNamespace(gate=gate, policy=lambda _: "public", listed=lambda: named))
        api = PublicApi(channels, ManualClock(), has_posters=False)
        api._describe = lambda channel, *_: {"name": channel.name}  # type: ignore[method-assign]
        everything = ["anna", "bert", "carl"]
        assert await self.listed(api, german) == (everything, "max-age=1")
        gate.block(ViewBlock("bert", ("DE",)), "blk_1")
        gate.block(ViewBlock("carl", network=ip_network("198.51.100.0/24")), "blk_2")
        for _ in range(2):
            assert await self.listed(api, german) == (["anna", "carl"], "private, max-age=1")
            assert await self.listed(api, french) == (["anna", "bert"], "private, max-age=1")
        gate.block(ViewBlock(countries=("FR",)), "blk_3")
        assert (await self.listed(api, french))[0] == []
        assert (await self.listed(api, german))[0] == ["anna", "carl"]
        for block in (ViewBlock("bert", ("DE",)), ViewBlock(countries=("FR",))):
            gate.unblock(block, "blk_1" if block.subject else "blk_3")
        assert (await self.listed(api, german))[0] == everything


def _transport_of(address: str) -> Any:
    return SimpleNamespace(get_extra_info=lambda name, default=None: (address, 1) if name == "peername" else default)


class TestTheListOfStreams:
    async def answer(self, streams: int, accept: str) -> tuple[web.Response, PublicApi]:
        named = [SimpleNamespace(name=f"channel-{number:03}", presentation=object()) for number in range(streams)]
        channels = cast("PublicChannels", SimpleNamespace(gate=None, policy=lambda _: "public", listed=lambda: named))
        api = PublicApi(channels, ManualClock(), has_posters=False)

        def described(channel: Channel, *_: str) -> dict[str, object]:
            return {"name": channel.name, "more": "x" * 100}

        api._describe = described  # type: ignore[method-assign, assignment]
        request = make_mocked_request("GET", "/api/v1/streams", {"Accept-Encoding": accept})
        return await api.list_streams(request), api

    async def test_a_long_one_is_compressed_once_for_all_who_take_it_so(self) -> None:
        response, api = await self.answer(200, "gzip, br")
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.headers["Vary"] == "Accept-Encoding"
        assert isinstance(response.body, bytes)
        assert len(json.loads(gzip.decompress(response.body))["streams"]) == 200
        again = await api.list_streams(make_mocked_request("GET", "/", {"Accept-Encoding": "gzip"}))
        assert again.body is response.body

    @pytest.mark.parametrize(("streams", "accept"), [(200, ""), (200, "gzip;q=0"), (1, "gzip")])
    async def test_others_are_plain(self, streams: int, accept: str) -> None:
        response, _ = await self.answer(streams, accept)
        assert "Content-Encoding" not in response.headers
        assert isinstance(response.body, bytes)
        assert len(json.loads(response.body)["streams"]) == streams
        assert streams == 200 or len(response.body) < GZIP_FROM_BYTES
