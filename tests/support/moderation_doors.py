"""Both ports of the web in front of a moderation house."""

from __future__ import annotations

import contextlib
import functools
import json
from typing import TYPE_CHECKING, Any, cast

from aiohttp import hdrs
from aiohttp.test_utils import TestClient, TestServer

from streamd.doors.delivery.trusted_proxies import TrustedProxies
from streamd.doors.web.admin.api import admin_app
from streamd.doors.web.admin.cases import CaseDesk
from streamd.doors.web.admin.console import Console
from streamd.doors.web.public.app import public_app
from streamd.doors.web.public.media import MediaRoutes, MediaTimeouts
from streamd.doors.web.public.obs import ObsDesk
from streamd.doors.web.public.pages import Pages
from streamd.doors.web.public.report_pages import ReportPages
from streamd.doors.web.public.reports import ReportRoutes
from streamd.services.history import History
from streamd.services.metrics import Metrics
from streamd.services.moderation.cases.report_menu import ReportMenu
from streamd.services.obs.ladder import ObsOptions
from streamd.services.operators.roles import Role
from streamd.services.operators.service import OperatorService
from tests.support.doors import StandInRegistry, channels_of
from tests.support.live_streams import Streams
from tests.support.moderation import MINA, ModerationHouse
from tests.support.ports import port_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientResponse, web

    from streamd.services.keys.verifier import KeyVerifier

TOKEN = "t0ken-t0ken-t0ken-t0ken"
TIMEOUT_S = 10.0


@functools.cache
def _pages() -> Pages:
    """Read and compressed once: they take most of a second."""
    return Pages(takes_reports=True)


class ModerationDoors:
    """The public and the admin port.

    Args:
        house: Started.
    """

    def __init__(self, house: ModerationHouse) -> None:
        self.house = house
        clock, metrics, menu = house.clock, Metrics(), ReportMenu()
        registry = StandInRegistry()
        pages = _pages()
        channels = channels_of(registry)
        media = MediaRoutes(
            channels=channels, clock=clock, metrics=metrics, timeouts=MediaTimeouts(viewer_write_timeout_s=TIMEOUT_S)
        )
        self.public: TestClient[web.Request, web.Application] = TestClient(
            TestServer(
                public_app(
                    channels=channels,
                    media=media,
                    pages=pages,
                    obs=ObsDesk(cast("KeyVerifier", None), ObsOptions(ladder=()), metrics, TIMEOUT_S),
                    reports=ReportRoutes(house.moderation, menu),
                    report_pages=ReportPages(house.moderation, menu, pages.files, clock),
                    proxies=TrustedProxies(["127.0.0.0/8"]),
                    port=port_of(clock=clock, metrics=metrics),
                    clock=clock,
                )
            )
        )
        self.operators = OperatorService(house.store.database, clock)
        streams = Streams()
        self.console = Console(
            clock=clock,
            streams=streams,
            history=History(metrics, clock),
            revision=lambda: house.keys.revision,
            public_origin=lambda hostname: f"http://{hostname}:8080",
            operators=self.operators,
        )
        self.console.sessions.secret = TOKEN
        house.moderation.listen(lambda: self.console.events.tell("cases", str(house.moderation.revision).encode()))
        self.admin: TestClient[web.Request, web.Application] = TestClient(
            TestServer(
                admin_app(
                    keys=house.keys,
                    streams=streams,
                    metrics=metrics.registry,
                    token=TOKEN,
                    rtmp_urls=("rtmp://localhost/live",),
                    console=self.console,
                    more=CaseDesk(house.moderation, house.targets).operations(),
                    operators=self.operators,
                    port=port_of("admin", clock=clock),
                    clock=clock,
                )
            )
        )

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[ModerationDoors]:
        await self.operators.start()
        async with self.public, self.admin:
            yield self
        await self.operators.close()

    async def add(self, name: str, role: Role = Role.MODERATOR) -> str:
        """An operator's token."""
        return (await self.operators.add(name, role, expires_at=None, by=MINA)).token.reveal()

    def ask(self, method: str, path: str, token: str = TOKEN, body: object = None) -> Any:
        """A request of the admin port."""
        return self.admin.request(method, path, json=body, headers={hdrs.AUTHORIZATION: f"Bearer {token}"})

    async def act(
        self, method: str, path: str, token: str = TOKEN, body: object = None, status: int = 200
    ) -> dict[str, Any]:
        async with self.ask(method, path, token, body) as response:
            return await _read(response, status)

    async def report(self, body: dict[str, Any], status: int = 202, **fields: str) -> dict[str, Any]:
        """Send a report as the public does."""
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        given = {"category": "VIOLENCE", "good_faith": True} | body
        async with self.public.post("/api/v1/reports", json=given, headers=headers) as response:
            return await _read(response, status)


async def _read(response: ClientResponse, status: int) -> dict[str, Any]:
    text = await response.text()
    assert response.status == status, text
    read: dict[str, Any] = json.loads(text)
    return read
