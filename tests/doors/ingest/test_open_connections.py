from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pytest

from streamd.doors.ingest.open_connections import SILENT_S, ListenerLimits, OpenConnections

if TYPE_CHECKING:
    from streamd.doors.ingest.protocol import RtmpProtocol


@dataclass(eq=False)
class Connection:
    """What is asked of a connection."""

    address: str
    opened_at: float


class Room:
    """Connections, each from an address of its own."""

    def __init__(self, **limits: int) -> None:
        self.open = OpenConnections(ListenerLimits(**limits))
        self._count = 0

    def add(self, at: float = 0.0, address: str = "") -> RtmpProtocol:
        self._count += 1
        connection = cast("RtmpProtocol", Connection(address or f"192.0.2.{self._count}", at))
        self.open.add(connection)
        return connection

    def add_spoken(self, at: float = 0.0) -> RtmpProtocol:
        connection = self.add(at)
        self.open.note_spoken(connection)
        return connection

    def add_connected(self, at: float = 0.0) -> RtmpProtocol:
        connection = self.add_spoken(at)
        self.open.note_connected(connection)
        return connection


def test_a_place_is_free_up_to_each_limit() -> None:
    room = Room(connections_max=3, connections_per_address_max=2, handshakes_max=2)
    room.add(address="2001:db8::1")
    room.add_connected()
    assert room.open.passed_limit("2001:db8::1") is None
    room.add(address="2001:db8::2")
    assert room.open.passed_limit("2001:db8::3") == "connections_per_address_max"
    assert room.open.passed_limit("192.0.2.9") == "connections_max"


def test_handshakes_are_counted_until_connect() -> None:
    room = Room(handshakes_max=2)
    first = room.add()
    room.add_spoken()
    assert room.open.passed_limit("192.0.2.9") == "handshakes_max"
    room.open.note_connected(first)
    assert room.open.passed_limit("192.0.2.9") is None


class TestDispensable:
    @pytest.mark.parametrize("limit", ["handshakes_max", "connections_max"])
    def test_the_oldest_that_has_been_silent_goes_first(self, limit: str) -> None:
        room = Room()
        room.add_spoken(0.0)
        silent = room.add(1.0)
        room.add(2.0)
        assert room.open.dispensable(limit, 3.0) is silent

    def test_one_whose_first_packet_is_on_its_way_stays(self) -> None:
        room = Room()
        lingering = room.add_spoken(0.0)
        room.add(10.0)
        assert room.open.dispensable("handshakes_max", 10.0 + SILENT_S / 2) is lingering

    def test_one_that_is_through_goes_for_no_handshake(self) -> None:
        room = Room()
        connected = room.add_connected()
        assert room.open.dispensable("handshakes_max", 100.0) is None
        assert room.open.dispensable("connections_max", 100.0) is connected

    def test_a_publisher_never_goes_for_a_stranger(self) -> None:
        room = Room()
        publisher = room.add_connected()
        room.open.note_publishing(publisher)
        assert room.open.dispensable("connections_max", 100.0) is None

    def test_one_that_has_ended_its_stream_is_no_publisher_any_more(self) -> None:
        room = Room()
        publisher = room.add_connected()
        room.open.note_publishing(publisher)
        room.open.note_unpublished(publisher)
        assert room.open.dispensable("connections_max", 100.0) is publisher

    def test_for_one_more_of_an_address_nobody_goes(self) -> None:
        room = Room()
        room.add()
        assert room.open.dispensable("connections_per_address_max", 100.0) is None


def test_what_is_removed_is_in_no_list() -> None:
    room = Room(connections_max=1)
    gone = room.add()
    assert room.open.remove(gone)
    assert not room.open.remove(gone)
    room.open.note_unpublished(gone)
    assert (len(room.open), list(room.open), gone in room.open) == (0, [], False)
    assert room.open.passed_limit(gone.address) is None
    assert room.open.dispensable("connections_max", 100.0) is None
