from __future__ import annotations

import gzip
from itertools import pairwise

import pytest

from streamd.doors.delivery.answer import Absence, Answer, MediaRequest
from streamd.doors.delivery.decide import Wait, accepts_gzip, decide, decide_absent
from streamd.doors.delivery.media_path import parse_media_path
from streamd.doors.delivery.representation import Representations
from streamd.media.packager.presentation import Presentation
from streamd.media.packager.reload import PartNumber, Position
from streamd.media.packager.rendition import Rendition, RenditionOptions
from tests.support.chunk_feeder import HEADER, ChunkFeeder, feed, start_rendition
from tests.support.llhls_checker import check_playlist

PAYLOAD_BYTES = 100
REPRESENTATIONS = Representations()


def stream(
    seconds: tuple[float, ...] = (2, 2, 2, 1),
    *,
    low_latency: bool = True,
    target_duration_s: int = 2,
    is_ended: bool = False,
) -> tuple[Presentation, Rendition]:
    """A presentation with one rendition; the last of its segments is open: 1003, with parts 10012 and 10013."""
    options = RenditionOptions(low_latency=low_latency)
    rendition = start_rendition(options=options, target_duration_s=target_duration_s)
    presentation = Presentation([rendition])
    feed(rendition, ChunkFeeder(payload_bytes=PAYLOAD_BYTES), seconds)
    if is_ended:
        rendition.end()
    return presentation, rendition


def request(file: str, query: str = "", method: str = "GET", **headers: str) -> MediaRequest:
    path = parse_media_path(f"/live/demo/{file}")
    assert path is not None
    return MediaRequest(method, path, query, **headers)


def ask(found: Presentation | Absence, file: str, query: str = "", method: str = "GET", **headers: str) -> Answer:
    asked = request(file, query, method, **headers)
    answer = decide_absent(asked, found) if isinstance(found, Absence) else decide(asked, found, REPRESENTATIONS)
    assert isinstance(answer, Answer)
    return answer


def field(answer: Answer, name: str) -> str | None:
    values = [value for key, value in answer.headers if key == name]
    assert len(values) <= 1
    return values[0] if values else None


def body(answer: Answer) -> bytes:
    return b"".join(answer.body)


FILES = ["index.m3u8", "main.m3u8", "main/init1000.mp4", "main/seg1000.m4s", "main/part10000.m4s"]
PLAYLISTS, MEDIA = FILES[:2], FILES[2:]


