from __future__ import annotations

import pytest
from aiohttp import ClientError, web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request

from tests.support.ports import port_of

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
