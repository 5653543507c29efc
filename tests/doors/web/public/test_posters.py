from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from streamd.doors.delivery.channels import PublicChannels
from streamd.doors.web.headers import harden
from streamd.doors.web.public.posters import PosterRoutes
from streamd.doors.web.public.web_entrance import WebEntrance, refusals
from streamd.errors import PostersBusyError
from streamd.services.metrics import Metrics
from streamd.services.playback.policy import Policy
from streamd.services.playback.revocations import RevocationKind
from streamd.services.posters.posters import Poster
from tests.support.playback_gate import NOW, GateHouse, token

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.services.live.channel import Channel
    from streamd.services.live.registry import LiveRegistry
    from streamd.services.playback.hook import ViewerHook
    from streamd.services.posters.posters import Posters

POSTER = Poster(b"\xff\xd8 a picture \xff\xd9", "tag")


class FakeRegistry:
    def find_channel(self, name: str) -> str | None:
        return None if name == "nobody" else name


class FakePosters:
    """What becomes of a channel's poster goes by its name."""

    def __init__(self, taken_down: set[str]) -> None:
        self._taken_down = taken_down
        self.meanwhile: Callable[[], None] = lambda: None

    async def find(self, channel: Channel) -> Poster | None:
        name = str(channel)
        if name == "busy":
            raise PostersBusyError
        if name == "fleeting":
            self._taken_down.add(name)
        self.meanwhile()
        return None if name == "blank" else POSTER


def get(
    path: str,
    method: str = "GET",
    *,
    house: GateHouse | None = None,
    meanwhile: Callable[[], None] = lambda: None,
    **headers: str,
) -> tuple[ClientResponse, bytes, Metrics]:
    """One request; header names are written with ``_`` for ``-``."""
    metrics = Metrics()
    taken_down = {"banned"}
    posters = FakePosters(taken_down)
    posters.meanwhile = meanwhile
    routes = PosterRoutes(
        channels=PublicChannels(cast("LiveRegistry", FakeRegistry()), taken_down.__contains__),
        posters=cast("Posters", posters),
        metrics=metrics,
        entrance=None if house is None else WebEntrance(house.gate, cast("ViewerHook", None)),
    )

    async def run() -> tuple[ClientResponse, bytes, Metrics]:
        app = web.Application(middlewares=[refusals])
        harden(app)
        routes.add_to(app)
        async with TestClient(TestServer(app)) as client:
            fields = {name.replace("_", "-"): value for name, value in headers.items()}
            async with client.request(method, path, headers=fields) as answer:
                return answer, await answer.read(), metrics

    return asyncio.run(run())


def test_a_picture_may_be_shown_anywhere_and_kept_for_as_long_as_it_is_new() -> None:
    answer, body, metrics = get("/live/demo/poster.jpg?17")
    assert (answer.status, body) == (200, POSTER.jpeg)
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Cache-Control"] == "public, max-age=10"
    assert answer.headers["ETag"] == '"tag"'
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    labels = {"kind": "poster", "status": "200"}
    assert metrics.registry.get_sample_value("streamd_http_responses_total", labels) == 1
    assert metrics.registry.get_sample_value("streamd_http_egress_bytes_total") == len(POSTER.jpeg)


@pytest.mark.parametrize("known", ['"tag"', 'W/"tag"', '"other", "tag"', "*"])
def test_what_is_known_is_not_sent_again(known: str) -> None:
    answer, body, _ = get("/live/demo/poster.jpg", If_None_Match=known)
    assert (answer.status, body) == (304, b"")
    assert answer.headers["ETag"] == '"tag"'


def test_a_head_request_has_the_same_fields_and_no_body() -> None:
    answer, body, metrics = get("/live/demo/poster.jpg", "HEAD")
    assert (answer.status, body) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(POSTER.jpeg))
    assert metrics.registry.get_sample_value("streamd_http_egress_bytes_total") == 0


@pytest.mark.parametrize(
    ("name", "status"), [("nobody", 404), ("blank", 404), ("banned", 410), ("fleeting", 410), ("busy", 503)]
)
def test_where_there_is_none_the_answer_says_why_and_is_soon_forgotten(name: str, status: int) -> None:
    answer, _, _ = get(f"/live/{name}/poster.jpg")
    assert answer.status == status
    assert answer.headers["Cache-Control"] == "max-age=1"
    assert ("Retry-After" in answer.headers) == (status == 503)


def test_a_channel_that_is_locked_while_its_picture_is_drawn_shows_none_to_a_stranger() -> None:
    house = GateHouse(Policy.PUBLIC)
    answer, body, _ = get("/live/demo/poster.jpg", house=house, meanwhile=lambda: house.rule("demo", Policy.SIGNED))
    assert (answer.status, answer.headers["Cache-Control"]) == (401, "no-store")
    assert POSTER.jpeg not in body


def test_a_token_that_is_withdrawn_while_the_picture_is_drawn_shows_none() -> None:
    house = GateHouse()

    def withdraw() -> None:
        house.gate.revocations.add(RevocationKind.CHANNEL, "demo", NOW)
        house.gate.end_withdrawn()

    shown = f"/live/demo/poster.jpg?token={token(aud='t', iat=NOW - 1)}"
    answer, _, _ = get(shown, house=house)
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "private, max-age=10")
    answer, body, _ = get(shown, house=house, meanwhile=withdraw)
    assert (answer.status, answer.headers["Cache-Control"]) == (403, "no-store")
    assert POSTER.jpeg not in body
