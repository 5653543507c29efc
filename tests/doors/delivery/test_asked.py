from __future__ import annotations

import pytest

from streamd.doors.delivery.asked import Asked
from streamd.doors.delivery.asked_heads import AskedHeads
from streamd.doors.delivery.http_request import MalformedRequestError
from streamd.doors.delivery.ticket_path import Opening, find_opening
from tests.support.doors import request

PART = request("/live/demo/main/part10012.m4s")
PLAYLIST = request("/live/demo/main.m3u8")
TICKETS = ("0123abcd.1800000000.AAAA_-.BBBB", "0123abcd.1800000000.AAAA_-.BBBBc")


@pytest.fixture
def asked() -> Asked:
    return Asked(AskedHeads())


def paths(asked: Asked) -> list[str]:
    found = []
    while (read := asked.next()) is not None:
        found.append(read[0].head.path)
    return found


class TestNext:
    def test_requests_come_out_one_by_one_in_their_order(self, asked: Asked) -> None:
        asked.take(PART + PLAYLIST)
        first = asked.next()
        assert first is not None
        assert first[0].head.path == "/live/demo/main/part10012.m4s"
        assert asked.unanswered == PLAYLIST
        assert paths(asked) == ["/live/demo/main.m3u8"]
        assert asked.unanswered == b""

    def test_a_head_in_pieces_comes_out_when_it_is_whole(self, asked: Asked) -> None:
        for number in range(len(PART)):
            asked.take(PART[number : number + 1])
            assert (asked.next() is not None) == (number == len(PART) - 1)
        assert asked.unanswered == b""

    def test_the_bytes_of_one_that_cannot_be_read_stay(self, asked: Asked) -> None:
        asked.take(b"\x16\x03\x01")
        with pytest.raises(MalformedRequestError):
            asked.next()
        assert asked.unanswered == b"\x16\x03\x01"


class TestTickets:
    """Each is taken out of the path, whatever the connection has asked before."""

    def test_of_one_and_of_several_viewers(self, asked: Asked) -> None:
        wanted = [
            ("/live/demo/main.m3u8", TICKETS[0]),
            ("/live/demo/main/part10012.m4s", TICKETS[0]),
            # A proxy asks for several viewers. One ticket begins as another.
            ("/live/demo/main.m3u8", TICKETS[1]),
            ("/live/demo/main.m3u8", TICKETS[0]),
            ("/live/other/main.m3u8", TICKETS[0]),
            ("/live/other/main.m3u8", ""),
            ("/live/other/main.m3u8", TICKETS[0]),
        ]
        for path, ticket in wanted:
            channel, _, rest = path.removeprefix("/live/").partition("/")
            asked.take(request(f"/live/{channel}/~{ticket}/{rest}" if ticket else path))
        found = []
        while (read := asked.next()) is not None:
            found.append((read[0].head.path, read[1]))
        assert found == wanted
        assert asked.unanswered == b""

    def test_a_head_in_pieces_comes_out_when_it_is_whole(self, asked: Asked) -> None:
        whole = request(f"/live/demo/~{TICKETS[0]}/main.m3u8")
        for _ in range(2):
            for number in range(len(whole) - 1):
                asked.take(whole[number : number + 1])
                assert asked.next() is None
            asked.take(whole[-1:])
            read = asked.next()
            assert read is not None
            assert (read[0].head.path, read[1]) == ("/live/demo/main.m3u8", TICKETS[0])
            assert asked.unanswered == b""

    def test_what_a_viewer_asks_next_is_found_without_a_search(
        self, asked: Asked, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        searched: list[bytes] = []

        def search(data: bytes) -> Opening | None:
            searched.append(data)
            return find_opening(data)

        monkeypatch.setattr("streamd.doors.delivery.asked.find_opening", search)
        for path in ("main.m3u8", "main/part10012.m4s", "main/part10013.m4s"):
            asked.take(request(f"/live/demo/~{TICKETS[0]}/{path}"))
            assert asked.next() is not None
        assert len(searched) == 1


class TestHead:
    def test_its_beginning_is_news_once(self, asked: Asked) -> None:
        asked.take(PART[:5])
        assert [asked.begins_head(), asked.begins_head()] == [True, False]

    def test_the_next_one_is_news_again(self, asked: Asked) -> None:
        asked.take(PART[:5])
        asked.begins_head()
        asked.take(PART[5:] + b"G")
        assert len(paths(asked)) == 1
        assert asked.begins_head()


def test_ignored_bytes_are_counted_and_not_kept(asked: Asked) -> None:
    assert [asked.ignore(100), asked.ignore(1)] == [100, 101]
    assert asked.unanswered == b""


def test_nothing_of_what_is_cleared_comes_out(asked: Asked) -> None:
    asked.take(PART)
    asked.clear()
    assert asked.next() is None
