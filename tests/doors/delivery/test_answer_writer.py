"""Answers to a real socket, and to a transport that keeps what the kernel would not take."""

from __future__ import annotations

import contextlib
import os
import socket
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import pytest

from streamd.doors.delivery.answer import Answer
from streamd.doors.delivery.answer_writer import AnswerWriter
from streamd.doors.delivery.body_file import FILE_BYTES_MIN, SENT_BEFORE, BodyFiles

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from streamd.doors.delivery.answer import Body

BODY = (b"a" * FILE_BYTES_MIN, b"b" * 100)
HEAD = b"head of an answer\r\n\r\n"


class Transport:
    """The server's side of a pair of sockets; the bytes that are written through it are kept apart."""

    def __init__(self, raw: socket.socket, *, is_tls: bool = False) -> None:
        self._raw = raw
        self._is_tls = is_tls
        self.written: list[bytes] = []
        self.waiting_bytes = 0
        self.is_closed = False

    def get_extra_info(self, name: str) -> object:
        return {"socket": self._raw, "sslcontext": object() if self._is_tls else None}[name]

    def get_write_buffer_size(self) -> int:
        return self.waiting_bytes

    def is_closing(self) -> bool:
        return self.is_closed

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def writelines(self, pieces: Body) -> None:
        self.written.append(b"".join(pieces))


class Connection:
    def __init__(self, *, is_tls: bool = False) -> None:
        self.ours, self.peers = socket.socketpair()
        self.ours.setblocking(False)
        self.peers.setblocking(False)
        self.transport = Transport(self.ours, is_tls=is_tls)
        self.files = BodyFiles()
        self.writer = AnswerWriter(cast("asyncio.Transport", self.transport), self.files)
        self.answer = Answer(HTTPStatus.OK, (), BODY)

    def make_popular(self) -> None:
        for _ in range(SENT_BEFORE):
            self.files.find(self.answer)

    def send(self) -> None:
        self.writer.write(self.answer, (HEAD, *BODY))

    def fill(self) -> None:
        """Leave the kernel no room."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.ours.send(b"x" * 4096)

    def by_the_kernel(self) -> bytes:
        """The bytes that came past the transport."""
        received = b""
        while True:
            try:
                received += self.peers.recv(1 << 20)
            except BlockingIOError:
                return received

    def close(self) -> None:
        self.ours.close()
        self.peers.close()


@pytest.fixture
def connection() -> Iterator[Connection]:
    opened = Connection()
    yield opened
    opened.close()


def test_a_joined_answer_is_one_write(connection: Connection) -> None:
    connection.writer.write(connection.answer, (HEAD + b"body",))
    assert connection.transport.written == [HEAD + b"body"]


def test_a_body_that_few_want_is_written_as_it_is(connection: Connection) -> None:
    connection.send()
    assert connection.transport.written == [HEAD + b"".join(BODY)]
    assert connection.by_the_kernel() == b""


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="files in memory are Linux's")
class TestFiles:
    def test_a_body_that_many_want_goes_past_the_transport(self, connection: Connection) -> None:
        connection.make_popular()
        connection.send()
        assert connection.transport.written == []
        assert connection.by_the_kernel() == HEAD + b"".join(BODY)

    def test_the_descriptor_stays_the_transports(self, connection: Connection) -> None:
        connection.make_popular()
        connection.send()
        assert os.fstat(connection.ours.fileno())
        connection.by_the_kernel()
        connection.send()
        assert connection.by_the_kernel() == HEAD + b"".join(BODY)

    def test_the_rest_of_a_body_that_the_kernel_takes_in_part_is_written(self, connection: Connection) -> None:
        large = (b"a" * 8_000_000, b"b" * 100)
        connection.answer = Answer(HTTPStatus.OK, (), large)
        connection.make_popular()
        connection.writer.write(connection.answer, (HEAD, *large))
        taken = connection.by_the_kernel()
        assert len(HEAD) < len(taken) < len(HEAD) + 8_000_000
        assert len(connection.transport.written) == 1
        assert taken + connection.transport.written[0] == HEAD + b"".join(large)

    def test_all_of_it_is_written_where_the_kernel_takes_nothing(self, connection: Connection) -> None:
        connection.fill()
        connection.make_popular()
        connection.send()
        assert connection.transport.written == [HEAD + b"".join(BODY)]

    def test_nothing_overtakes_what_waits(self, connection: Connection) -> None:
        connection.make_popular()
        connection.transport.waiting_bytes = 1
        connection.send()
        assert connection.transport.written == [HEAD + b"".join(BODY)]
        assert connection.by_the_kernel() == b""

    def test_a_closing_transport_is_left_to_itself(self, connection: Connection) -> None:
        connection.make_popular()
        connection.transport.is_closed = True
        connection.send()
        assert connection.by_the_kernel() == b""

    def test_tls_stands_between(self) -> None:
        connection = Connection(is_tls=True)
        connection.make_popular()
        connection.send()
        assert connection.transport.written == [HEAD + b"".join(BODY)]
        assert connection.by_the_kernel() == b""
        connection.close()
