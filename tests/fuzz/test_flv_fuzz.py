"""Hostile bytes through the readers, the gate and the demuxer: values or our errors, in step, in bounded time."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.formats.codecs.codec import AUDIO_CODECS, VIDEO_CODECS, canonical_record, parse_config
from streamd.formats.flv.tag import FlvTag, TagType
from tests.fuzz.targets import codec_records, demuxer, flv_headers, flv_reader
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.flv_media import h264_aac

SEEDS = h264_aac(1, bframes=2)[:24]
# Several tracks, of several codecs.
MANY = encoded((VideoTrack(), *codec_records.VIDEO), (AudioTrack(), *codec_records.AUDIO), 1)[:60]
HEADS = st.sampled_from((*flv_headers.HEADS, b""))
KINDS = st.sampled_from([TagType.VIDEO, TagType.AUDIO, TagType.SCRIPT])
TIMES = st.integers(-(2**33), 2**33)


@given(st.binary(max_size=200))
def test_reader_gives_tags_or_an_error(data: bytes) -> None:
    flv_reader.run(b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00" + data)


@given(st.builds(bytes.__add__, HEADS, st.binary(max_size=40)).filter(bool))
def test_headers_give_packets_inside_the_tag_or_an_error(payload: bytes) -> None:
    flv_headers.run(payload)


RECORDS = codec_records.records()


@st.composite
def broken_records(draw: st.DrawFn) -> tuple[str, bytes]:
    """A codec and its record with some bytes changed, left out or put in, or one that is made up."""
    codec = draw(st.sampled_from(sorted(RECORDS)))
    record = RECORDS[codec][:400]
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(record)))
        end = draw(st.integers(start, min(len(record), start + 4)))
        record = record[:start] + draw(st.binary(max_size=4)) + record[end:]
    return codec, draw(st.just(record) | st.binary(max_size=60))


def test_there_is_a_record_of_every_codec() -> None:
    assert RECORDS.keys() == VIDEO_CODECS.keys() | AUDIO_CODECS.keys()
    for codec, record in RECORDS.items():
        parse_config(codec, canonical_record(codec, record))


@settings(max_examples=500)
@given(broken_records())
def test_configuration_records_give_values_or_an_error(broken: tuple[str, bytes]) -> None:
    codec, record = broken
    codec_records.run(bytes((codec_records.CODECS.index(codec),)) + record)


@st.composite
def mutated_streams(draw: st.DrawFn, seeds: tuple[FlvTag, ...] = SEEDS) -> list[FlvTag]:
    """An encoder's tags with some changed, cut, repeated, moved in time or made up."""
    tags = list(seeds)
    for _ in range(draw(st.integers(1, 6))):
        index = draw(st.integers(0, len(tags) - 1))
        tag = tags[index]
        match draw(st.integers(0, 5)):
            case 0:
                offset = draw(st.integers(0, len(tag.payload)))
                noise = draw(st.binary(min_size=1, max_size=8))
                payload = bytes(tag.payload)[:offset] + noise + bytes(tag.payload)[offset + len(noise) :]
                tags[index] = replace(tag, payload=payload)
            case 1:
                tags[index] = replace(tag, payload=bytes(tag.payload)[: draw(st.integers(0, len(bytes(tag.payload))))])
            case 2:
                tags.insert(index, tags[draw(st.integers(0, len(tags) - 1))])
            case 3:
                tags[index] = replace(tag, timestamp_ms=draw(TIMES))
            case 4:
                made_up = draw(HEADS) + draw(st.binary(max_size=30))
                tags.insert(index, FlvTag(draw(KINDS), draw(TIMES), made_up))
            case _:
                tags[index] = replace(tag, tag_type=draw(KINDS))
    return tags


@settings(max_examples=60)
@given(tags=mutated_streams() | mutated_streams(MANY), batch=st.integers(1, 5))
def test_gate_and_demuxer_give_packets_in_step_or_an_error(tags: list[FlvTag], batch: int) -> None:
    demuxer.demux(tags, batch=batch)
