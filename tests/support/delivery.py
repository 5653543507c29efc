"""Feeding a sans-I/O decoder the same bytes in every cut: the result must not depend on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from streamd.errors import ProtocolError

T = TypeVar("T")

# Cuts that meet headers and payloads at changing places: primes, and the size of a TCP segment's payload.
ODD_SIZES = (3, 7, 127, 1448)


def deliver(make: Callable[[], Callable[[bytes], Iterable[T]]], data: bytes, trailing: bytes = b"") -> list[T]:
    """Feed ``data`` whole, byte by byte, in odd pieces, and with trailing bytes; all must come to the same.

    Args:
        make: Makes a fresh decoder and returns what takes its bytes.
        data: What is fed.
        trailing: Bytes fed along with the last of ``data`` that must not change what ``data`` means.

    Returns:
        What it comes to.

    Raises:
        ProtocolError: What every delivery raises.
    """
    deliveries = {
        "whole": [data],
        "byte by byte": list(pieces(data, 1)),
        **{f"{size} at a time": list(pieces(data, size)) for size in ODD_SIZES},
    }
    if trailing:
        deliveries["with trailing bytes"] = [data + trailing]
    outcomes = {name: _outcome(make(), cut) for name, cut in deliveries.items()}
    expected, error = outcomes["whole"]
    for name, (values, other_error) in outcomes.items():
        assert type(other_error) is type(error), name
        assert error is not None or values == expected, name
    if error is not None:
        raise error
    return expected


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """``data`` in pieces of ``size`` bytes; the last may be shorter."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


def _outcome(feed: Callable[[bytes], Iterable[T]], cut: Iterable[bytes]) -> tuple[list[T], ProtocolError | None]:
    values: list[T] = []
    try:
        for piece in cut:
            values += feed(piece)
    except ProtocolError as error:
        return values, error
    return values, None
