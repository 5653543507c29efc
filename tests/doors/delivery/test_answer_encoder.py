from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus

import pytest

from streamd.clock import ManualClock
from streamd.doors.delivery.answer import Answer
from streamd.doors.delivery.answer_encoder import JOINED_BODY_BYTES_MAX, AnswerEncoder, Persistence

ANSWER = Answer(HTTPStatus.OK, (("Content-Length", "4"),), (b"bo", b"dy"))


def encode(encoder: AnswerEncoder, clock: ManualClock, answer: Answer = ANSWER) -> bytes:
    return b"".join(encoder.encode(answer, Persistence.IMPLIED, clock.monotonic()))


@pytest.mark.parametrize(
    ("persistence", "field"),
    [
        (Persistence.IMPLIED, b""),
        (Persistence.KEPT, b"Connection: keep-alive\r\n"),
        (Persistence.CLOSED, b"Connection: close\r\n"),
    ],
)
def test_what_is_the_doors_stands_between_head_and_body(persistence: Persistence, field: bytes) -> None:
    clock = ManualClock(datetime(2026, 3, 1, 9, 5, 7, tzinfo=UTC))
    (data,) = AnswerEncoder(clock).encode(ANSWER, persistence, clock.monotonic())
    assert data == (
        b"HTTP/1.1 200 OK\r\n"
        b"Content-Length: 4\r\n"
        b"Date: Sun, 01 Mar 2026 09:05:07 GMT\r\n"
        b"Server: streamd\r\n" + field + b"\r\nbody"
    )


def test_the_date_is_never_a_second_old() -> None:
    clock = ManualClock(datetime(2026, 1, 1, 0, 0, 0, 900_000, tzinfo=UTC))
    encoder = AnswerEncoder(clock)
    assert b"00:00:00 GMT" in encode(encoder, clock)
    clock.advance(0.05)
    assert b"00:00:00 GMT" in encode(encoder, clock)
    clock.advance(0.06)
    assert b"00:00:01 GMT" in encode(encoder, clock)


def test_the_date_follows_the_wall_clock_when_it_steps() -> None:
    clock = ManualClock()
    encoder = AnswerEncoder(clock)
    encode(encoder, clock)
    clock.step_wall(-3600)
    clock.advance(1)
    assert b"31 Dec 2025 23:00:01 GMT" in encode(encoder, clock)


def test_a_large_body_is_not_copied() -> None:
    clock = ManualClock()
    body = b"x" * (JOINED_BODY_BYTES_MAX + 1)
    buffers = AnswerEncoder(clock).encode(Answer(HTTPStatus.OK, (), (body,)), Persistence.IMPLIED, clock.monotonic())
    assert buffers[1] is body


def test_the_crowd_is_given_the_same_bytes() -> None:
    clock = ManualClock()
    encoder = AnswerEncoder(clock)
    first, second = (encoder.encode(ANSWER, Persistence.IMPLIED, clock.monotonic()) for _ in range(2))
    assert first is second
    assert encoder.encode(ANSWER, Persistence.CLOSED, clock.monotonic()) != first
    other = Answer(HTTPStatus.NOT_FOUND, ())
    assert encode(encoder, clock, other).startswith(b"HTTP/1.1 404")
    assert encode(encoder, clock) == b"".join(first)