class TestWhatIsThere:
    @pytest.mark.parametrize(
        ("file", "media_type", "cache_control"),
        [
            ("index.m3u8", "application/vnd.apple.mpegurl", "max-age=1"),
            ("main.m3u8", "application/vnd.apple.mpegurl", "max-age=1"),
            ("main/init1000.mp4", "video/mp4", "max-age=3600, immutable"),
            ("main/seg1000.m4s", "video/mp4", "max-age=3600, immutable"),
            ("main/part10000.m4s", "video/mp4", "max-age=3600, immutable"),
        ],
    )
    def test_it_is_sent_with_what_caches_and_players_need(self, file: str, media_type: str, cache_control: str) -> None:
        presentation, _ = stream()
        answer = ask(presentation, file)
        assert answer.status == 200
        assert field(answer, "Content-Type") == media_type
        assert field(answer, "Cache-Control") == cache_control
        assert field(answer, "Content-Length") == str(len(body(answer)))
        assert field(answer, "Access-Control-Allow-Origin") == "*"
        assert field(answer, "Age") is None
        assert (field(answer, "Vary") == "Accept-Encoding") == (file in PLAYLISTS)
        assert (field(answer, "Accept-Ranges") == "bytes") == (file in MEDIA)

    def test_the_media_is_the_segmenters(self) -> None:
        presentation, _ = stream()
        feeder = ChunkFeeder(payload_bytes=PAYLOAD_BYTES)
        payloads = [chunk.content.join() for chunk in feeder.segment(180_000)]
        assert body(ask(presentation, "main/init1000.mp4")) == HEADER
        assert ask(presentation, "main/seg1000.m4s").body == tuple(payloads)
        assert body(ask(presentation, "main/part10001.m4s")) == payloads[1]

    @pytest.mark.parametrize("file", FILES)
    def test_one_answer_serves_all_who_ask(self, file: str) -> None:
        presentation, _ = stream()
        assert ask(presentation, file) is ask(presentation, file)

    def test_the_head_is_the_header_fields_as_they_go_out(self) -> None:
        presentation, _ = stream()
        answer = ask(presentation, "main/part10000.m4s")
        assert answer.head == (
            b"HTTP/1.1 200 OK\r\n"
            b"Content-Type: video/mp4\r\n"
            b"Content-Length: 100\r\n"
            b"Accept-Ranges: bytes\r\n"
            b"Cache-Control: max-age=3600, immutable\r\n"
            b'ETag: "part10000"\r\n'
            b"Access-Control-Allow-Origin: *\r\n"
            b"Access-Control-Expose-Headers: *\r\n"
        )

    def test_the_playlists_keep_the_rules(self) -> None:
        presentation, _ = stream()
        assert check_playlist(body(ask(presentation, "main.m3u8"))) == []
        assert b'CODECS="avc1.640028,mp4a.40.2"' in body(ask(presentation, "index.m3u8"))

    @pytest.mark.parametrize("file", PLAYLISTS)
    def test_playlists_are_gzipped_for_those_who_can_read_it(self, file: str) -> None:
        presentation, _ = stream()
        plain, packed = ask(presentation, file), ask(presentation, file, accept_encoding="gzip, br")
        assert field(packed, "Content-Encoding") == "gzip"
        assert field(plain, "Content-Encoding") is None
        assert gzip.decompress(body(packed)) == body(plain)
        assert field(packed, "ETag") != field(plain, "ETag")
        assert field(packed, "Content-Length") == str(len(body(packed)))

    def test_media_is_never_gzipped(self) -> None:
        presentation, _ = stream()
        assert field(ask(presentation, MEDIA[1], accept_encoding="gzip"), "Content-Encoding") is None

    def test_the_multivariant_playlist_follows_the_bit_rate(self) -> None:
        presentation, rendition = stream()
        before = ask(presentation, "index.m3u8")
        feed(rendition, ChunkFeeder(position=7 * 90_000, payload_bytes=10_000), [2, 2])
        assert body(ask(presentation, "index.m3u8")) != body(before)


class TestWhatIsNotThere:
    @pytest.mark.parametrize("file", FILES)
    @pytest.mark.parametrize(("absence", "status"), [(Absence.UNKNOWN, 404), (Absence.TAKEN_DOWN, 410)])
    def test_an_absent_stream_has_nothing(self, file: str, absence: Absence, status: int) -> None:
        answer = ask(absence, file)
        assert answer.status == status
        assert field(answer, "Cache-Control") == "max-age=1"
        assert field(answer, "Access-Control-Allow-Origin") == "*"

    @pytest.mark.parametrize(
        ("file", "query", "cache_control"),
        [
            ("other.m3u8", "", "max-age=2"),
            ("other.m3u8", "_HLS_msn=1", "max-age=8"),  # Appendix B: 404 to a blocking playlist request
            ("other/seg1000.m4s", "", "max-age=2"),
            ("main/init999.mp4", "", "max-age=2"),
            ("main/seg999.m4s", "", "max-age=2"),
            ("main/part9999.m4s", "", "max-age=2"),
            # Names to come: no cache may keep the error.
            ("main/part10015.m4s", "", "no-store"),
            ("main/seg1003.m4s", "", "no-store"),
            ("main/init1003.mp4", "", "no-store"),
        ],
    )
    def test_it_is_not_found(self, file: str, query: str, cache_control: str) -> None:
        presentation, _ = stream()
        answer = ask(presentation, file, query)
        assert answer.status == 404
        assert field(answer, "Cache-Control") == cache_control
        assert body(answer) == b"404 Not Found\n"

    @pytest.mark.parametrize("file", ["main/part10014.m4s", "main/seg1004.m4s"])
    def test_after_the_end_nothing_comes(self, file: str) -> None:
        presentation, _ = stream(is_ended=True)
        answer = ask(presentation, file)
        assert (answer.status, field(answer, "Cache-Control")) == (404, "max-age=2")

    @pytest.mark.parametrize("file", PLAYLISTS)
    def test_a_stream_that_ended_before_it_began_has_no_playlist(self, file: str) -> None:
        presentation, _ = stream((), is_ended=True)
        assert ask(presentation, file).status == 404

    def test_without_low_latency_there_are_no_parts(self) -> None:
        presentation, _ = stream(low_latency=False)
        for number in (10_000, 10_013, 10_014):
            assert ask(presentation, f"main/part{number}.m4s").status == 404


