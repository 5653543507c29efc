"""Locked channels at both doors, over real sockets: the token, the ticket, and the end."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_network
from typing import TYPE_CHECKING, cast

import pytest
import pytest_asyncio

from streamd.clock import SystemClock
from streamd.doors.delivery.entrance import token_of
from streamd.errors import PlaybackRefusedError
from streamd.services.playback.countries import Countries
from streamd.services.playback.gate import PlaybackGate
from streamd.services.playback.gate_options import GateOptions
from streamd.services.playback.hook import HookVerdict, ViewerHook
from streamd.services.playback.policy import PlaybackRule, Policy
from streamd.services.playback.refusal import Refusal
from streamd.services.playback.revocations import RevocationKind
from streamd.services.playback.view_blocks import ViewBlock
from tests.support.doors import (
    SUSPENDED,
    Client,
    Doors,
    Response,
    StandInRegistry,
    StandInStream,
    open_doors,
    request,
    until,
)
from tests.support.playback_gate import KEYS, token

if TYPE_CHECKING:
    from streamd.services.playback.visitor import Visitor

pytestmark = pytest.mark.asyncio

INDEX = "/live/demo/index.m3u8"


class Service:
    """The operator's service, which lets in who shows the word."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.meanwhile: Callable[[], object] = lambda: None

    async def ask(self, channel: str, visitor: Visitor, shown: str, query: str, *, owner: str = "") -> HookVerdict:
        self.asked.append((channel, shown, query))
        if shown != "word":
            raise Refusal.FORBIDDEN.error()
        self.meanwhile()
        return HookVerdict(allows=True, ttl_s=60, viewers_max=0)


class House:
    """Both doors, with a gate, and the channel demo."""

    def __init__(self, doors: Doors, gate: PlaybackGate, stream: StandInStream, service: Service, port: int) -> None:
        self.doors = doors
        self.gate = gate
        self.stream = stream
        self.service = service
        self.port = port

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with Client.connected(self.port) as client:
            yield client

    async def get(self, target: str, method: str = "GET", **fields: str) -> Response:
        async with self.client() as client:
            await client.send(request(target, method, headers=[(k.replace("_", "-"), v) for k, v in fields.items()]))
            return await client.response(method)

    def is_held(self) -> bool:
        return any(viewing.is_held for viewing in self.gate.viewings.all())

    def rule(self, policy: Policy) -> None:
        self.gate.policies_changed(self.gate.policies.replace({"demo": PlaybackRule(policy)}))

    def token(self, **claims: object) -> str:
        now = int(SystemClock().now().timestamp())
        return token(**{"exp": now + 60, "iat": now, **claims})  # type: ignore[arg-type]  # claims alone

    async def ticket(self, **claims: object) -> str:
        answer = await self.get(f"{INDEX}?token={self.token(**claims)}")
        assert answer.status == 200, answer
        found = re.search(rb"^~([^/]+)/main\.m3u8$", answer.body, re.MULTILINE)
        assert found is not None
        return found[1].decode()


@pytest_asyncio.fixture(params=["thin", "aiohttp"])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    """A locked channel at one of the doors."""
    clock = SystemClock()
    gate = PlaybackGate(clock, GateOptions(Policy.SIGNED), Countries(None))
    gate.set_secret(bytes(range(32)))
    gate.keys.set_own({key.kid: (key, None) for key, _ in KEYS.values()})
    stream, service = StandInStream(), Service()
    registry = StandInRegistry({"demo": stream})
    async with open_doors(registry, gate=gate, hook=cast("ViewerHook", service)) as doors:
        port = doors.thin_port if request.param == "thin" else doors.aiohttp_port
        yield House(doors, gate, stream, service, port)
    gate.viewings.close()


