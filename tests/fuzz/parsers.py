"""Every parser of what a peer sends, alone: what its bytes cost us, and nothing else.

The targets look twice and compare, which takes time that the server never spends. Here ``make`` sets up what a
connection has by then, and returns what is timed.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from aiohttp.web_request import BaseRequest
from multidict import CIMultiDict
from pydantic import ValidationError
from yarl import URL

from streamd.doors.delivery.decide import accepts_gzip
from streamd.doors.delivery.http_request import HeadParser, MalformedRequestError, find_head, skip_empty_line
from streamd.doors.delivery.media_path import parse_media_path
from streamd.doors.delivery.push_path import parse_push_path
from streamd.doors.delivery.trusted_proxies import TrustedProxies
from streamd.doors.web.fields import cookies_named, media_type
from streamd.doors.web.host import authority, host_name, is_host
from streamd.doors.web.json_api import InvalidRequestError as BadBodyError
from streamd.doors.web.json_api import parse_json
from streamd.doors.web.public.studio import COOKIE
from streamd.errors import DirectiveError, MediaError, ProtocolError
from streamd.formats.amf import amf0, amf3
from streamd.formats.amf.values import DEFAULT_LIMITS, Budget
from streamd.formats.codecs.codec import (
    AUDIO_CODECS,
    AV1,
    HEVC,
    VIDEO_CODECS,
    VP9,
    canonical_record,
    parse_config,
    read_picture_format,
)
from streamd.formats.codecs.encoder_settings import keyframe_interval_max
from streamd.formats.codecs.sequence_parameter_set import read_picture_format as read_sps
from streamd.formats.flv.audio import parse_audio
from streamd.formats.flv.tag import FlvReader
from streamd.formats.flv.video import parse_video
from streamd.formats.hls.directives import parse_directives
from streamd.formats.proxy_protocol import HEADER_BYTES_MAX, read_header
from streamd.formats.rtmp.chunk import ChunkDecoder, ChunkLimits
from streamd.formats.rtmp.connection import ServerConnection
from streamd.formats.rtmp.connection_options import ConnectionOptions
from streamd.formats.rtmp.handshake import ServerHandshake
from streamd.formats.rtmp.state import State
from streamd.formats.rtmp.stream_name import find_stream_key
from streamd.media.intake.actions import Split
from streamd.media.intake.header_reader import HeaderReader
from streamd.media.intake.intake import Intake
from streamd.services.keys.stream_key import StreamKey
from streamd.services.obs.ladder import PostData
from tests.fuzz.corpora import Target, kept
from tests.fuzz.framing import read_tags
from tests.fuzz.targets import codec_records, http_answer, json_body, keyframes, tls_records
from tests.support.captures import HANDSHAKE_BYTES, NAMES, Capture
from tests.support.rtmp_wire import SIMPLE_HANDSHAKE, command, control

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What a server has that nobody configured.
# A message can be one byte. As Python it costs some 4 us, compiled a tenth, and there are 4,096 in a read at most.
LINES_PER_MESSAGE_MAX = 130.0
CHUNK_LIMITS = ChunkLimits(chunk_size_min=128)
OPTIONS = ConnectionOptions(chunk_limits=CHUNK_LIMITS)
LOGIN = command("connect", 1, {"app": "live"}) + command("publish", 2, None, "key", message_stream_id=1)
_DOCUMENTED = (ProtocolError, MediaError)
# The first bytes of a target's input say how the rest is cut.
_HEAD_BYTES = 1


@dataclass(frozen=True)
class Parser:
    """One of them."""

    name: str
    make: Callable[[], Callable[[bytes], object]]
    """Sets up what there is before the bytes come; what it returns takes them, and may raise what is documented."""
    seeds: Callable[[], list[bytes]]
    """Inputs that reach far."""
    bytes_max: int = 1024
    """Of an input: more than this is refused, or only more of the same."""
    lines_per_byte_max: float = 25.0
    """Lines of Python that a byte may cost: one takes some 30 ns as Python, so that this is less than 1 us a byte."""

    def read(self, data: bytes) -> None:
        """Have it read by a parser that is new."""
        take = self.make()
        with contextlib.suppress(*_DOCUMENTED):
            take(data)


def _of_target(name: str, skip: int = 0) -> Callable[[], list[bytes]]:
    """What the target of this name begins with, and what was kept of it."""
    return lambda: [data[skip:] for data in (*Target.load(name).seeds(), *kept(name))]


def _captured() -> list[bytes]:
    return [Capture.load(name).data[HANDSHAKE_BYTES:] for name in NAMES]


def _amf3(data: bytes) -> None:
    reader = amf3.Reader(data, 0, Budget(DEFAULT_LIMITS))
    while reader.offset < len(data):
        reader.read_value()


def _stranger() -> Callable[[bytes], object]:
    connection = ServerConnection(nonce=bytes(16), options=OPTIONS)
    connection.receive_data(SIMPLE_HANDSHAKE)
    connection.data_to_send()

    def take(data: bytes) -> None:
        connection.receive_data(data)
        if connection.state is State.PUBLISH_PENDING:
            connection.accept()
        connection.data_to_send()

    return take


def _publisher() -> Callable[[bytes], object]:
    connection = ServerConnection(nonce=bytes(16), options=OPTIONS)
    connection.receive_data(SIMPLE_HANDSHAKE + LOGIN)
    connection.accept()
    connection.data_to_send()

    def take(data: bytes) -> None:
        connection.receive_data(data)
        while connection.state is State.PUBLISH_PENDING:
            connection.accept()
            while connection.has_more:
                connection.receive_more()
        connection.data_to_send()

    return take


def _published() -> list[bytes]:
    """What captures say behind their login, and what the target of connections has behind one."""
    large = control(1, (1 << 24).to_bytes(4, "big"))
    return [large + data for data in (*_captured(), *_of_target("connection", _HEAD_BYTES)())]


def _config(codec: str) -> Callable[[bytes], object]:
    return lambda record: parse_config(codec, canonical_record(codec, record))


def _records(codec: str) -> list[bytes]:
    number = codec_records.CODECS.index(codec)
    return [
        codec_records.records()[codec],
        *(data[1:] for data in kept("codec_records") if data and data[0] % len(codec_records.CODECS) == number),
    ]


def _keyframe(codec: str) -> Callable[[bytes], object]:
    return functools.partial(read_picture_format, codec, codec_records.records()[codec])


def _intake() -> Callable[[bytes], object]:
    intake = Intake()

    def take(data: bytes) -> None:
        for tag in read_tags(data):
            action = intake.receive(tag)
            if isinstance(action, Split):
                for share in action.tags:
                    intake.receive(share)

    return take


def _head(data: bytes) -> None:
    with contextlib.suppress(MalformedRequestError):
        start = skip_empty_line(data, 0)
        end = find_head(data, start)
        if end >= 0:
            HeadParser().parse(data[start:end])


def _line(parse: Callable[[str], object]) -> Callable[[], Callable[[bytes], object]]:
    """A parser of text that has come through the reader of heads."""

    def take(data: bytes) -> None:
        with contextlib.suppress(DirectiveError):
            parse(data.decode("latin-1"))

    return lambda: take


def _forwarded(text: str) -> str:
    return TrustedProxies(["127.0.0.0/8", "::/0"]).client("127.0.0.1", text)


def _stream_key(text: str) -> object:
    return StreamKey.parse(find_stream_key(text, text, text, StreamKey.has_form))


def _sequence_headers(codec: str) -> Callable[[bytes], object]:
    """One that was refused is known again: the same twice, then another of the same length."""
    reader = HeaderReader()

    def take(record: bytes) -> None:
        for each in (record, record, record[::-1]):
            with contextlib.suppress(*_DOCUMENTED):
                reader.read(codec, canonical_record(codec, each), 1)

    return take


def _spses() -> list[bytes]:
    """The first SPS of each record, and the dearest that were thought of: scaling lists and a cycle of short codes."""
    records = _records("avc1")
    size = int.from_bytes(records[0][6:8], "big")
    head = "0110010000000000000000001001001101"  # High, with scaling lists
    lists = [
        head + "1" + "".join("1" + (code * 64)[: length * bits] for length in (16,) * 6 + (64,) * 6)
        for code, bits in (("1", 1), ("010011", 3), ("1010011", 2))
    ]
    cycle = "01000010" + "0" * 16 + "11010111" + "0000000100000000"
    texts = [*lists, cycle + "1" * 300, cycle + "1010" * 150]
    made = [int("01100111" + text + "1" * (-len(text) % 8), 2).to_bytes(len(text) // 8 + 2, "big") for text in texts]
    return [records[0][8 : 8 + size], *made]


def _field(read: Callable[[str], object]) -> Callable[[], Callable[[bytes], object]]:
    """A reader of a field's text, as aiohttp has it."""
    return lambda: lambda data: read(data.decode("utf-8", "surrogateescape"))


