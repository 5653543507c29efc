from __future__ import annotations

import av
import pytest

from streamd.formats.codecs.codec import AAC, FLAC, OPUS, CodecConfig, parse_config
from streamd.formats.codecs.silence import silent_frame

LC_MONO, LC_STEREO, LC_5_1, HE_STEREO = (bytes.fromhex(asc) for asc in ("1188", "1190", "11b0", "2b920800"))
OPUS_STEREO = b"OpusHead\x01\x02" + bytes(9)


@pytest.mark.parametrize(
    ("codec", "record", "samples"), [(AAC, LC_MONO, 1024), (AAC, LC_STEREO, 1024), (OPUS, OPUS_STEREO, 960)]
)
def test_it_decodes_to_silence_of_its_length(codec: str, record: bytes, samples: int) -> None:
    config = parse_config(codec, record)
    frame = silent_frame(codec, config)
    assert frame is not None
    assert (frame.ticks, frame.sample_rate) == (samples, 48_000)
    decoder = av.CodecContext.create("aac" if codec == AAC else "opus", "r")
    decoder.extradata = record
    decoded = [each for _ in range(3) for each in decoder.decode(av.Packet(frame.access_unit))]
    assert [each.samples for each in decoded] == [samples] * 3
    assert not any(any(bytes(plane)) for each in decoded for plane in each.planes)


@pytest.mark.parametrize(
    ("codec", "config"),
    [
        (AAC, parse_config(AAC, LC_5_1)),
        (AAC, parse_config(AAC, HE_STEREO)),
        (OPUS, CodecConfig(OPUS, sample_rate=48_000, channels=6)),
        (FLAC, CodecConfig(FLAC, sample_rate=48_000, channels=2)),
    ],
)
def test_there_is_none_for_other_forms(codec: str, config: CodecConfig) -> None:
    assert silent_frame(codec, config) is None