class TestWithoutATicket:
    @pytest.mark.parametrize(
        "target",
        [
            INDEX, "/live/demo/main.m3u8", "/live/demo/main.m3u8?_HLS_msn=1003", "/live/demo/main/init0.mp4",
            "/live/demo/main/seg1000.m4s", "/live/demo/main/part10012.m4s", "/live/demo.flv", "/live/demo.mp4",
            "/live/unknown/index.m3u8",
        ],
    )  # fmt: skip
    async def test_nothing_of_it_is_seen(self, house: House, target: str) -> None:
        for method in ("GET", "HEAD"):
            answer = await house.get(target, method)
            assert answer.status == 401
            assert answer.field("Cache-Control") == "no-store"
            assert answer.field("WWW-Authenticate") is not None
            assert answer.field("Access-Control-Allow-Origin") == "*"

    async def test_a_preflight_is_answered(self, house: House) -> None:
        assert (await house.get(INDEX, "OPTIONS")).status == 204

    async def test_what_was_taken_down_is_gone_for_everybody(self, house: House) -> None:
        assert (await house.get(f"/live/{SUSPENDED}/index.m3u8")).status == 410

    @pytest.mark.parametrize(
        ("query", "word"),
        [
            ("token=x", "can read"), ("token=a&token=b", "more than one"), ("token=", "needs a token"),
            ("token=%65%30", "can read"), ("tokens=x", "needs a token"), ("TOKEN=x", "needs a token"),
        ],
    )  # fmt: skip
    async def test_a_query_that_lets_nobody_in(self, house: House, query: str, word: str) -> None:
        answer = await house.get(f"{INDEX}?{query}")
        assert answer.status in (401, 403)
        assert word in answer.body.decode()

    async def test_a_token_opens_no_media_by_itself(self, house: House) -> None:
        assert (await house.get(f"/live/demo/main.m3u8?token={house.token()}")).status == 401

    async def test_of_64_kilobytes(self, house: House) -> None:
        async with house.client() as client:
            await client.send(request(f"{INDEX}?token={'A' * 65_536}"))
            assert (await client.response()).status in (400, 403, 414, 431)

    async def test_a_refusal_repeats_nothing(self, house: House) -> None:
        shown = house.token(sub="other")
        answer = await house.get(f"{INDEX}?token={shown}")
        assert answer.status == 403
        assert all(part.encode() not in answer.body for part in shown.split("."))


