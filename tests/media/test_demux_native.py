from __future__ import annotations

import pytest

from streamd.errors import DemuxError
from streamd.formats.flv.tag import FlvTag, TagType
from streamd.media.demux_native import NativeDemuxer
from tests.support.flv_media import h264_aac
from tests.support.gate import looked_at, through_gate


class TestContract:
    @pytest.mark.parametrize(
        ("tag_type", "payload"),
        [
            (TagType.AUDIO, b"\xad\x01\x21\x10\x04\x60\x8c\x1c"),
            (TagType.VIDEO, b"\x91hvc1\x00\x00\x00\x00\x00\x00\x01\x26"),
            (TagType.VIDEO, b"\xa6\x01avc1\x01\x00\x00\x00\x00\x00\x00\x01\x41"),
            (TagType.VIDEO, b"\x57\x00"),
            (TagType.VIDEO, b""),
            (TagType.SCRIPT, b"\x02\x00\x0aonMetaData\x03\x00\x00\x09"),
        ],
        ids=["SoundSize", "another codec", "another track", "command", "empty", "script"],
    )
    def test_tag_that_the_gate_keeps_out_is_an_error(self, tag_type: int, payload: bytes) -> None:
        opening, _ = through_gate(h264_aac())
        with pytest.raises(DemuxError, match="no frame of a track that is open"):
            NativeDemuxer().demux(looked_at(opening, [FlvTag(tag_type, 40, payload)]))