class TestPlaylistRequests:
    """rfc8216bis 6.2.5."""

    @pytest.mark.parametrize(
        ("query", "cache_control"),
        [
            ("", "max-age=1"),
            ("_HLS_skip=YES", "max-age=1"),
            ("token=x", "max-age=1"),
            ("_HLS_msn=1002", "max-age=12"),
            ("_HLS_msn=5", "max-age=12"),
            ("_HLS_msn=1003&_HLS_part=1", "max-age=12"),
            ("_HLS_msn=1003&_HLS_part=1&_HLS_skip=YES", "max-age=12"),
        ],
    )
    def test_what_is_there_is_answered_at_once(self, query: str, cache_control: str) -> None:
        presentation, _ = stream()
        answer = ask(presentation, "main.m3u8", query)
        assert answer.status == 200
        assert field(answer, "Cache-Control") == cache_control

    def test_half_a_target_duration_is_rounded_down(self) -> None:
        presentation, _ = stream(target_duration_s=3)
        assert field(ask(presentation, "main.m3u8"), "Cache-Control") == "max-age=1"

    @pytest.mark.parametrize(
        ("query", "until"),
        [
            ("_HLS_msn=1003", Position(1003)),
            ("_HLS_msn=1003&_HLS_part=2", Position(1003, 2)),
            ("_HLS_msn=1004&_HLS_part=0&_HLS_skip=YES", Position(1004, 0)),
        ],
    )
    def test_what_comes_is_waited_for(self, query: str, until: Position) -> None:
        presentation, rendition = stream()
        asked = request("main.m3u8", query)
        assert decide(asked, presentation, REPRESENTATIONS) == Wait("main", until, 6)
        assert not rendition.has_reached(until)
        feed(rendition, ChunkFeeder(position=7 * 90_000), [2, 2])
        assert rendition.has_reached(until)
        answer = decide(asked, presentation, REPRESENTATIONS)
        assert isinstance(answer, Answer)
        assert answer.status == 200

    def test_whoever_waited_too_long_is_told_so(self) -> None:
        presentation, _ = stream()
        answer = decide(request("main.m3u8", "_HLS_msn=1004"), presentation, REPRESENTATIONS, timed_out=True)
        assert isinstance(answer, Answer)
        assert (answer.status, field(answer, "Cache-Control")) == (503, "max-age=2")

    @pytest.mark.parametrize(
        ("query", "cache_control"),
        [
            ("_HLS_msn=x", "max-age=2"),
            ("_HLS_msn=1&_HLS_msn=1", "max-age=2"),
            ("_HLS_part=1", "no-store"),
            ("_HLS_msn=1005", "no-store"),
            ("_HLS_msn=1003&_HLS_part=9", "no-store"),
        ],
    )
    def test_what_no_player_asks_is_refused(self, query: str, cache_control: str) -> None:
        presentation, _ = stream()
        answer = ask(presentation, "main.m3u8", query)
        assert (answer.status, field(answer, "Cache-Control")) == (400, cache_control)

    def test_the_end_answers_everyone_who_waits(self) -> None:
        presentation, rendition = stream()
        asked = request("main.m3u8", "_HLS_msn=1004")
        assert isinstance(decide(asked, presentation, REPRESENTATIONS), Wait)
        rendition.end()
        assert rendition.has_reached(Position(1004))
        answer = decide(asked, presentation, REPRESENTATIONS)
        assert isinstance(answer, Answer)
        assert body(answer).endswith(b"#EXT-X-ENDLIST\n")
        assert field(answer, "Cache-Control") == "max-age=1"

    @pytest.mark.parametrize("query", ["_HLS_msn=1003", "_HLS_msn=x", "_HLS_part=1", "_HLS_msn=1&_HLS_msn=1"])
    def test_a_plain_playlist_knows_no_directives(self, query: str) -> None:
        presentation, _ = stream(low_latency=False)
        answer = ask(presentation, "main.m3u8", query)
        assert (answer.status, field(answer, "Cache-Control")) == (200, "max-age=1")

    def test_a_delta_update_is_sent_where_it_is_wanted(self) -> None:
        presentation, _ = stream((2,) * 10)
        assert b"#EXT-X-SKIP" in body(ask(presentation, "main.m3u8", "_HLS_skip=YES"))
        assert b"#EXT-X-SKIP" in body(ask(presentation, "main.m3u8", "_HLS_skip=v2"))
        assert b"#EXT-X-SKIP" not in body(ask(presentation, "main.m3u8"))

    @pytest.mark.parametrize(
        ("file", "query"),
        [("index.m3u8", ""), ("main.m3u8", ""), ("main.m3u8", "_HLS_msn=3"), ("main.m3u8", "_HLS_msn=1000")],
    )
    def test_before_the_first_segment_the_playlist_is_waited_for(self, file: str, query: str) -> None:
        presentation, rendition = stream((0.5,))
        assert decide(request(file, query), presentation, REPRESENTATIONS) == Wait("main", Position(1000), 6)
        feed(rendition, ChunkFeeder(position=45_000), [2])
        assert ask(presentation, file, query).status == 200

    def test_whoever_asks_for_the_first_parts_gets_them(self) -> None:
        presentation, _ = stream((0.5,))
        assert b"part10000.m4s" in body(ask(presentation, "main.m3u8", "_HLS_msn=1000&_HLS_part=0"))


