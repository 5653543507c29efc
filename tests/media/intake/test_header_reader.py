from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streamd.errors import CodecConfigError, UnsupportedCodecError
from streamd.formats.codecs.codec import AAC, CodecConfig, parse_config
from streamd.media.intake import header_reader
from streamd.media.intake.header_reader import (
    HEADERS_AT_ONCE_MAX,
    REFUSED_MAX,
    SEQUENCE_HEADER_BYTES_MAX,
    TAGS_PER_HEADER,
    HeaderReader,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ASC = b"\x11\x90"


def records() -> Iterator[bytes]:
    """Good ones, each different from the others in what stands behind it."""
    return (ASC + number.to_bytes(4, "big") for number in range(1 << 32))


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The records that were read."""
    seen: list[bytes] = []

    def parse(codec: str, record: bytes) -> CodecConfig:
        seen.append(record)
        return parse_config(codec, record)

    monkeypatch.setattr(header_reader, "parse_config", parse)
    return seen


def is_read(reader: HeaderReader, record: bytes, tags: int = 0) -> bool:
    try:
        reader.read(AAC, record, tags)
    except CodecConfigError as exc:
        if exc.limit != "sequence_headers_max":
            raise
        return False
    return True


class TestSize:
    def test_as_long_as_it_may_be_is_read(self) -> None:
        record = ASC.ljust(SEQUENCE_HEADER_BYTES_MAX, b"\x00")
        assert HeaderReader().read(AAC, record, 0) == parse_config(AAC, ASC)

    def test_longer_is_refused_unread(self, parsed: list[bytes]) -> None:
        with pytest.raises(CodecConfigError, match="65537 bytes") as caught:
            HeaderReader().read(AAC, ASC.ljust(SEQUENCE_HEADER_BYTES_MAX + 1, b"\x00"), 0)
        assert caught.value.limit == "sequence_header_bytes_max"
        assert parsed == []


class TestHowMany:
    def test_some_are_read_at_once(self, parsed: list[bytes]) -> None:
        reader = HeaderReader()
        taken = [is_read(reader, record) for record, _ in zip(records(), range(1000), strict=False)]
        assert taken == [True] * HEADERS_AT_ONCE_MAX + [False] * (1000 - HEADERS_AT_ONCE_MAX)
        assert len(parsed) == HEADERS_AT_ONCE_MAX

    def test_others_with_the_tags_that_come(self, parsed: list[bytes]) -> None:
        reader = HeaderReader()
        tags = 10 * TAGS_PER_HEADER
        for count, record in zip(range(HEADERS_AT_ONCE_MAX + tags), records(), strict=False):
            is_read(reader, record, max(0, count - HEADERS_AT_ONCE_MAX))
        assert len(parsed) == HEADERS_AT_ONCE_MAX + 9
        assert is_read(reader, b"\x12\x10", tags)

    def test_a_long_broadcast_saves_up_no_more_than_that(self, parsed: list[bytes]) -> None:
        reader = HeaderReader()
        taken = [is_read(reader, record, 10**9) for record, _ in zip(records(), range(1000), strict=False)]
        assert sum(taken) == len(parsed) == HEADERS_AT_ONCE_MAX


class TestRefused:
    def test_is_not_read_again(self, parsed: list[bytes]) -> None:
        reader = HeaderReader()
        messages = set()
        for _ in range(1000):
            with pytest.raises(CodecConfigError) as caught:
                reader.read(AAC, b"\x11", 0)
            assert not caught.value.limit
            messages.add(str(caught.value))
        assert len(messages) == 1
        assert parsed == [b"\x11"]
        assert is_read(reader, ASC), "it took no more than one of those that are read at once"

    def test_codec_that_is_not_carried_is_known_again(self, parsed: list[bytes]) -> None:
        reader = HeaderReader()
        for _ in range(3):
            with pytest.raises(UnsupportedCodecError) as caught:
                reader.read(AAC, b"\xf9\x48\x00", 0)  # USAC
            assert caught.value.codec == "mp4a.40.42"
        assert len(parsed) == 1

    def test_they_are_forgotten_the_oldest_first(self, parsed: list[bytes]) -> None:
        reader = HeaderReader()
        bad = [bytes((0x11, 0xF8, number)) for number in range(REFUSED_MAX + 1)]
        for number, record in enumerate((*bad, bad[0], bad[-1])):
            with pytest.raises(CodecConfigError, match="channelConfiguration"):
                reader.read(AAC, record, number * TAGS_PER_HEADER)
        assert parsed == [*bad, bad[0]]
