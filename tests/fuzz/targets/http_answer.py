"""What a viewer asks for: any path, directives, range and validators give an answer that is well-formed, or a wait."""

from __future__ import annotations

import functools
from http import HTTPStatus
from typing import TYPE_CHECKING

from streamd.doors.delivery.answer import METHODS, Answer, MediaRequest
from streamd.doors.delivery.decide import decide
from streamd.doors.delivery.media_path import parse_media_path
from streamd.doors.delivery.push_path import parse_push_path
from streamd.doors.delivery.representation import Representations
from streamd.errors import DirectiveError
from streamd.formats.hls.directives import parse_directives
from streamd.media.packager.presentation import Presentation
from streamd.media.packager.rendition import RenditionOptions
from tests.support.chunk_feeder import ChunkFeeder, feed, start_rendition

if TYPE_CHECKING:
    from streamd.doors.delivery.push_path import PushPath

SECONDS = (2, 2, 2, 1)
PAYLOAD_BYTES = 100
FILES = ("index.m3u8", "main.m3u8", "main/init1000.mp4", "main/seg1000.m4s", "main/part10000.m4s")
_FIELDS = 5
_REPRESENTATIONS = Representations()


def seeds() -> list[bytes]:
    """Lines: path, query, accept-encoding, if-none-match, if-range, range."""
    queries = (
        b"",
        b"_HLS_msn=1003&_HLS_part=2&_HLS_skip=YES",
        b"_HLS_msn=18446744073709551615",
        b"_HLS_part=0",
        b"a=b",
    )
    ranges = (b"bytes=0-99", b"bytes=-1", b"bytes=99999-", b"bytes=5-4", b"bytes=0-1,3-4")
    paths = [b"/live/demo/" + file.encode() for file in FILES] + [b"/live/demo.flv", b"/live/%2e%2e/x", b"/live//a"]
    return [
        b"\n".join((path, queries[n % 5], b"gzip;q=0.5, *;q=0", b'W/"x", *', b'"y"', ranges[n % 5]))
        for n, path in enumerate(paths)
    ]


@functools.cache
def _presentation() -> Presentation:
    rendition = start_rendition(options=RenditionOptions(), target_duration_s=2)
    feed(rendition, ChunkFeeder(payload_bytes=PAYLOAD_BYTES), SECONDS)
    return Presentation([rendition])


def run(data: bytes) -> None:
    """Args: data: The lines of ``seeds``; what is left out is empty."""
    lines = data.decode("latin-1").split("\n", _FIELDS)
    path, query, *fields = lines + [""] * (2 + 4 - len(lines))
    try:
        directives = parse_directives(query)
        assert directives.msn is None or 0 <= directives.msn < 2**64
    except DirectiveError as exc:
        assert str(exc).isprintable()
    pushed: PushPath | None = parse_push_path(path)
    media = parse_media_path(path)
    assert pushed is None or media is None
    if media is None:
        media = parse_media_path(f"/live/demo/{FILES[len(path) % len(FILES)]}")
        assert media is not None
    request = MediaRequest(METHODS[len(query) % len(METHODS)], media, query, *fields)
    for timed_out in (False, True):
        answer = decide(request, _presentation(), _REPRESENTATIONS, timed_out=timed_out)
        if isinstance(answer, Answer):
            _check(answer)
        else:
            assert not timed_out


def _check(answer: Answer) -> None:
    headers = dict(answer.headers)
    for name, value in answer.headers:
        assert "\r" not in name + value
        assert "\n" not in name + value
    if "Content-Length" in headers and answer.body:
        assert int(headers["Content-Length"]) == sum(len(piece) for piece in answer.body) == answer.body_bytes
    if answer.status is HTTPStatus.PARTIAL_CONTENT:
        assert headers["Content-Range"].startswith("bytes ")