class TestHintedParts:
    """rfc8216bis 4.4.5.3."""

    def test_the_hinted_part_is_waited_for(self) -> None:
        presentation, rendition = stream()
        asked = request("main/part10014.m4s")
        assert decide(asked, presentation, REPRESENTATIONS) == Wait("main", PartNumber(10_014), 6)
        feed(rendition, ChunkFeeder(position=7 * 90_000), [0.5])
        assert rendition.has_reached(PartNumber(10_014))
        assert ask(presentation, "main/part10014.m4s").status == 200

    def test_it_is_not_found_when_the_stream_ends(self) -> None:
        presentation, rendition = stream()
        rendition.end()
        assert rendition.has_reached(PartNumber(10_014))
        assert ask(presentation, "main/part10014.m4s").status == 404

    def test_whoever_waited_too_long_is_told_so(self) -> None:
        presentation, _ = stream()
        answer = decide(request("main/part10014.m4s"), presentation, REPRESENTATIONS, timed_out=True)
        assert isinstance(answer, Answer)
        assert answer.status == 503


class TestMethods:
    @pytest.mark.parametrize("file", FILES)
    def test_head_is_get_without_content(self, file: str) -> None:
        presentation, _ = stream()
        get, head = ask(presentation, file), ask(presentation, file, method="HEAD")
        assert (head.status, head.headers, head.head) == (get.status, get.headers, get.head)
        assert head.body == ()

    def test_head_waits_like_get(self) -> None:
        presentation, _ = stream()
        assert isinstance(decide(request("main/part10014.m4s", method="HEAD"), presentation, REPRESENTATIONS), Wait)

    def test_head_of_nothing_has_no_content(self) -> None:
        answer = ask(Absence.UNKNOWN, "main.m3u8", method="HEAD")
        assert (answer.status, answer.body) == (404, ())

    @pytest.mark.parametrize("found", [*Absence, stream()[0]])
    def test_a_preflight_is_answered_without_looking(self, found: Presentation | Absence) -> None:
        answer = ask(found, "main.m3u8", method="OPTIONS")
        assert (answer.status, answer.body, field(answer, "Content-Length")) == (204, (), None)
        assert field(answer, "Access-Control-Allow-Origin") == "*"
        assert field(answer, "Access-Control-Allow-Methods") == "GET, HEAD, OPTIONS"
        assert field(answer, "Access-Control-Allow-Headers") == "*"

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "get", "BREW", ""])
    def test_other_methods_are_not_allowed(self, method: str) -> None:
        presentation, _ = stream()
        answer = ask(presentation, "main.m3u8", method=method)
        assert (answer.status, field(answer, "Allow")) == (405, "GET, HEAD, OPTIONS")