class TestWithATicket:
    async def test_the_way_from_a_token_to_media(self, house: House) -> None:
        answer = await house.get(f"{INDEX}?token={house.token()}", Accept_Encoding="gzip")
        assert (answer.status, answer.field("Cache-Control")) == (200, "no-store")
        assert len(answer.body) < 500
        uris = re.findall(rb"^[^#\n]+$", answer.body, re.MULTILINE)
        assert uris == [b"~" + uris[0].split(b"/")[0][1:] + b"/main.m3u8"]
        base = f"/live/demo/{uris[0].decode().partition('/')[0]}"
        playlist = await house.get(f"{base}/main.m3u8")
        assert (playlist.status, playlist.field("Cache-Control")) == (200, "no-store")
        media = re.findall(r'(?:^|URI=")(main/[^"\n]+)', playlist.body.decode(), re.MULTILINE)
        assert len(media) > 4
        words = {uri.split("/")[1] for uri in media}
        assert len(words) == 1
        assert len(words.pop()) == 26
        for uri in media[:-1]:
            found = await house.get(f"{base}/{uri}")
            assert found.status == 200, uri
            assert found.field("Cache-Control") == "max-age=3600, immutable"

    async def test_what_is_kept_from_its_viewer_is_refused_although_the_ticket_is_known(self, house: House) -> None:
        ticket = await house.ticket()
        word = house.gate.words.of("demo", StandInStream.live_since)
        paths = [f"/live/demo/~{ticket}/main.m3u8", f"/live/demo/~{ticket}/main/{word}/part10012.m4s"]
        assert [(await house.get(path)).status for path in paths] == [200, 200]
        block = ViewBlock("demo", network=ip_network("127.0.0.0/8"))
        house.gate.block(block, "act")
        assert [(await house.get(path)).status for path in paths] == [451, 451]
        house.gate.unblock(block, "act")
        assert [(await house.get(path)).status for path in paths] == [200, 200]

    async def test_all_viewers_get_the_same_bytes(self, house: House) -> None:
        first, second = await house.ticket(), await house.ticket(jti="other")
        assert first != second
        playlists = [
            await house.get(f"/live/demo/~{ticket}/main.m3u8", User_Agent=ticket) for ticket in (first, second)
        ]
        assert playlists[0].body == playlists[1].body
        assert b"~" not in playlists[0].body

    async def test_media_without_its_word_is_not_there_and_not_kept(self, house: House) -> None:
        ticket = await house.ticket()
        for file in ("part10012.m4s", f"{'0' * 26}/part10012.m4s"):
            answer = await house.get(f"/live/demo/~{ticket}/main/{file}")
            assert (answer.status, answer.field("Cache-Control")) == (404, "no-store")

    async def test_the_word_without_a_ticket_opens_nothing_here(self, house: House) -> None:
        word = house.gate.words.of("demo", StandInStream.live_since)
        assert (await house.get(f"/live/demo/main/{word}/part10012.m4s")).status == 401

    @pytest.mark.parametrize(
        "path",
        [
            "/live/demo/%7E{}/main.m3u8", "/live/demo/~{}x/main.m3u8", "/live/other/~{}/main.m3u8",
            "/api/v1/~{}/streams", "/live/demo/~{0}/~{0}/main.m3u8", "/~{}/live/demo/main.m3u8",
            "/live/demo/main/~{}/part10012.m4s", "/live/demo/~{}", "/live/demo/~{}/",
        ],
    )  # fmt: skip
    async def test_where_it_is_good_for_nothing(self, house: House, path: str) -> None:
        ticket = await house.ticket()
        answer = await house.get(path.format(ticket))
        assert answer.status in (401, 403, 404)
        assert ticket.encode() not in answer.body

    async def test_with_a_bit_changed(self, house: House) -> None:
        ticket = await house.ticket()
        for position in (0, 9, 25, len(ticket) - 1):
            letter = "0" if ticket[position] != "0" else "1"
            changed = ticket[:position] + letter + ticket[position + 1 :]
            assert (await house.get(f"/live/demo/~{changed}/main.m3u8")).status in (403, 404)

    async def test_a_multivariant_playlist_below_it_is_everybodys(self, house: House) -> None:
        answer = await house.get(f"/live/demo/~{await house.ticket()}/index.m3u8")
        assert answer.status == 200
        assert b"~" not in answer.body

    async def test_head(self, house: House) -> None:
        answer = await house.get(f"{INDEX}?token={house.token()}", "HEAD")
        assert (answer.status, answer.body) == (200, b"")

    async def test_several_requests_on_one_connection(self, house: House) -> None:
        ticket = await house.ticket()
        async with house.client() as client:
            wanted = request(f"/live/demo/~{ticket}/main.m3u8") + request(f"/live/demo/~{'x' * 20}/main.m3u8")
            await client.send(wanted + request(f"/live/demo/~{ticket}/main.m3u8?_HLS_skip=YES"))
            assert [(await client.response()).status for _ in range(3)] == [200, 403, 200]


class TestTheEnd:
    async def test_a_waiting_request_is_cut_when_the_ticket_expires(self, house: House) -> None:
        now = SystemClock().now().timestamp()
        ticket = await house.ticket(exp=int(now) + 2)
        async with house.client() as client:
            await client.send(request(f"/live/demo/~{ticket}/main.m3u8?_HLS_msn=1003&_HLS_part=2"))
            answer = await client.response()
        late_s = SystemClock().now().timestamp() - (int(now) + 2)
        assert (answer.status, 0 <= late_s < 0.5) == (403, True), late_s
        assert b"expired" in answer.body

    @pytest.mark.parametrize("target", ["/live/demo.flv?token={}", "/live/~{}/demo.flv"])
    async def test_a_stream_is_cut_when_it_expires(self, house: House, target: str) -> None:
        now = SystemClock().now().timestamp()
        shown = (await house.ticket(exp=int(now) + 2)) if "~" in target else house.token(exp=int(now) + 2)
        house.stream.push(b"first", is_keyframe=True)
        async with house.client() as client:
            await client.send(request(target.format(shown)))
            assert (await client.response()).status == 200
            assert await client.exactly(9) == b"headfirst"
            await client.rest()
        late_s = SystemClock().now().timestamp() - (int(now) + 2)
        assert 0 <= late_s < 0.6

    async def test_of_what_is_withdrawn_nothing_comes_any_more(self, house: House) -> None:
        ticket = await house.ticket(jti="j")
        house.stream.push(b"first", is_keyframe=True)
        async with house.client() as waiting, house.client() as following:
            await waiting.send(request(f"/live/demo/~{ticket}/main.m3u8?_HLS_msn=1003&_HLS_part=2"))
            await following.send(request(f"/live/~{ticket}/demo.flv"))
            assert (await following.response()).status == 200
            assert await following.exactly(9) == b"headfirst"
            await until(lambda: house.is_held() and house.stream.budget.waiting == 1)
            house.gate.revocations.add(RevocationKind.JTI, "j", int(SystemClock().now().timestamp()))
            assert house.gate.end_withdrawn() == 1
            house.stream.push(b"second")
            assert (await waiting.response()).status == 403
            assert await following.rest() == b""
        assert (await house.get(f"/live/demo/~{ticket}/main.m3u8")).status == 403

    async def test_a_viewer_who_leaves_is_forgotten(self, house: House) -> None:
        ticket = await house.ticket()
        async with house.client() as client:
            await client.send(request(f"/live/demo/~{ticket}/main.m3u8?_HLS_msn=1003&_HLS_part=2"))
            await until(house.is_held)
        await until(lambda: not house.is_held())


