from __future__ import annotations

from http import HTTPStatus

import pytest

from streamd.doors.delivery.answer import METHOD_NOT_ALLOWED, NO_STORE, PREFLIGHT, Answer, cut, error


class TestAnswer:
    def test_its_head_is_its_header_fields_as_they_go_out(self) -> None:
        answer = Answer(HTTPStatus.OK, (("A", "1"), ("B", "2")), (b"ab", b"c"))
        assert answer.head == b"HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\n"
        assert answer.body_bytes == 3

    def test_to_head_it_is_the_same_without_a_body(self) -> None:
        answer = Answer(HTTPStatus.OK, (("Content-Length", "1"),), (b"a",))
        without = answer.without_body()
        assert (without.head, without.body) == (answer.head, ())
        assert without.without_body() is without


class TestError:
    def test_it_says_its_status_and_how_long_it_holds(self) -> None:
        answer = error(HTTPStatus.NOT_FOUND, 4)
        assert answer.body == (b"404 Not Found\n",)
        assert ("Cache-Control", "max-age=4") in answer.headers
        assert ("Content-Length", "14") in answer.headers

    def test_it_may_not_be_kept(self) -> None:
        assert ("Cache-Control", "no-store") in error(HTTPStatus.NOT_FOUND, NO_STORE).headers

    def test_it_is_made_once(self) -> None:
        assert error(HTTPStatus.GONE, 1) is error(HTTPStatus.GONE, 1)

    def test_what_may_be_asked_is_said(self) -> None:
        for answer in (METHOD_NOT_ALLOWED, PREFLIGHT):
            assert ("Allow", "GET, HEAD, OPTIONS") in answer.headers


@pytest.mark.parametrize(
    ("start", "stop", "pieces"),
    [(0, 6, [b"abc", b"def"]), (1, 2, [b"b"]), (2, 4, [b"c", b"d"]), (3, 6, [b"def"]), (6, 9, []), (2, 2, [])],
)
def test_bytes_are_cut_out_of_buffers_without_a_copy(start: int, stop: int, pieces: list[bytes]) -> None:
    found = cut((b"abc", b"def"), start, stop)
    assert list(map(bytes, found)) == pieces
    assert all(isinstance(piece, memoryview) for piece in found)