def _entity_tags(text: str) -> object:
    return list(BaseRequest._etag_values(text))


def _of_request(name: str, read: Callable[[BaseRequest], object]) -> Callable[[], Callable[[bytes], object]]:
    """A reader of a request's field, of a request that has nothing else."""

    def of(text: str) -> object:
        request = SimpleNamespace(headers=CIMultiDict({name: text}))
        return read(cast("BaseRequest", request))

    return _field(of)


def _host(text: str) -> object:
    return host_name(text) if is_host(text) else None


def _query(text: str) -> object:
    # What a target may have; the rest is refused before there is a request.
    printable = text.isascii() and text.isprintable() and " " not in text
    return list(URL(f"/?{text}", encoded=True).query.items()) if printable else None


def _cookies(request: BaseRequest) -> object:
    return cookies_named(request, COOKIE)


def _json(data: bytes) -> None:
    with contextlib.suppress(BadBodyError, ValidationError):
        parse_json(data, PostData)


def _tls(after_handshake: bool) -> Callable[[], Callable[[bytes], object]]:
    """A TLS connection, before its handshake or behind one."""

    def make() -> Callable[[bytes], object]:
        loop = asyncio.new_event_loop()

        async def connect() -> tls_records.Connection:
            connection = tls_records.Connection()
            if after_handshake:
                tls_records.Client().shake_hands(connection)
            return connection

        async def hear(connection: tls_records.Connection, data: bytes) -> None:
            connection.hear(data)

        connection = loop.run_until_complete(connect())

        def take(data: bytes) -> None:
            try:
                loop.run_until_complete(hear(connection, data))
            finally:
                loop.close()

        return take

    return make


