from __future__ import annotations

import pytest

from streamd.doors.delivery.asked import Asked
from streamd.doors.delivery.asked_heads import AskedHeads
from streamd.doors.delivery.http_request import MalformedRequestError
from tests.support.doors import request

PART = request("/live/demo/main/part10012.m4s")
PLAYLIST = request("/live/demo/main.m3u8")


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