class TestWhenThePolicyChanges:
    async def test_who_watches_a_public_channel_is_cut_when_it_is_locked(self, house: House) -> None:
        house.rule(Policy.PUBLIC)
        house.stream.push(b"first", is_keyframe=True)
        async with house.client() as waiting, house.client() as following:
            await waiting.send(request("/live/demo/main.m3u8?_HLS_msn=1003&_HLS_part=2"))
            await following.send(request("/live/demo.flv"))
            assert (await following.response()).status == 200
            assert await following.exactly(9) == b"headfirst"
            await until(lambda: house.stream.budget.waiting == 1)
            house.rule(Policy.SIGNED)
            house.stream.push(b"second")
            assert (await waiting.response()).status == 401
            assert await following.rest() == b""

    async def test_a_ticket_goes_on_when_it_is_open(self, house: House) -> None:
        ticket = await house.ticket()
        playlist = (await house.get(f"/live/demo/~{ticket}/main.m3u8")).body.decode()
        house.rule(Policy.PUBLIC)
        assert (await house.get(f"/live/demo/~{ticket}/main.m3u8")).status == 200
        part = re.findall(r'URI="(main/[^"]+part[^"]+)"', playlist)[0]
        assert (await house.get(f"/live/demo/~{ticket}/{part}")).status == 200
        assert (await house.get(INDEX)).status == 200


class TestHook:
    async def test_the_service_is_asked_and_the_ticket_stands_for_its_word(self, house: House) -> None:
        house.rule(Policy.HOOK)
        answer = await house.get(f"{INDEX}?a=b&token=word")
        assert answer.status == 200
        assert house.service.asked == [("demo", "word", "a=b")]
        found = re.search(r"^(~[^/]+)/", answer.body.decode(), re.MULTILINE)
        assert found is not None
        assert (await house.get(f"/live/demo/{found[1]}/main.m3u8")).status == 200
        assert (await house.get(f"{INDEX}?token=other")).status == 403
        assert (await house.get("/live/demo.flv")).status == 403
        assert (await house.get("/live/demo/main.m3u8")).status == 401
        assert len(house.service.asked) == 3

    @pytest.mark.parametrize("target", [INDEX, "/live/demo.flv"])
    async def test_its_word_from_before_another_act_lets_nobody_in(self, house: House, target: str) -> None:
        house.rule(Policy.HOOK)
        now = int(SystemClock().now().timestamp())
        house.service.meanwhile = lambda: house.gate.revocations.add(RevocationKind.CHANNEL, "demo", now - 60)
        assert (await house.get(f"{target}?token=word")).status == 403
        house.service.meanwhile = lambda: house.rule(Policy.SIGNED)
        assert (await house.get(f"{target}?token=word")).status == 403


class TestTokenOf:
    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("", ""),
            ("token=a.b.c", "a.b.c"),
            ("x=1&token=a&y", "a"),
            ("xtoken=a", ""),
            ("token", ""),
            ("token=a=b", "a=b"),
        ],
    )
    async def test_as_it_was_sent(self, query: str, found: str) -> None:
        assert token_of(query) == found

    async def test_two(self) -> None:
        with pytest.raises(PlaybackRefusedError):
            token_of("token=a&token=a")
