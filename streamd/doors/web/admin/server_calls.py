"""The calls about the server itself: health, metrics, the audit log."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiohttp import hdrs, web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streamd.doors.web.json_api import answer
from streamd.doors.web.models.audit import AuditPage, AuditQuery
from streamd.doors.web.models.server import Health
from streamd.doors.web.openapi import Operation
from streamd.errors import StoreUnavailableError
from streamd.services.operators.roles import Right

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from prometheus_client import CollectorRegistry

    from streamd.services.keys.service import KeyService

log = logging.getLogger(__name__)

# A balancer asks for readiness every second or so, and takes a late answer for a no.
READY_TIMEOUT_S = 2.0


class ServerDesk:
    """Tells how the server is.

    Args:
        keys: The key service, which has the audit log.
        metrics: Shown at ``/metrics``.
        not_ready_because: The reason, beside the key store, to send no broadcaster here; None without one.
        warnings: The troubles of a server that is ready, for operators.
        merged: Puts the metrics of other processes of this server with them; None where there are none.
    """

    def __init__(
        self,
        keys: KeyService,
        metrics: CollectorRegistry,
        not_ready_because: Callable[[], str | None],
        warnings: Callable[[], Awaitable[Sequence[str]]],
        merged: Callable[[bytes], Awaitable[bytes]] | None = None,
    ) -> None:
        self._merged = merged
        self._keys = keys
        self._metrics = metrics
        self._not_ready_because = not_ready_because
        self._warnings = warnings

    def operations(self) -> list[Operation]:
        """The calls."""
        return [
            Operation("GET", "/healthz", self.healthz, Health, needs_token=False),
            Operation("GET", "/readyz", self.readyz, Health, other_answers={503: Health}, needs_token=False),
            Operation("GET", "/metrics", self.metrics, "text/plain", right=Right.READ),
            Operation(
                "GET", "/api/v1/audit", self.list_audit, AuditPage, query=AuditQuery, problems=(503,), right=Right.READ
            ),
        ]  # fmt: skip

    async def healthz(self, _: web.Request) -> web.Response:
        """Tell that the process works: it answers."""
        return answer(Health(status="ok"), with_defaults=False)

    async def readyz(self, _: web.Request) -> web.Response:
        """Tell whether a broadcaster with a good key would be let in now.

        503 names the reason: the server stops, its listeners are not open, it is full, or the key store does not
        answer the question that a publish asks.
        """
        reason = self._not_ready_because()
        if reason is None:
            try:
                async with asyncio.timeout(READY_TIMEOUT_S):
                    await self._keys.check()
            except StoreUnavailableError as exc:
                # The store's fault goes to the log; this answer needs no token.
                log.debug("readiness.failed", extra={"reason": str(exc)})
                reason = "the key store is unavailable"
            except TimeoutError:
                reason = "the key store does not answer"
        health = Health(status=reason or "ok")
        if warnings := await self._warnings():
            health = Health(status=health.status, warnings=warnings)
        return answer(health, status=503 if reason else 200, with_defaults=False)

    async def metrics(self, _: web.Request) -> web.Response:
        """Metrics in Prometheus's text format."""
        page = generate_latest(self._metrics)
        if self._merged is not None:
            page = await self._merged(page)
        return web.Response(body=page, headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_LATEST})

    async def list_audit(self, _: web.Request, query: AuditQuery) -> web.Response:
        """List or search the audit log: acts on keys, users and streams, with actor, time and reason."""
        page = await self._keys.list_audit(
            after=query.after, limit=query.limit, is_newest_first=query.newest_first, found=query.filter
        )
        return answer(AuditPage.of(page))