class TestConditions:
    """RFC 9110 section 13."""

    @pytest.mark.parametrize("file", FILES)
    @pytest.mark.parametrize("form", ["{}", "W/{}", '"x", {}', '"x",{} ,"y"', "*"])
    def test_who_has_it_is_not_sent_it_again(self, file: str, form: str) -> None:
        presentation, _ = stream()
        get = ask(presentation, file)
        tag = field(get, "ETag")
        answer = ask(presentation, file, if_none_match=form.format(tag))
        assert (answer.status, answer.body, field(answer, "Content-Length")) == (304, (), None)
        for name in ("ETag", "Cache-Control", "Vary", "Access-Control-Allow-Origin"):
            assert field(answer, name) == field(get, name)

    @pytest.mark.parametrize("file", FILES)
    def test_who_has_another_is_sent_this_one(self, file: str) -> None:
        presentation, _ = stream()
        assert ask(presentation, file, if_none_match='"other"').status == 200

    def test_a_playlist_that_changed_has_another_tag(self) -> None:
        presentation, rendition = stream()
        tag = field(ask(presentation, "main.m3u8"), "ETag")
        assert tag is not None
        feed(rendition, ChunkFeeder(position=7 * 90_000), [0.5])
        assert ask(presentation, "main.m3u8", if_none_match=tag).status == 200

    def test_the_condition_comes_before_the_range(self) -> None:
        presentation, _ = stream()
        assert ask(presentation, MEDIA[2], if_none_match="*", range="bytes=0-1").status == 304


class TestRanges:
    """RFC 9110 section 14."""

    @pytest.mark.parametrize(
        ("value", "start", "stop"),
        [
            ("bytes=0-0", 0, 1),
            ("bytes=0-399", 0, 400),
            ("bytes=0-", 0, 400),
            ("bytes=399-", 399, 400),
            ("bytes=50-149", 50, 150),
            ("bytes=100-199", 100, 200),
            ("bytes=99-300", 99, 301),
            ("bytes=390-1000000", 390, 400),
            ("bytes=-1", 399, 400),
            ("bytes=-150", 250, 400),
            ("bytes=-4000", 0, 400),
            ("Bytes=0-0", 0, 1),
        ],
    )
    def test_a_range_is_cut_from_the_parts(self, value: str, start: int, stop: int) -> None:
        presentation, _ = stream()
        whole = body(ask(presentation, "main/seg1000.m4s"))
        answer = ask(presentation, "main/seg1000.m4s", range=value)
        assert answer.status == 206
        assert body(answer) == whole[start:stop]
        assert field(answer, "Content-Range") == f"bytes {start}-{stop - 1}/400"
        assert field(answer, "Content-Length") == str(stop - start)
        assert field(answer, "ETag") == '"seg1000"'

    @pytest.mark.parametrize("value", ["bytes=400-", "bytes=400-500", "bytes=-0", f"bytes={10**18}-"])
    def test_a_range_beyond_the_end_is_refused(self, value: str) -> None:
        presentation, _ = stream()
        answer = ask(presentation, "main/seg1000.m4s", range=value)
        assert (answer.status, body(answer)) == (416, b"")
        assert field(answer, "Content-Range") == "bytes */400"

    @pytest.mark.parametrize(
        "value",
        ["bytes=", "bytes=-", "bytes=5-4", "bytes=0-1,3-4", "bytes=a-b", "items=0-1", "bytes=1", f"bytes=0-{'9' * 30}"],
    )
    def test_a_range_that_is_none_is_ignored(self, value: str) -> None:
        presentation, _ = stream()
        assert ask(presentation, "main/seg1000.m4s", range=value).status == 200

    @pytest.mark.parametrize(("file", "method"), [("main.m3u8", "GET"), ("main/seg1000.m4s", "HEAD")])
    def test_only_get_of_media_has_ranges(self, file: str, method: str) -> None:
        presentation, _ = stream()
        assert ask(presentation, file, method=method, range="bytes=0-1").status == 200

    @pytest.mark.parametrize(("tag", "status"), [('"seg1000"', 206), ('W/"seg1000"', 200), ('"seg999"', 200)])
    def test_a_range_of_another_version_is_the_whole(self, tag: str, status: int) -> None:
        presentation, _ = stream()
        assert ask(presentation, "main/seg1000.m4s", range="bytes=0-1", if_range=tag).status == status

    def test_ranges_side_by_side_make_the_whole(self) -> None:
        presentation, _ = stream()
        cuts = [0, 1, 99, 100, 101, 250, 400]
        pieces = [
            body(ask(presentation, "main/seg1000.m4s", range=f"bytes={start}-{stop - 1}"))
            for start, stop in pairwise(cuts)
        ]
        assert b"".join(pieces) == body(ask(presentation, "main/seg1000.m4s"))


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("GZIP", True),
        ("br;q=1.0, gzip;q=0.8", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;q=0.001", True),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("identity", False),
        ("x-notgzip", False),
        ("deflate", False),
    ],
)
def test_gzip_is_accepted(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted
