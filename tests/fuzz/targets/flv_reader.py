"""An FLV byte stream: tags, or ``FlvError``; the same however the bytes are cut."""

from __future__ import annotations

from streamd.errors import FlvError
from streamd.formats.flv.tag import FlvReader, FlvTag, serialise
from tests.support.flv_media import flv_bytes


def seeds() -> list[bytes]:
    flv = flv_bytes(1)
    return [
        flv[:1500],
        flv[:13],
        b"FLV\x01\x05\x00\x00\x00\x0a\x00" + bytes(4) + flv[13:400],
        b"FLV\x01\x00\xff\xff\xff\xff",
    ]


def run(data: bytes) -> None:
    """Args: data: The stream."""
    whole = _tags([data])
    half = len(data) // 2
    cut = _tags([data[:half], data[half:]])
    assert whole == cut or (whole is None) == (cut is None)
    for tag in whole or []:
        assert serialise(tag)[11:-4] == tag.payload


def _tags(pieces: list[bytes]) -> list[FlvTag] | None:
    reader = FlvReader(tag_bytes_max=5000)
    tags: list[FlvTag] = []
    try:
        for piece in pieces:
            tags += reader.receive_data(piece)
    except FlvError:
        return None
    return tags
