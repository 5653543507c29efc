from __future__ import annotations

import pytest

from streamd.doors.delivery.asked_heads import HEADS_REMEMBERED, REMEMBERED_HEAD_BYTES_MAX, AskedHeads
from streamd.doors.delivery.http_request import HeadLimits, MalformedRequestError
from streamd.doors.delivery.media_path import MediaKind
from tests.support.doors import request

PART = request("/live/demo/main/part10012.m4s")


class TestWhatIsAsked:
    def test_media(self) -> None:
        read = AskedHeads().read(request("/live/demo/main.m3u8?_HLS_msn=7", headers=[("Accept-Encoding", "gzip")]))
        assert read is not None
        assert read.media is not None
        assert (read.media.path.kind, read.media.path.name, read.media.path.variant) == (
            MediaKind.PLAYLIST,
            "demo",
            "main",
        )
        assert (read.media.method, read.media.query, read.media.accept_encoding) == ("GET", "_HLS_msn=7", "gzip")
        assert read.push is None

    def test_a_pushed_stream(self) -> None:
        read = AskedHeads().read(request("/live/demo.flv"))
        assert read is not None
        assert read.push is not None
        assert read.media is None

    @pytest.mark.parametrize(
        "data",
        [
            request("/watch/demo"),
            request("/live/demo/main.m3u8", "POST"),
            request("/live/demo/main.m3u8", headers=[("Content-Length", "1")]),
            request("/live/demo/main.m3u8", headers=[("Expect", "100-continue")]),
            request("/live/demo/main.m3u8", headers=[("Connection", "upgrade"), ("Upgrade", "websocket")]),
        ],
    )
    def test_all_else_is_none_of_the_doors(self, data: bytes) -> None:
        read = AskedHeads().read(data)
        assert read is not None
        assert (read.media, read.push) == (None, None)


class TestWhereItIs:
    @pytest.mark.parametrize("before", [b"", b"\r\n"])
    @pytest.mark.parametrize("after", [b"", b"G", PART])
    def test_it_lies_between_an_empty_line_and_the_next(self, before: bytes, after: bytes) -> None:
        data = before + PART + after
        read = AskedHeads().read(data)
        assert read is not None
        assert data[read.start : read.end] == PART

    @pytest.mark.parametrize("data", [b"", b"\r", b"\r\n", PART[:-1]])
    def test_a_head_that_is_not_whole_is_none(self, data: bytes) -> None:
        assert AskedHeads().read(data) is None


class TestMemory:
    def test_the_same_bytes_are_read_once(self) -> None:
        heads = AskedHeads()
        assert heads.read(bytes(bytearray(PART))) is heads.read(PART)

    def test_a_long_head_is_read_each_time(self) -> None:
        heads, long = (
            AskedHeads(),
            request("/live/demo/main.m3u8", headers=[("Cookie", REMEMBERED_HEAD_BYTES_MAX * "c")]),
        )
        first, second = heads.read(long), heads.read(long)
        assert first == second
        assert first is not second

    def test_so_many_are_remembered(self) -> None:
        heads = AskedHeads()
        first = heads.read(PART)
        for number in range(HEADS_REMEMBERED):
            heads.read(request(f"/live/demo/main/part{number}.m4s"))
        again = heads.read(PART)
        assert again == first
        assert again is not first

    def test_one_that_cannot_be_read_is_refused_each_time(self) -> None:
        heads = AskedHeads()
        for _ in range(2):
            with pytest.raises(MalformedRequestError):
                heads.read(request("/live/demo/main.m3u8", version="HTTP/3.7"))

    def test_other_limits_hold_for_what_was_read_before(self) -> None:
        heads = AskedHeads()
        heads.read(PART)
        heads.configure(HeadLimits(request_head_bytes_max=10))
        with pytest.raises(MalformedRequestError):
            heads.read(PART)