def _said_by_tls(way: int) -> list[bytes]:
    """What is not heard of: a whole hello asks for a signature, half a millisecond whatever its bytes, in a place."""
    return [data[1:-1] if data[1:2] == b"\x16" else data[1:] for data in tls_records.seeds() if data[0] == way]


def _handshakes() -> list[bytes]:
    return Target.load("handshake").seeds()


def _all() -> Iterator[Parser]:
    yield Parser("amf0", lambda: amf0.read_values, _of_target("amf0_values"))
    yield Parser("amf3", lambda: _amf3, _of_target("amf3_values"))
    yield Parser("handshake", lambda: ServerHandshake(bytes(16)).receive_data, _handshakes)
    yield Parser(
        "chunks",
        lambda: ChunkDecoder(CHUNK_LIMITS).receive_data,
        _of_target("chunks", _HEAD_BYTES),
        lines_per_byte_max=LINES_PER_MESSAGE_MAX,
    )
    yield Parser(
        "stranger",
        _stranger,
        lambda: [*_captured(), *_of_target("connection", _HEAD_BYTES)()],
        4096,
        LINES_PER_MESSAGE_MAX,
    )
    yield Parser("publisher", _publisher, _published, 4096, LINES_PER_MESSAGE_MAX)
    yield Parser("flv_reader", lambda: FlvReader().receive_data, _of_target("flv_reader"))
    yield Parser("video_headers", lambda: parse_video, _of_target("flv_headers"))
    yield Parser("audio_headers", lambda: parse_audio, _of_target("flv_headers"))
    yield Parser("intake", _intake, _of_target("gate"), 4096)
    for codec in sorted((*VIDEO_CODECS, *AUDIO_CODECS)):
        yield Parser(
            f"record_{codec.strip('.').replace('-', '')}",
            functools.partial(_config, codec),
            functools.partial(_records, codec),
            # Sets of reference pictures in an hvcC were 16 lines a byte, which is 1 us and more on a busy machine.
            lines_per_byte_max=12.0 if codec == HEVC else Parser.lines_per_byte_max,
        )
    yield Parser("sps", lambda: read_sps, _spses)
    yield Parser(
        "header_reader", functools.partial(_sequence_headers, "avc1"), functools.partial(_records, "avc1"), 4096
    )
    for codec, name in ((VP9, "vp9"), (AV1, "av1")):
        yield Parser(
            f"keyframe_{name}",
            functools.partial(_keyframe, codec),
            lambda: [data[1:] for data in keyframes.seeds()],
        )
    yield Parser("encoder_settings", lambda: keyframe_interval_max, lambda: [b"x264 - core 164 - options: keyint=60 "])
    yield Parser("http_head", lambda: _head, _of_target("http_head"), 4096)
    yield Parser("http_answer", lambda: http_answer.run, _of_target("http_answer"))
    yield Parser("media_path", _line(parse_media_path), lambda: [f"/live/demo/{f}".encode() for f in http_answer.FILES])
    yield Parser("push_path", _line(parse_push_path), lambda: [b"/live/demo.flv", b"/live/demo.mp4"])
    yield Parser("directives", _line(parse_directives), lambda: [b"_HLS_msn=1&_HLS_part=2&_HLS_skip=YES", b"a=b&" * 99])
    yield Parser("forwarded_for", _line(_forwarded), lambda: [b"192.0.2.1, [2001:db8::1]:80", b"127.0.0.1," * 99])
    yield Parser("proxy_header", lambda: read_header, _of_target("proxy_header"), HEADER_BYTES_MAX)
    yield Parser("tls_handshake", _tls(after_handshake=False), lambda: _said_by_tls(0), 4096)
    yield Parser("tls_records", _tls(after_handshake=True), lambda: _said_by_tls(1), 4096)
    yield Parser("json_body", lambda: _json, json_body.seeds, 4096)
    yield Parser("query", _field(_query), lambda: [b"user=alice&limit=10", b"a=%41&" * 60, b"+" * 300])
    yield Parser("host", _field(_host), lambda: [b"[2001:db8::1]:8080", b"live.example.org"])
    yield Parser("origin", _field(authority), lambda: [b"https://live.example.org:8080", b"null", b"//[::1]"])
    yield Parser("accept_encoding", _field(accepts_gzip), lambda: [b"br, gzip;q=0.5, *;q=0", b"a;q=1," * 60])
    yield Parser("entity_tags", _field(_entity_tags), lambda: [b'W/"abc", "def"', b'"",' * 99, b'W/"' * 99])
    yield Parser(
        "cookies",
        _of_request("Cookie", _cookies),
        lambda: [b'streamd_studio=abc; x="y"', b"streamd_studio=a;" * 60, b"streamd_studio=;" + b"a;" * 400],
    )
    yield Parser(
        "content_type",
        _of_request("Content-Type", media_type),
        lambda: [b"application/json; charset=utf-8", b"a/b;" * 99],
    )
    yield Parser("stream_key", _line(_stream_key), _of_target("stream_name"))


PARSERS = {parser.name: parser for parser in _all()}
