"""A publisher's sequence headers, one after another: configurations or the documented errors, and few are read."""

from __future__ import annotations

import contextlib
from unittest import mock

from streamd.errors import CodecConfigError, UnsupportedCodecError
from streamd.formats.codecs.codec import canonical_record, parse_config
from streamd.media.intake import header_reader
from streamd.media.intake.header_reader import HEADERS_AT_ONCE_MAX, REFUSED_MAX, TAGS_PER_HEADER, HeaderReader
from tests.fuzz.targets.codec_records import CODECS, records

_HEAD_BYTES = 4


def seeds() -> list[bytes]:
    """Each is records behind four bytes: of which codec one is, how many tags came before it, and how long it is."""
    whole = [_framed(codec, record[:400]) for codec, record in sorted(records().items())]
    broken = b"".join(_framed(CODECS[0], bytes((1, number))) for number in range(48))
    return [*whole, b"".join(whole), whole[0] * 20, broken, broken * 2]


def _framed(codec: str, record: bytes, tags: int = 1) -> bytes:
    return bytes((CODECS.index(codec), tags)) + len(record).to_bytes(2, "big") + record


def run(data: bytes) -> None:
    """Args: data: As ``seeds`` have it; a length beyond its end stands for what is left."""
    reader, tags, read = HeaderReader(), 0, 0

    def counted(codec: str, record: bytes) -> object:
        nonlocal read
        read += 1
        return parse_config(codec, record)

    with mock.patch.object(header_reader, "parse_config", counted):
        while len(data) >= _HEAD_BYTES:
            codec, size = CODECS[data[0] % len(CODECS)], int.from_bytes(data[2:_HEAD_BYTES], "big")
            tags += data[1]
            record, data = data[_HEAD_BYTES : _HEAD_BYTES + size], data[_HEAD_BYTES + size :]
            with contextlib.suppress(CodecConfigError, UnsupportedCodecError):
                reader.read(codec, canonical_record(codec, record), tags)
            assert len(reader._refused) <= REFUSED_MAX
    assert read <= HEADERS_AT_ONCE_MAX + tags // TAGS_PER_HEADER
