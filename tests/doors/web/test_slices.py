from __future__ import annotations

import asyncio

import pytest

from streamd.doors.web import slices as module
from streamd.doors.web.protocol import WebProtocol
from streamd.doors.web.slices import SLICE_BYTES, UNSENT_BYTES_MAX, SharedBody, slices

pytestmark = pytest.mark.asyncio

BODY = bytes(range(256)) * 1000


class Transport:
    """What aiohttp writes to."""

    high: int | None = None
    is_aborted = False

    def set_write_buffer_limits(self, high: int | None = None) -> None:
        self.high = high

    def abort(self) -> None:
        self.is_aborted = True


class Writer:
    """aiohttp's writer, of a peer that takes what it is sent, or some of it."""

    def __init__(self, slices_taken: int = 1_000_000) -> None:
        self.transport = Transport()
        self.protocol: WebProtocol | None = None
        self.written: list[bytes] = []
        self._taken = slices_taken

    async def write(self, chunk: memoryview) -> None:
        self.written.append(bytes(chunk))

    async def drain(self) -> None:
        if len(self.written) >= self._taken:
            await asyncio.Event().wait()


async def test_a_body_is_cut_without_a_rest_and_without_a_copy() -> None:
    cut = list(slices(BODY))
    assert b"".join(cut) == BODY
    assert {len(piece) for piece in cut[:-1]} == {SLICE_BYTES}
    assert all(piece.obj is BODY for piece in cut)
    assert list(slices(b"")) == []


async def test_all_of_it_is_written() -> None:
    writer = Writer()
    body = SharedBody(BODY, "text/plain")
    assert body.size == len(BODY)
    await body.write(writer)  # type: ignore[arg-type]  # as much of it as is used
    assert b"".join(writer.written) == BODY
    assert writer.transport.high == UNSENT_BYTES_MAX


async def test_who_reads_nothing_holds_one_slice_and_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_TIMEOUT_S", 0.01)
    writer = Writer(slices_taken=1)
    with pytest.raises(ConnectionResetError):
        await SharedBody(BODY, "text/plain").write(writer)  # type: ignore[arg-type]
    assert [len(piece) for piece in writer.written] == [SLICE_BYTES]
    assert writer.transport.is_aborted


async def test_it_is_text_where_somebody_asks() -> None:
    assert SharedBody("ü".encode(), "text/plain").decode() == "ü"


async def test_its_connection_says_that_what_waits_is_shared_for_as_long_as_it_is_written() -> None:
    writer = Writer(slices_taken=1)
    # Not a whole one, which would need a server.
    writer.protocol = WebProtocol.__new__(WebProtocol)
    writing = asyncio.create_task(SharedBody(BODY, "text/plain").write(writer))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert len(writer.written) == 1
    assert writer.protocol.sends_shared
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert not writer.protocol.sends_shared
