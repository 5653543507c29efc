"""Real requests to a real server on the loopback interface."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from streamd.doors.outgoing.address_guard import AddressGuard
from streamd.doors.outgoing.http_sender import HttpSender
from streamd.errors import ReceiverUnreachableError
from streamd.services.events.sender import ReceiverAnswer
from tests.support.receiver import Receiver, run_receiver

pytestmark = pytest.mark.asyncio

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with run_receiver() as receiver:
        yield receiver


@contextlib.asynccontextmanager
async def started(*networks: Any) -> AsyncIterator[HttpSender]:
    sender = HttpSender(AddressGuard(networks), "streamd/1.2.3")
    await sender.start()
    try:
        yield sender
    finally:
        await sender.close()


async def post(sender: HttpSender, url: str, timeout_s: float = 10) -> ReceiverAnswer:
    return await sender.post(url, b"{}", {"webhook-id": "msg_1"}, timeout_s=timeout_s)


async def failure(sender: HttpSender, url: str, timeout_s: float = 10) -> str:
    with pytest.raises(ReceiverUnreachableError) as caught:
        await post(sender, url, timeout_s)
    return str(caught.value)


class TestRequest:
    async def test_it_arrives_as_it_was_given(self, receiver: Receiver) -> None:
        receiver.statuses, receiver.headers = [202], {"Retry-After": "17"}
        async with started(*LOOPBACK) as sender:
            assert await post(sender, receiver.url) == ReceiverAnswer(202, retry_after_s=17)
        (request,) = receiver.requests
        assert (request.path, request.body) == ("/hook", b"{}")
        assert request.headers["content-type"] == "application/json"
        assert request.headers["user-agent"] == "streamd/1.2.3"
        assert request.headers["webhook-id"] == "msg_1"

    @pytest.mark.parametrize("text", ["Wed, 21 Oct 2026 07:28:00 GMT", "-1", "1e3", "٣", "9" * 50])
    async def test_a_wait_that_is_no_number_of_seconds_is_left_to_the_back_off(
        self, receiver: Receiver, text: str
    ) -> None:
        receiver.headers = {"Retry-After": text.encode().decode("latin-1")}
        async with started(*LOOPBACK) as sender:
            assert (await post(sender, receiver.url)).retry_after_s == 0

    async def test_redirects_are_told_and_not_followed(self, receiver: Receiver) -> None:
        receiver.statuses, receiver.headers = [307], {"Location": "/elsewhere"}
        async with started(*LOOPBACK) as sender:
            assert (await post(sender, receiver.url)).status == 307
        assert len(receiver.requests) == 1

    async def test_proxies_of_the_environment_are_not_used(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        async with started(*LOOPBACK) as sender:
            assert (await post(sender, receiver.url)).status == 204


class TestFailure:
    async def test_silence_is_no_answer(self, receiver: Receiver) -> None:
        receiver.silence.clear()
        async with started(*LOOPBACK) as sender:
            assert await failure(sender, receiver.url, timeout_s=0.1) == "no answer within 0.1 s"

    async def test_nobody_there_and_no_such_name(self) -> None:
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as unused:
            port = unused.getsockname()[1]
        async with started(*LOOPBACK) as sender:
            assert str(port) in await failure(sender, f"http://127.0.0.1:{port}/")
            assert await failure(sender, "http://nowhere.invalid/")

    async def test_what_does_not_speak_http(self) -> None:
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
            server.settimeout(10)
            url = f"http://127.0.0.1:{server.getsockname()[1]}/"
            async with started(*LOOPBACK) as sender:
                assert await failure(sender, url.replace("http:", "https:"), timeout_s=0.1)


class TestAddresses:
    """Standard Webhooks 1.0.0, "Server side request forgery"."""

    @pytest.mark.parametrize(
        "host",
        ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "[::1]"],
    )
    async def test_no_spelling_of_an_address_of_ours_is_connected_to(self, receiver: Receiver, host: str) -> None:
        async with started() as sender:
            said = await failure(sender, f"http://{host}:{receiver.port}/")
        assert "not on the internet" in said
        assert receiver.requests == []

    async def test_one_private_address_among_public_ones_is_enough(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(socket, "getaddrinfo", answers(["93.184.216.34", "127.0.0.1"]))
        async with started() as sender:
            assert "rebind.example is 127.0.0.1" in await failure(sender, f"http://rebind.example:{receiver.port}/")
        assert receiver.requests == []

    async def test_the_connection_goes_to_the_address_that_was_checked(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """DNS rebinding: a second look-up would lead elsewhere, and there is none."""
        monkeypatch.setattr(socket, "getaddrinfo", answers(["127.0.0.1"], ["10.0.0.1"]))
        async with started(*LOOPBACK) as sender:
            assert (await post(sender, f"http://rebind.example:{receiver.port}/hook")).status == 204
            # The next request may use the connection that stands, or looks the name up anew, and is refused.
        assert receiver.requests[0].headers["host"] == f"rebind.example:{receiver.port}"


def answers(*rounds: list[str]) -> Any:
    """A ``getaddrinfo`` that answers differently each time."""
    left = [*rounds]

    def getaddrinfo(_host: object, port: int, *_: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in left.pop(0)]

    return getaddrinfo
