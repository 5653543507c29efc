"""Public channels that are blocked in a country or taken down, at both doors, over real sockets: RFC 7725."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from streamd.clock import SystemClock
from streamd.doors.delivery.door import DoorOptions
from streamd.doors.delivery.trusted_proxies import TrustedProxies
from streamd.services.playback.gate import PlaybackGate
from streamd.services.playback.gate_options import GateOptions
from streamd.services.playback.policy import PlaybackRule, Policy
from streamd.services.playback.view_blocks import ViewBlock
from tests.support.doors import (
    SUSPENDED,
    Client,
    Response,
    StandInRegistry,
    StandInStream,
    open_doors,
    request,
    until,
)
from tests.support.enforcement import KnownCountries

pytestmark = pytest.mark.asyncio

GERMAN, FRENCH, UNKNOWN = "203.0.113.9", "198.51.100.9", "192.0.2.9"
IN_GERMANY = ViewBlock("demo", ("DE",))
TARGETS = [
    "/live/demo/index.m3u8", "/live/demo/main.m3u8", "/live/demo/main.m3u8?_HLS_msn=1003&_HLS_part=2",
    "/live/demo/main/init0.mp4", "/live/demo/main/seg1000.m4s", "/live/demo/main/part10012.m4s", "/live/demo.flv",
    "/live/demo.mp4", "/live/demo/~ticket/main.m3u8", "/live/~ticket/demo.flv",
]  # fmt: skip


class House:
    """Both doors behind a proxy that names viewers, with the public channel demo."""

    def __init__(self, gate: PlaybackGate, countries: KnownCountries, stream: StandInStream, port: int) -> None:
        self.gate = gate
        self.countries = countries
        self.stream = stream
        self.port = port

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with Client.connected(self.port) as client:
            yield client

    async def get(self, target: str, address: str, method: str = "GET") -> Response:
        async with self.client() as client:
            await client.send(request(target, method, headers=[("X-Forwarded-For", address)]))
            return await client.response(method)


@pytest_asyncio.fixture(params=["thin", "aiohttp"])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    clock, countries = SystemClock(), KnownCountries()
    gate = PlaybackGate(clock, GateOptions(blocked_by="https://authority.example/7"), countries)
    gate.set_secret(bytes(range(32)))
    stream = StandInStream()
    options = DoorOptions(proxies=TrustedProxies(["127.0.0.0/8"]))
    async with open_doors(StandInRegistry({"demo": stream}), options=options, gate=gate) as doors:
        port = doors.thin_port if request.param == "thin" else doors.aiohttp_port
        yield House(gate, countries, stream, port)
    gate.viewings.close()


class TestInACountry:
    @pytest.mark.parametrize("target", TARGETS)
    async def test_nothing_of_it_is_shown_there(self, house: House, target: str) -> None:
        house.gate.block(IN_GERMANY, "blk_1")
        for method in ("GET", "HEAD"):
            answer = await house.get(target, GERMAN, method)
            assert answer.status == 451
            assert answer.field("Cache-Control") == "no-store"
            assert answer.field("Link") == '<https://authority.example/7>; rel="blocked-by"'
            assert answer.field("Access-Control-Allow-Origin") == "*"
        assert (await house.get(target, GERMAN, "OPTIONS")).status == 204

    @pytest.mark.parametrize("target", ["/live/demo/index.m3u8", "/live/demo/main/seg1000.m4s"])
    async def test_elsewhere_it_is(self, house: House, target: str) -> None:
        house.gate.block(IN_GERMANY, "blk_1")
        for address in (FRENCH, UNKNOWN):
            assert (await house.get(target, address)).status == 200
        house.gate.unblock(IN_GERMANY, "blk_1")
        assert (await house.get(target, GERMAN)).status == 200

    async def test_who_waits_or_follows_there_is_cut_and_who_does_elsewhere_goes_on(self, house: House) -> None:
        house.stream.push(b"first", is_keyframe=True)
        waiting = request("/live/demo/main.m3u8?_HLS_msn=1003&_HLS_part=2", headers=[("X-Forwarded-For", GERMAN)])
        following = request("/live/demo.flv", headers=[("X-Forwarded-For", GERMAN)])
        elsewhere = request("/live/demo.flv", headers=[("X-Forwarded-For", FRENCH)])
        async with house.client() as first, house.client() as second, house.client() as third:
            await first.send(waiting)
            for client, asked in ((second, following), (third, elsewhere)):
                await client.send(asked)
                assert (await client.response()).status == 200
                assert await client.exactly(9) == b"headfirst"
            await until(lambda: house.stream.budget.waiting == 1)
            house.gate.block(IN_GERMANY, "blk_1")
            house.stream.push(b"second")
            assert (await first.response()).status == 451
            assert await second.rest() == b""
            assert await third.exactly(6) == b"second"

    async def test_all_that_there_is_and_a_channel_of_which_nothing_is_said(self, house: House) -> None:
        house.gate.block(ViewBlock("other", ("DE",)), "blk_1")
        assert (await house.get("/live/demo/index.m3u8", GERMAN)).status == 200
        house.gate.block(ViewBlock(countries=("FR",)), "blk_2")
        assert (await house.get("/live/demo/index.m3u8", FRENCH)).status == 451

    async def test_what_was_taken_down_is_gone_everywhere(self, house: House) -> None:
        house.gate.block(ViewBlock(SUSPENDED, ("DE",)), "blk_1")
        for address in (GERMAN, FRENCH):
            assert (await house.get(f"/live/{SUSPENDED}/index.m3u8", address)).status == 410

    async def test_a_locked_channel_is_blocked_before_it_asks_for_a_token(self, house: House) -> None:
        house.gate.policies_changed(house.gate.policies.replace({"demo": PlaybackRule(Policy.SIGNED)}))
        house.gate.block(IN_GERMANY, "blk_1")
        assert (await house.get("/live/demo/index.m3u8", GERMAN)).status == 451
        assert (await house.get("/live/demo/index.m3u8", FRENCH)).status == 401

    async def test_an_api_that_shows_the_channel_says_so_too(self, house: House) -> None:
        house.gate.block(IN_GERMANY, "blk_1")
        async with house.client() as client:
            await client.send(request("/api/v1/streams/demo", headers=[("X-Forwarded-For", GERMAN)]))
            assert (await client.response()).status == 451


class TestWithoutABlock:
    async def test_nobodys_country_is_looked_up_and_nothing_is_asked(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Work counted: the gate is open, and that is all that a request asks."""

        def asked(*_: object) -> bool:
            raise AssertionError

        monkeypatch.setattr(house.gate, "is_blocked", asked)
        assert house.gate.is_open
        for target in ("/live/demo/index.m3u8", "/live/demo/main/seg1000.m4s"):
            assert (await house.get(target, GERMAN)).status == 200
        assert house.countries.looked_up == 0

    async def test_it_is_so_again_when_the_last_is_removed(self, house: House) -> None:
        house.gate.block(IN_GERMANY, "blk_1")
        house.gate.block(IN_GERMANY, "blk_2")
        house.gate.unblock(IN_GERMANY, "blk_1")
        assert (await house.get("/live/demo/index.m3u8", GERMAN)).status == 451
        house.gate.unblock(IN_GERMANY, "blk_2")
        assert house.gate.is_open
