from __future__ import annotations

import pytest
from aiohttp import ClientConnectionResetError, web
from aiohttp.test_utils import make_mocked_request

from streamd.web.public import _guard

pytestmark = pytest.mark.asyncio


async def test_a_fault_of_ours_is_a_plain_500_and_one_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(_: web.Request) -> web.Response:
        raise ValueError("secret")

    answer = await _guard(make_mocked_request("GET", "/"), fails)
    assert answer.status == 500
    assert isinstance(answer, web.Response)
    assert "secret" not in (answer.text or "")
    assert [record.message for record in caplog.records] == ["request.failed"]


async def test_a_viewer_who_leaves_in_the_middle_of_an_answer_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    async def loses_its_viewer(_: web.Request) -> web.Response:
        raise ClientConnectionResetError("Cannot write to closing transport")

    with pytest.raises(ConnectionResetError):
        await _guard(make_mocked_request("GET", "/"), loses_its_viewer)
    assert not caplog.records
