"""The queue of bytes that a TLS connection has yet to encrypt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.doors.tls.backlog import Backlog


@given(st.lists(st.binary(max_size=40), max_size=12), st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_the_bytes_come_out_in_order_in_records_that_are_as_full_as_can_be(
    pieces: list[bytes], sizes: list[int]
) -> None:
    backlog = Backlog()
    for piece in pieces:
        backlog.append(piece)
    left = b"".join(pieces)
    for size in sizes:
        if not left:
            break
        assert backlog.size == len(left)
        assert bytes(backlog.take(size)) == left[:size]
        left = left[size:]
    assert backlog.size == len(left)


def test_one_piece_is_shared_and_not_copied() -> None:
    piece = bytes(range(100))
    backlog = Backlog()
    backlog.append(piece)
    first, rest = backlog.take(60), backlog.take(60)
    assert isinstance(first, memoryview)
    assert isinstance(rest, memoryview)
    assert first.obj is piece
    assert rest.obj is piece


def test_a_buffer_that_may_change_is_copied() -> None:
    buffer = bytearray(b"before")
    backlog = Backlog()
    backlog.append(buffer)
    buffer[:] = b"behind"
    assert backlog.take(6) == b"before"


def test_an_empty_one_has_nothing_to_take() -> None:
    backlog = Backlog()
    backlog.append(b"some")
    backlog.append(b"")
    backlog.clear()
    assert backlog.size == 0
    with pytest.raises(IndexError):
        backlog.take(1)
