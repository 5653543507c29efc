"""Whatever a stream does, its playlists keep the rules and every request has an answer."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.doors.delivery.answer import Absence, Answer, MediaRequest
from streamd.doors.delivery.decide import Wait, decide, decide_absent
from streamd.doors.delivery.media_path import parse_media_path
from streamd.doors.delivery.representation import Representations
from streamd.errors import DirectiveError
from streamd.formats.hls.attribute_list import decimal_seconds
from streamd.formats.hls.directives import Directives, parse_directives
from streamd.media.packager.presentation import Presentation
from streamd.media.packager.reload import PlaylistEdge, Position, decide_reload
from streamd.media.packager.rendition import RenditionOptions
from tests.support.chunk_feeder import EPOCH, HEADER, VIDEO, ChunkFeeder, feed, start_rendition
from tests.support.llhls_checker import PlaylistFollower

# A segment: frames at 30 fps, and what stands before it.
segments = st.tuples(
    st.one_of(st.sampled_from([1, 14, 15, 16, 60, 74]), st.integers(1, 74)),
    st.sampled_from(["", "", "", "", "discontinuity", "header", "both"]),
    st.integers(-100, 100),
)


@settings(max_examples=25, deadline=None)
@given(
    segment_list=st.lists(segments, min_size=1, max_size=20),
    window=st.integers(3, 12),
    low_latency=st.booleans(),
    ends_early=st.booleans(),
)
def test_any_stream_keeps_the_rules(
    segment_list: list[tuple[int, str, int]], window: int, low_latency: bool, ends_early: bool
) -> None:
    options = RenditionOptions(window_segments=window, low_latency=low_latency)
    rendition = start_rendition(options=options)
    feeder, full, delta = ChunkFeeder(), PlaylistFollower(), PlaylistFollower()
    for index, (frames, before, jump_s) in enumerate(segment_list):
        epoch = None
        if before in ("discontinuity", "both"):
            feeder.position = max(0, feeder.position + jump_s * 90_000)
            epoch = EPOCH + timedelta(seconds=jump_s)
        if before in ("header", "both"):
            rendition.set_header(HEADER + b"%d" % index, [VIDEO])
        for chunk in feeder.segment(frames * 3000, is_discontinuous=epoch is not None):
            rendition.add(chunk, epoch)
            snapshot = rendition.playlist()
            assert full.reload(snapshot.full.buffers[0]) == []
            text = snapshot.full if delta.current is None else snapshot.delta()
            assert delta.reload(text.buffers[0]) == []
        if ends_early:
            rendition.end_segment()
    rendition.end()
    assert full.reload(rendition.playlist().full.buffers[0]) == []
    assert full.current is not None
    assert full.current.is_ended


@given(ticks=st.integers(0, 2**40), timescale=st.integers(1, 200_000))
def test_seconds_are_within_half_a_step(ticks: int, timescale: int) -> None:
    whole, _, fraction = decimal_seconds(ticks, timescale).partition(".")
    assert len(fraction) == 5
    assert abs(int(whole + fraction) * timescale - ticks * 100_000) * 2 <= timescale


@given(target_ms=st.integers(100, 2000), timescale=st.sampled_from([1000, 44_100, 48_000, 90_000]), data=st.data())
def test_a_part_within_the_target_reads_as_within_it(target_ms: int, timescale: int, data: st.DataObject) -> None:
    limit = target_ms * timescale // 1000
    ticks = data.draw(st.integers(max(0, limit - 3), limit))
    assert float(decimal_seconds(ticks, timescale)) <= float(decimal_seconds(target_ms, 1000))


@given(query=st.text(max_size=60) | st.from_regex(r"(_HLS_(msn|part|skip)=[0-9YESv2]{0,22}&?){0,3}", fullmatch=True))
def test_any_query_gives_directives_or_an_error(query: str) -> None:
    try:
        directives = parse_directives(query)
    except DirectiveError:
        return
    assert directives.msn is None or 0 <= directives.msn < 2**64


@given(
    last_msn=st.integers(0, 1000),
    last_parts=st.integers(0, 20),
    open_parts=st.integers(0, 20),
    part_target_ms=st.sampled_from([200, 333, 500, 999, 1000, 2000]),
    ahead=st.integers(-3, 4),
    part=st.none() | st.integers(0, 40),
)
def test_what_is_waited_for_is_never_there_and_soon_comes(
    last_msn: int, last_parts: int, open_parts: int, part_target_ms: int, ahead: int, part: int | None
) -> None:
    edge = PlaylistEdge(last_msn, last_parts, open_parts, part_target_ms, is_ended=False)
    decision = decide_reload(Directives(max(0, last_msn + ahead), part), edge)
    if isinstance(decision, Position):
        assert not edge.contains(decision)
        # Two segments later it is there in any case.
        assert PlaylistEdge(last_msn + 3, 1, 1, part_target_ms, is_ended=False).contains(decision)


@given(path=st.text(max_size=80) | st.from_regex(r"/live/[a-z0-9_%./-]{0,40}", fullmatch=True))
def test_any_path_is_read_or_is_none_of_ours(path: str) -> None:
    parsed = parse_media_path(path)
    assert parsed is None or path.startswith(f"/live/{parsed.name}/")


PRESENTATION = Presentation([start_rendition()])
feed(PRESENTATION.renditions["main"], ChunkFeeder(), [2] * 8)
ANY_FILE = st.sampled_from(["index.m3u8", "main.m3u8", "x.m3u8", "main/init1000.mp4"]) | st.builds(
    "main/{}{}.m4s".format,
    st.sampled_from(["seg", "part"]),
    st.integers(990, 1020) | st.integers(9990, 10_050) | st.integers(0, 10**15),
)
ANY_HEADER = st.text(st.characters(max_codepoint=255), max_size=30)


@given(
    file=ANY_FILE,
    method=st.sampled_from(["GET", "HEAD", "OPTIONS", "POST"]),
    query=st.text(max_size=20) | st.from_regex(r"_HLS_msn=[0-9]{1,5}(&_HLS_part=[0-9]{1,3})?", fullmatch=True),
    accept_encoding=ANY_HEADER | st.just("gzip"),
    if_none_match=ANY_HEADER,
    range_=ANY_HEADER | st.from_regex(r"bytes=[0-9]{0,4}-[0-9]{0,4}", fullmatch=True),
    absence=st.none() | st.sampled_from(Absence),
)
def test_any_request_has_an_answer_whose_length_is_true(
    file: str,
    method: str,
    query: str,
    accept_encoding: str,
    if_none_match: str,
    range_: str,
    absence: Absence | None,
) -> None:
    path = parse_media_path(f"/live/demo/{file}")
    assert path is not None
    request = MediaRequest(
        method, path, query, accept_encoding=accept_encoding, if_none_match=if_none_match, range=range_
    )
    representations = Representations()
    answer = decide_absent(request, absence) if absence else decide(request, PRESENTATION, representations)
    if isinstance(answer, Wait):
        assert not PRESENTATION.renditions[answer.variant].has_reached(answer.until)
        answer = decide(request, PRESENTATION, representations, timed_out=True)
    assert isinstance(answer, Answer)
    headers = dict(answer.headers)
    assert len(headers) == len(answer.headers)
    assert headers["Access-Control-Allow-Origin"] == "*"
    if method == "HEAD":
        assert answer.body == ()
    elif "Content-Length" in headers:
        assert int(headers["Content-Length"]) == sum(map(len, answer.body))
    else:
        assert answer.status in (204, 304)
        assert answer.body == ()
