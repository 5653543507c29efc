"""The thin door with a mock transport and a clock that stands still."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import Mock

import pytest

from streamd.clock import ManualClock
from streamd.doors.delivery.door import DEFERRED_SLICE_S, DoorOptions, MediaDoor
from streamd.doors.delivery.http_request import HeadLimits
from streamd.doors.delivery.transport_viewer import BATCH_BYTES, PIECE_BYTES
from streamd.doors.delivery.trusted_proxies import TrustedProxies
from streamd.doors.delivery.uptake import PINNED_AFTER_S
from streamd.doors.delivery.viewer_connection import (
    ANSWER_BYTES,
    CONNECTION_BYTES,
    LINGER_S,
    REQUESTS_PER_TURN,
    TLS_CONNECTION_BYTES,
    ViewerConnection,
)
from streamd.doors.tls.proxy_headers import ProxiedTransport
from streamd.formats.proxy_protocol import Peer
from streamd.services.bounds.memory_accounts import Standing
from streamd.services.metrics import Metrics
from tests.support.delivery import ODD_SIZES, pieces
from tests.support.doors import SUSPENDED, StandInRegistry, StandInStream, channels_of, request, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.web import RequestHandler

    from streamd.doors.delivery.answer import MediaRequest


pytestmark = pytest.mark.asyncio

PLAYLIST = "/live/demo/main.m3u8"
PART = "/live/demo/main/part10012.m4s"
HINTED = "/live/demo/main/part10014.m4s"
PART_BYTES = 1000
OPTIONS = DoorOptions(
    viewer_connections_max=3,
    viewer_head_timeout_s=10,
    viewer_idle_timeout_s=75,
    viewer_write_timeout_s=15,
    viewer_answer_timeout_s=120,
)


class MockTransport:
    """What a connection does to its socket. ``room`` is what the kernel takes; the rest waits, as uvloop keeps it."""

    def __init__(self, *, is_tls: bool = False) -> None:
        self.protocol: Any = None
        self.sent = b""
        self.room = 1 << 40
        self.waiting = b""
        self.ends: list[str] = []
        self._is_tls = is_tls
        self._is_paused = False

    def set_write_buffer_limits(self, high: int | None = None) -> None:
        self.high = high

    def get_extra_info(self, name: str, default: object = None) -> object:
        known = {"peername": ("192.0.2.1", 50_000), "sslcontext": object() if self._is_tls else None}
        return known.get(name, default)

    def can_write_eof(self) -> bool:
        return not self._is_tls

    def get_write_buffer_size(self) -> int:
        return len(self.waiting)

    def is_closing(self) -> bool:
        return bool({"close", "abort"} & {*self.ends})

    def write(self, data: bytes) -> None:
        assert not self.ends
        self.waiting += data
        self._flush()
        if self.waiting and not self._is_paused:
            self._is_paused = True
            self.protocol.pause_writing()

    def writelines(self, buffers: tuple[bytes, ...]) -> None:
        self.write(b"".join(buffers))

    def write_eof(self) -> None:
        self.ends.append("eof")

    def close(self) -> None:
        self.ends.append("close")

    def abort(self) -> None:
        self.ends.append("abort")

    def set_protocol(self, protocol: object) -> None:
        self.protocol = protocol

    def take(self, count: int) -> None:
        """The viewer takes so many bytes more."""
        self.room = count
        self._flush()
        if self._is_paused and not self.waiting:
            self._is_paused = False
            self.protocol.resume_writing()

    def _flush(self) -> None:
        taken, self.waiting = self.waiting[: self.room], self.waiting[self.room :]
        self.sent += taken
        self.room -= len(taken)

    @property
    def statuses(self) -> list[int]:
        return [int(each[:3]) for each in self.sent.split(b"HTTP/1.1 ")[1:]]


class WebHandler:
    """In place of aiohttp's request handler: keeps what it is given, and answers nothing."""

    _waiter = None
    _messages = ()
    _current_request = None

    def __init__(self) -> None:
        self.transport: object = None
        self.data = b""
        self.is_closed = False

    def connection_made(self, transport: object) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert not self.is_closed
        self.data += data

    def connection_lost(self, _: Exception | None) -> None:
        self.transport = None

    def close(self) -> None:
        self.is_closed = True


class House:
    """A door that does not listen, in front of one live stream."""

    def __init__(
        self, options: DoorOptions = OPTIONS, *, payload_bytes: int = PART_BYTES, waiting_max: int = 10
    ) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.stream = StandInStream(payload_bytes=payload_bytes, waiting_max=waiting_max)
        self.stream.budget.on_refused = self.metrics.limit_hits_total.labels("waiting_requests_max").inc
        self.handlers: list[WebHandler] = []
        self.door = MediaDoor(
            channels=channels_of(StandInRegistry({"demo": self.stream})),
            clock=self.clock,
            metrics=self.metrics,
            web_handler=self._new_handler,
            options=options,
        )

    def _new_handler(self) -> RequestHandler:
        self.handlers.append(WebHandler())
        return cast("RequestHandler", self.handlers[-1])

    def connect(self, *, is_tls: bool = False) -> tuple[ViewerConnection, MockTransport]:
        transport = MockTransport(is_tls=is_tls)
        connection = ViewerConnection(self.door)
        transport.protocol = connection
        connection.connection_made(cast("asyncio.Transport", transport))
        return connection, transport

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with a sweep each second."""
        for _ in range(int(seconds)):
            self.clock.advance(1)
            self.door.check_deadlines()

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class TestRequests:
    @pytest.mark.parametrize("size", [1, *ODD_SIZES, 10**6])
    async def test_requests_are_answered_in_order_however_they_arrive(self, size: int) -> None:
        house = House()
        connection, transport = house.connect()
        for piece in pieces(request(PART) + request("/live/x1/main.m3u8") + request(PART, "HEAD"), size):
            connection.data_received(piece)
        assert transport.statuses == [200, 404, 200]
        assert transport.sent.count(b"000000012") == 1

    async def test_an_answer_has_the_date_and_our_name(self) -> None:
        house = House()
        connection, transport = house.connect()
        connection.data_received(request(PART))
        head, _, body = transport.sent.partition(b"\r\n\r\n")
        assert head.endswith(b"\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nServer: streamd")
        assert len(body) == PART_BYTES
        house.clock.advance(1.5)
        connection.data_received(request(PART))
        assert transport.sent.count(b"Date: Thu, 01 Jan 2026 00:00:01 GMT\r\n") == 1

    async def test_a_great_many_requests_at_once_leave_others_their_turn(self) -> None:
        house = House()
        connection, transport = house.connect()
        connection.data_received(request(PART, "HEAD") * (3 * REQUESTS_PER_TURN))
        assert len(transport.statuses) == REQUESTS_PER_TURN
        await turns(6)
        assert len(transport.statuses) == 3 * REQUESTS_PER_TURN

    async def test_more_than_anybody_asks_at_once_is_not_kept(self) -> None:
        connection, transport = House().connect()
        connection.data_received(request(HINTED))
        connection.data_received(b"GET" * (OPTIONS.unanswered_bytes_max // 3))
        assert transport.ends == []
        connection.data_received(b"GET")
        assert transport.ends[-1:] == ["abort"]

    @pytest.mark.parametrize(
        ("version", "header", "says"),
        [("HTTP/1.1", "close", b"Connection: close"), ("HTTP/1.0", "keep-alive", b"Connection: keep-alive")],
    )
    async def test_the_answer_says_what_becomes_of_the_connection(self, version: str, header: str, says: bytes) -> None:
        connection, transport = House().connect()
        connection.data_received(request(PART, version=version, headers=[("Connection", header)]))
        assert transport.sent.count(says + b"\r\n") == 1
        assert transport.ends == (["eof"] if header == "close" else [])

    async def test_after_close_nothing_is_answered(self) -> None:
        connection, transport = House().connect()
        connection.data_received(request(PART, headers=[("Connection", "close")]) + request(PART))
        connection.data_received(request(PART))
        assert transport.statuses == [200]

    @pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00", request(PART).replace(b"Host", b"Most")])
    async def test_what_is_no_request_is_answered_and_closed(self, data: bytes) -> None:
        house = House()
        connection, transport = house.connect()
        connection.data_received(request(PART) + data)
        connection.data_received(b"more of it")
        assert transport.statuses == [200, 400]
        assert b"Connection: close\r\n" in transport.sent
        assert transport.ends == ["eof"]
        house.pass_time(LINGER_S + 1)
        assert transport.ends[-1:] == ["abort"]
        assert house.metric("streamd_http_responses_total", kind="unreadable", status="400") == 1

    async def test_a_channel_taken_down_is_gone(self) -> None:
        connection, transport = House().connect()
        connection.data_received(request(f"/live/{SUSPENDED}/index.m3u8"))
        assert transport.statuses == [410]


class TestHandOver:
    @pytest.mark.parametrize("size", [1, *ODD_SIZES, 10**6])
    async def test_what_is_not_media_becomes_aiohttps_for_good(self, size: int) -> None:
        house = House()
        _, transport = house.connect()
        data = request("/watch/demo") + request(PART)
        for piece in pieces(request(PART) + data, size):
            transport.protocol.data_received(piece)
        assert transport.statuses == [200]
        (handler,) = house.handlers
        assert handler.transport is transport
        assert handler.data == data
        assert transport.high is None

    @pytest.mark.parametrize(
        "data",
        [
            request(PART, "POST"),
            request(PART, "DELETE"),
            request(PART, headers=[("Content-Length", "5")]) + b"hello",
            request(PART, headers=[("Transfer-Encoding", "chunked")]) + b"0\r\n\r\n",
            request(PART, headers=[("Expect", "100-continue")]),
            request(PART, headers=[("Connection", "Upgrade"), ("Upgrade", "h2c")]),
            request("*", "OPTIONS"),
            request("/live/demo/main.ts"),
        ],
    )
    async def test_so_does_what_asks_for_more_than_media(self, data: bytes) -> None:
        house = House()
        connection, transport = house.connect()
        connection.data_received(data)
        assert house.handlers[0].data == data
        assert transport.sent == b""

    async def test_what_was_asked_before_is_answered_before(self) -> None:
        house = House()
        connection, transport = house.connect()
        connection.data_received(request(HINTED) + request("/"))
        assert not house.handlers
        house.stream.add_segment(0.5)
        await turns()
        assert transport.statuses == [200]
        assert house.handlers[0].data == request("/")

    async def test_one_who_asks_no_more_is_answered_once(self) -> None:
        house = House()
        connection, transport = house.connect()
        transport.room = 100
        connection.data_received(request(PART) + request("/"))
        assert connection.eof_received()
        assert not house.handlers
        transport.take(10**6)
        assert house.handlers[0].is_closed

    async def test_it_stays_counted(self) -> None:
        house = House()
        connection, transport = house.connect()
        connection.data_received(request("/"))
        assert house.door.connections == 1
        transport.protocol.connection_lost(None)
        assert house.door.connections == 0


class TestWaiting:
    async def test_it_is_answered_when_the_part_is_there(self) -> None:
        house = House()
        connection, transport = house.connect()
        connection.data_received(request(HINTED) + request(PART, "HEAD"))
        assert transport.sent == b""
        house.clock.advance(0.3)
        house.stream.add_segment(0.5)
        await turns()
        assert transport.statuses == [200, 200]
        assert b"000000014" in transport.sent
        assert house.metric("streamd_blocked_request_seconds_sum") == pytest.approx(0.3)

    async def test_those_who_wait_for_the_same_share_one_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        house = House(DoorOptions())
        transports = []
        for _ in range(5):
            connection, transport = house.connect()
            connection.data_received(request(PLAYLIST + "?_HLS_msn=1003&_HLS_part=2"))
            transports.append(transport)
        ask = Mock(wraps=house.door.lookup.ask)
        monkeypatch.setattr(house.door.lookup, "ask", ask)
        house.stream.add_segment(0.5)
        await turns()
        ask.assert_called_once()
        assert {transport.sent for transport in transports} == {transports[0].sent}
        assert transports[0].statuses == [200]

    async def test_who_has_waited_for_three_target_durations_is_refused(self) -> None:
        """rfc8216bis 6.2.5.2."""
        house = House()
        connection, transport = house.connect()
        connection.data_received(request(PLAYLIST + "?_HLS_msn=1004") + request(PART, "HEAD"))
        house.clock.advance(3)
        house.stream.add_segment(0.5)  # wakes nobody: the segment goes on
        house.pass_time(2)
        assert transport.sent == b""
        house.pass_time(2)
        assert transport.statuses == [503, 200]
        assert house.stream.budget.waiting == 0

    async def test_who_wakes_too_early_waits_on_and_its_time_runs_on(self) -> None:
        house = House()
        connection, transport = house.connect()
        connection.data_received(request(HINTED, "HEAD"))
        house.pass_time(4)
        house.stream.waiters.wake(lambda _: True)
        await turns()
        assert (transport.statuses, house.stream.budget.waiting) == ([], 1)
        house.pass_time(2)
        assert transport.statuses == [503]

    async def test_where_there_is_no_room_it_is_refused_at_once(self) -> None:
        house = House(waiting_max=1)
        (first, waits), (second, transport) = house.connect(), house.connect()
        first.data_received(request(HINTED))
        second.data_received(request(HINTED))
        assert (waits.statuses, transport.statuses) == ([], [503])

    @pytest.mark.parametrize("leave", [lambda each: each.eof_received(), lambda each: each.connection_lost(None)])
    async def test_who_leaves_is_forgotten_at_once(self, leave: Callable[[ViewerConnection], object]) -> None:
        house = House()
        connection, transport = house.connect()
        connection.data_received(request(HINTED))
        assert house.stream.budget.waiting == 1
        assert not leave(connection)
        assert house.stream.budget.waiting == 0
        house.stream.add_segment(0.5)
        await turns()
        assert transport.sent == b""

    async def test_a_socket_that_closes_under_it_is_not_written_to(self) -> None:
        house = House()
        connection, transport = house.connect()
        connection.data_received(request(HINTED))
        transport.close()
        house.stream.add_segment(0.5)
        await turns()
        assert transport.sent == b""


class TestSlowReaders:
    async def test_the_next_answer_waits_until_the_last_is_taken(self) -> None:
        connection, transport = House().connect()
        transport.room = 100
        connection.data_received(request(PART) * 3)
        assert len(transport.sent) == 100
        assert len(transport.waiting) < 2 * PART_BYTES
        transport.take(10**6)
        assert transport.statuses == [200, 200, 200]

    async def test_a_reader_that_takes_nothing_is_let_go(self) -> None:
        house = House()
        connection, transport = house.connect()
        transport.room = 100
        connection.data_received(request(PART))
        house.pass_time(OPTIONS.viewer_write_timeout_s - 1)
        assert transport.ends == []
        house.pass_time(1)
        assert transport.ends[-1:] == ["abort"]

    async def test_a_reader_that_takes_little_has_its_time_and_no_more(self) -> None:
        house = House()
        connection, transport = house.connect()
        transport.room = 0
        connection.data_received(request(PART))
        for _ in range(int(OPTIONS.viewer_answer_timeout_s) - 1):
            house.pass_time(1)
            transport.take(1)
        assert transport.ends == []
        house.pass_time(1)
        assert transport.ends[-1:] == ["abort"]

    async def test_one_that_asks_no_more_still_gets_what_it_asked_for(self) -> None:
        connection, transport = House().connect()
        transport.room = 100
        connection.data_received(request(PART) * 2)
        assert connection.eof_received()
        transport.take(10**6)
        assert transport.statuses == [200, 200]
        assert transport.ends == ["close"]

    async def test_tls_has_no_half_of_a_connection(self) -> None:
        connection, transport = House().connect(is_tls=True)
        transport.room = 100
        connection.data_received(request(PART))
        assert not connection.eof_received()


class TestTime:
    async def test_an_idle_connection_is_closed(self) -> None:
        house = House()
        connection, transport = house.connect()
        house.pass_time(60)
        connection.data_received(request(PART, "HEAD"))
        house.pass_time(OPTIONS.viewer_idle_timeout_s - 1)
        assert transport.ends == []
        house.pass_time(1)
        assert transport.ends == ["close"]
        assert transport.statuses == [200]

    async def test_a_head_that_trickles_in_has_its_time_from_the_first_byte(self) -> None:
        house = House()
        connection, transport = house.connect()
        connection.data_received(request(PART, "HEAD"))
        for byte in pieces(request(PART)[: int(OPTIONS.viewer_head_timeout_s)], 1):
            connection.data_received(byte)
            assert transport.statuses == [200]
            house.pass_time(1)
        assert transport.statuses == [200, 408]
        assert transport.ends == ["eof"]

    async def test_a_fault_in_one_answer_closes_that_connection_alone(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        house = House()
        (first, broken), (second, idle) = house.connect(), house.connect()
        first.data_received(request(HINTED))
        second.data_received(request(PART, "HEAD"))
        monkeypatch.setattr(house.door.lookup, "ask", Mock(side_effect=ZeroDivisionError))
        house.pass_time(OPTIONS.viewer_idle_timeout_s)
        assert broken.ends == ["abort"]
        assert idle.ends == ["close"]
        assert [record.message for record in caplog.records] == ["viewer.failed"]
        assert house.stream.budget.waiting == 0


class TestThePort:
    async def test_one_connection_too_many_is_closed(self) -> None:
        house = House()
        connections = [house.connect() for _ in range(4)]
        assert [transport.ends for _, transport in connections] == [[], [], [], ["abort"]]
        connections[3][0].connection_lost(None)
        connections[0][0].connection_lost(None)
        _, transport = house.connect()
        assert transport.ends == []

    async def test_what_is_sent_is_counted(self) -> None:
        house = House()
        connection, _ = house.connect()
        connection.data_received(request(PART) * 2 + request(PART, headers=[("Range", "bytes=0-9")]))
        house.door.check_deadlines()
        assert house.metric("streamd_http_responses_total", kind="part", status="200") == 2
        assert house.metric("streamd_http_responses_total", kind="part", status="206") == 1
        assert house.metric("streamd_http_egress_bytes_total") == 2 * PART_BYTES + 10

    async def test_when_the_server_stops_what_is_asked_is_answered(self) -> None:
        house = House(DoorOptions())
        (_, idle), (waits, waiting), (slow, slowed), (stuck, stuck_transport) = [house.connect() for _ in range(4)]
        waits.data_received(request(HINTED))
        for each, transport in ((slow, slowed), (stuck, stuck_transport)):
            transport.room = 0
            each.data_received(request(PART))
        closing = asyncio.create_task(house.door.close(0.01))
        await turns()
        assert idle.ends == ["eof"]
        assert waiting.statuses == [503]
        assert b"Connection: close\r\n" in waiting.sent
        slowed.take(10**6)
        assert slowed.ends == ["eof"]
        for transport in (idle, waiting, slowed):
            transport.protocol.connection_lost(None)
        await until(lambda: stuck_transport.ends == ["abort"])
        stuck.connection_lost(None)
        await closing


class TestBadInput:
    async def test_reloads_of_what_never_was_wait_for_nothing(self) -> None:
        house = House(DoorOptions())
        connection, transport = house.connect()
        for number in range(1000):
            connection.data_received(request(f"/live/nobody{number}/main.m3u8?_HLS_msn=5&_HLS_part=1", "HEAD"))
        assert transport.statuses == [404] * 1000
        assert house.stream.budget.waiting == 0

    async def test_a_great_many_connections_that_say_nothing_go_in_time(self) -> None:
        house = House(DoorOptions(viewer_connections_max=500))
        transports = [house.connect()[1] for _ in range(500)]
        for transport in transports:
            transport.protocol.data_received(b"G")
        house.pass_time(house.door.options.viewer_head_timeout_s + LINGER_S + 1)
        assert all(transport.ends == ["eof", "abort"] for transport in transports)


class TestTurns:
    async def test_those_who_ask_for_much_at_once_wait_in_line(self) -> None:
        house = House(DoorOptions())
        transports = []
        for _ in range(2):
            connection, transport = house.connect()
            connection.data_received(request(PART, "HEAD") * (3 * REQUESTS_PER_TURN))
            transports.append(transport)
        late, answered_at_once = house.connect()
        late.data_received(request(PART, "HEAD"))
        assert [len(each.statuses) for each in (*transports, answered_at_once)] == [REQUESTS_PER_TURN] * 2 + [1]

    async def test_what_comes_while_it_waits_in_line_is_answered_in_order(self) -> None:
        house = House(DoorOptions())
        connection, transport = house.connect()
        connection.data_received(request(PART, "HEAD") * (REQUESTS_PER_TURN + 1))
        connection.data_received(request("/live/x1/main.m3u8", "HEAD"))
        assert len(transport.statuses) == REQUESTS_PER_TURN
        await turns(4)
        assert transport.statuses == [200] * (REQUESTS_PER_TURN + 1) + [404]

    async def test_the_line_is_left_after_a_slice_of_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        house = House(DoorOptions())
        connections = [house.connect() for _ in range(3)]
        for connection, _ in connections:
            connection.data_received(request(PART, "HEAD") * (2 * REQUESTS_PER_TURN))
        ask = house.door.lookup.ask

        def slowly(*args: Any, **options: Any) -> Any:
            house.clock.advance(DEFERRED_SLICE_S)
            return ask(*args, **options)

        monkeypatch.setattr(house.door.lookup, "ask", slowly)
        answered = []
        for _ in range(3):
            await turns(1)
            answered.append([len(transport.statuses) // REQUESTS_PER_TURN for _, transport in connections])
        assert answered == [[2, 1, 1], [2, 2, 1], [2, 2, 2]]

    async def test_a_fault_in_one_answer_closes_that_connection_alone(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        house = House(DoorOptions())
        (first, broken), (second, transport) = house.connect(), house.connect()
        first.data_received(request(PART, "HEAD") * REQUESTS_PER_TURN + request("/live/x1/main.m3u8"))
        second.data_received(request(PART, "HEAD") * (REQUESTS_PER_TURN + 1))
        ask = house.door.lookup.ask

        def fail_once(asked: MediaRequest, **options: Any) -> Any:
            if asked.path.name == "x1":
                raise ZeroDivisionError
            return ask(asked, **options)

        monkeypatch.setattr(house.door.lookup, "ask", fail_once)
        await turns(2)
        assert broken.ends == ["abort"]
        assert len(transport.statuses) == REQUESTS_PER_TURN + 1
        assert [record.message for record in caplog.records] == ["viewer.failed"]

    async def test_who_talks_on_where_nothing_matters_is_closed(self) -> None:
        house = House()
        house.stream.push(b"key", is_keyframe=True)
        connection, transport = house.connect()
        connection.data_received(request("/live/demo.flv"))
        connection.data_received(bytes(OPTIONS.unanswered_bytes_max))
        assert transport.ends == []
        connection.data_received(b"x")
        assert transport.ends == ["abort"]
        assert house.stream.flv.viewers == 0

    async def test_of_one_address_so_many_requests_wait(self) -> None:
        house = House(DoorOptions())
        house.stream.budget.waiting_requests_per_address_max = 1
        (first, waits), (second, refused) = house.connect(), house.connect()
        first.data_received(request(HINTED))
        second.data_received(request(HINTED))
        assert (waits.statuses, refused.statuses) == ([], [503])

    async def test_a_proxy_asks_for_many_addresses(self) -> None:
        house = House(DoorOptions(proxies=TrustedProxies(["192.0.2.0/24"])))
        house.stream.budget.waiting_requests_per_address_max = 1
        statuses = []
        for said in ("198.51.100.1", "198.51.100.2", "198.51.100.1", ""):
            connection, transport = house.connect()
            connection.data_received(request(HINTED, headers=[("X-Forwarded-For", said)] if said else []))
            statuses.append(transport.statuses)
        assert statuses == [[], [], [503], []]


class TestAccount:
    async def test_a_connection_is_a_strangers_until_it_asks_for_media(self) -> None:
        house = House(DoorOptions())
        (stranger, _), (viewer, _), (page, _) = house.connect(), house.connect(), house.connect()
        viewer.data_received(request(PART))
        page.data_received(request("/"))
        assert (stranger.standing, viewer.standing) == (Standing.STRANGER, Standing.VIEWER)
        assert Counter(each.standing for each in house.door.holders()) == {Standing.STRANGER: 2, Standing.VIEWER: 1}

    async def test_what_it_has_asked_is_its_own_and_what_it_is_sent_is_shared(self) -> None:
        house = House(payload_bytes=100_000)
        connection, transport = house.connect()
        connection.data_received(b"GET ")
        assert connection.held_bytes == CONNECTION_BYTES + 4
        connection.data_received(request(PART)[4:])
        transport.room = 0
        connection.data_received(request(PART))
        assert len(transport.waiting) > 100_000
        assert connection.held_bytes == CONNECTION_BYTES + ANSWER_BYTES

    async def test_over_tls_what_is_encrypted_is_its_own(self) -> None:
        transport = MockTransport(is_tls=True)
        transport.own_bytes = lambda: 40_000  # type: ignore[attr-defined]
        connection = ViewerConnection(House().door)
        connection.connection_made(cast("asyncio.Transport", transport))
        assert connection.held_bytes == TLS_CONNECTION_BYTES + 40_000

    async def test_behind_a_proxys_header_it_is_what_is_encrypted_now(self) -> None:
        transport = MockTransport(is_tls=True)
        transport.own_bytes = lambda: len(transport.waiting)  # type: ignore[attr-defined]
        connection = ViewerConnection(House().door)
        proxied = ProxiedTransport(cast("asyncio.Transport", transport), Peer("203.0.113.7", 4711))
        connection.connection_made(cast("asyncio.Transport", proxied))
        transport.protocol = connection
        assert connection.held_bytes == TLS_CONNECTION_BYTES
        transport.room = 0
        transport.write(bytes(40_000))
        assert connection.held_bytes == TLS_CONNECTION_BYTES + 40_000

    async def test_old_media_is_the_first_ones_that_keeps_it(self) -> None:
        house = House(DoorOptions(viewer_write_timeout_s=1000), payload_bytes=100_000)
        slow = [house.connect() for _ in range(3)]
        for connection, transport in slow:
            transport.room = 0
            connection.data_received(request(PART))
        house.pass_time(PINNED_AFTER_S - 1)
        assert sum(each.held_bytes for each in house.door.holders()) == 3 * (CONNECTION_BYTES + ANSWER_BYTES)
        house.pass_time(2)
        assert sum(each.held_bytes for each in house.door.holders()) == 100_000 + 3 * (CONNECTION_BYTES + ANSWER_BYTES)
        for _, transport in slow:
            transport.take(10**6)
        assert sum(each.held_bytes for each in house.door.holders()) == 3 * CONNECTION_BYTES

    async def test_when_memory_is_short_it_goes_at_once(self) -> None:
        house = House()
        connection, transport = house.connect()
        connection.data_received(request(HINTED))
        connection.shed()
        assert transport.ends == ["abort"]
        assert house.stream.budget.waiting == 0

    async def test_one_that_is_closed_and_stays_is_reset(self) -> None:
        house = House()
        _, transport = house.connect()
        house.pass_time(OPTIONS.viewer_idle_timeout_s)
        assert transport.ends == ["close"]
        house.pass_time(LINGER_S + 1)
        assert transport.ends == ["close", "abort"]


class TestLimits:
    """What acts is counted, under its key in ``[limits]``."""

    def hits(self, house: House, limit: str) -> float | None:
        return house.metric("streamd_limit_hits_total", limit=limit)

    async def test_connections_in_all(self) -> None:
        house = House()
        for _ in range(OPTIONS.viewer_connections_max):
            house.connect()
        assert house.connect()[1].ends == ["abort"]
        assert self.hits(house, "viewer_connections_max") == 1

    async def test_connections_of_one_address_those_of_aiohttp_included(self) -> None:
        house = House(DoorOptions(viewer_connections_per_address_max=2))
        first, handed_over = house.connect()
        second, _ = house.connect()
        assert house.connect()[1].ends == ["abort"]
        assert self.hits(house, "viewer_connections_per_address_max") == 1
        first.data_received(request("/"))
        assert house.connect()[1].ends == ["abort"]
        handed_over.protocol.connection_lost(None)
        assert house.connect()[1].ends == []
        second.connection_lost(None)
        assert house.connect()[1].ends == []

    async def test_a_trusted_proxy_has_as_many_connections_as_it_needs(self) -> None:
        house = House(DoorOptions(viewer_connections_per_address_max=1, proxies=TrustedProxies(["192.0.2.0/24"])))
        assert [house.connect()[1].ends for _ in range(3)] == [[], [], []]

    @pytest.mark.parametrize(
        ("limit", "sent", "status"),
        [
            ("request_line_bytes_max", b"GET /" + b"a" * 300, 414),
            ("request_head_bytes_max", b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1000, 431),
            ("request_fields_max", b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20 + b"\r\n", 431),
        ],
    )
    async def test_the_head_of_a_request(self, limit: str, sent: bytes, status: int) -> None:
        house = House(
            DoorOptions(head=HeadLimits(request_head_bytes_max=1000, request_line_bytes_max=256, request_fields_max=20))
        )
        connection, transport = house.connect()
        connection.data_received(sent)
        assert transport.statuses == [status]
        assert self.hits(house, limit) == 1

    async def test_what_is_asked_before_it_is_answered(self) -> None:
        house = House(DoorOptions(unanswered_bytes_max=100))
        connection, transport = house.connect()
        connection.data_received(request(HINTED))
        connection.data_received(bytes(101))
        assert transport.ends == ["abort"]
        assert self.hits(house, "unanswered_bytes_max") == 1

    async def test_the_time_of_a_head(self) -> None:
        house = House()
        connection, transport = house.connect()
        connection.data_received(b"G")
        house.pass_time(OPTIONS.viewer_head_timeout_s)
        assert transport.statuses == [408]
        assert self.hits(house, "viewer_head_timeout_s") == 1

    async def test_the_time_of_an_answer(self) -> None:
        house = House(DoorOptions(viewer_write_timeout_s=5, viewer_answer_timeout_s=8))
        stalled, slow = house.connect(), house.connect()
        for connection, transport in (stalled, slow):
            transport.room = 0
            connection.data_received(request(PART))
        for _ in range(8):
            house.pass_time(1)
            slow[1].take(1)
        assert self.hits(house, "viewer_write_timeout_s") == 1
        assert self.hits(house, "viewer_answer_timeout_s") == 1

    async def test_requests_that_wait(self) -> None:
        house = House(DoorOptions(), waiting_max=1)
        (first, waiting), (second, refused) = house.connect(), house.connect()
        first.data_received(request(HINTED))
        second.data_received(request(HINTED))
        assert waiting.statuses == []
        assert refused.statuses == [503]
        assert self.hits(house, "waiting_requests_max") == 1


class TestPushedStreams:
    def follow(self, house: House) -> tuple[ViewerConnection, MockTransport]:
        house.stream.push(b"key", is_keyframe=True)
        connection, transport = house.connect()
        connection.data_received(request("/live/demo.flv"))
        return connection, transport

    async def test_a_viewer_follows_the_stream(self) -> None:
        house = House()
        connection, transport = self.follow(house)
        house.stream.push(b"more")
        head, _, body = transport.sent.partition(b"\r\n\r\n")
        assert b"Connection: close" in head
        assert b"Content-Length" not in head
        assert body == b"headkeymore"
        connection.data_received(b"whatever it says")
        house.stream.end()
        assert transport.ends == ["eof"]

    async def test_who_leaves_is_forgotten_at_once(self) -> None:
        house = House()
        connection, _ = self.follow(house)
        assert house.stream.flv.viewers == 1
        assert not connection.eof_received()
        assert house.stream.flv.viewers == 0
        connection.connection_lost(None)

    async def test_a_stream_that_ends_is_sent_before_it_is_closed(self) -> None:
        house = House()
        _, transport = self.follow(house)
        transport.room = 0
        house.stream.push(b"last words")
        house.stream.end()
        assert transport.ends == []
        house.pass_time(5)
        transport.take(100)
        assert transport.sent.endswith(b"last words")
        assert transport.ends == ["eof"]

    async def test_what_waits_is_shared_with_others_and_goes_out_in_order(self) -> None:
        house = House()
        (connection, slow), (_, fast) = self.follow(house), self.follow(house)
        alone_bytes = connection.held_bytes
        slow.room = 0
        pieces = [b"%06d" % number * 10_000 for number in range(30)]
        for piece in pieces:
            house.stream.push(piece)
        assert fast.sent.endswith(b"".join(pieces))
        # The transport has one piece, and nothing of the others.
        assert slow.waiting == pieces[0]
        assert alone_bytes < connection.held_bytes <= alone_bytes + ANSWER_BYTES + len(pieces) * PIECE_BYTES
        while not slow.sent.endswith(pieces[-1]):
            slow.take(50_000)
            assert len(slow.waiting) <= BATCH_BYTES + len(pieces[0])
        assert slow.sent.endswith(b"".join(pieces))
        assert connection.held_bytes == alone_bytes

    async def test_a_viewer_that_takes_nothing_is_let_go(self) -> None:
        house = House()
        _, transport = self.follow(house)
        house.pass_time(200)
        transport.room = 0
        house.stream.push(b"more")
        house.pass_time(OPTIONS.viewer_write_timeout_s - 1)
        assert transport.ends == []
        house.pass_time(2)
        assert transport.ends[-1:] == ["abort"]
        assert house.stream.flv.viewers == 0

    async def test_a_viewer_that_takes_as_much_as_comes_stays(self) -> None:
        house = House()
        _, transport = self.follow(house)
        transport.room = 0
        begun_bytes = len(transport.sent)
        for pushed in range(1, 101):
            house.stream.push(b"x" * 10)
            house.pass_time(1)
            if begun_bytes + 10 * pushed - len(transport.sent) > 100:
                transport.take(10)
        assert transport.ends == []
        assert house.stream.flv.viewers == 1

    async def test_who_takes_a_byte_a_second_of_what_is_left_has_an_answers_time(self) -> None:
        house = House()
        connection, transport = self.follow(house)
        transport.room = 0
        for _ in range(100):
            house.stream.push(bytes(10_000))
        held_bytes = connection.held_bytes
        house.stream.end()
        seconds = 0
        while not transport.ends and seconds <= OPTIONS.viewer_answer_timeout_s:
            transport.take(1)
            house.pass_time(1)
            seconds += 1
            assert connection.held_bytes <= held_bytes + ANSWER_BYTES
        assert transport.ends == ["abort"]
        assert seconds > OPTIONS.viewer_write_timeout_s

    async def test_who_speaks_on_while_it_is_sent_to_is_closed(self) -> None:
        house = House()
        connection, transport = self.follow(house)
        transport.room = 0
        house.stream.push(bytes(10_000))
        said = 0
        while not transport.ends and said <= OPTIONS.unanswered_bytes_max:
            connection.data_received(b"x")
            said += 1
        assert transport.ends == ["abort"]
        assert house.stream.flv.viewers == 0

    async def test_a_hundred_requests_at_once_wait_as_bytes_while_nothing_is_taken(self) -> None:
        house = House(payload_bytes=100_000)
        connection, transport = house.connect()
        transport.room = 0
        asked = request(PART) * 100
        connection.data_received(asked)
        assert connection.held_bytes <= CONNECTION_BYTES + ANSWER_BYTES + len(asked)
        assert len(transport.waiting) < 2 * 100_000
        transport.take(1 << 40)
        await until(lambda: len(transport.statuses) == 100)
        assert connection.held_bytes == CONNECTION_BYTES

    async def test_the_server_stops(self) -> None:
        house = House()
        connection, transport = self.follow(house)
        connection.finish()
        assert transport.ends == ["eof"]
        assert house.stream.flv.viewers == 0
