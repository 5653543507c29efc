from __future__ import annotations

import pytest

from streamd.formats.codecs.encoder_settings import keyframe_interval_max
from streamd.formats.flv.tag import TagType
from tests.support.codec_media import VideoTrack, encoded
from tests.support.flv_media import h264_only

X264 = bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef") + b"x264 - core 164 - options: cabac=1 "
X265 = bytes.fromhex("2ca2de09b51747dbbb55a4fe7fc2fc4e") + b"x265 (build 199) - options: cpuid=0 "


def keyframes(tags: tuple[object, ...]) -> list[bytes]:
    return [tag.payload for tag in tags if tag.tag_type == TagType.VIDEO]  # type: ignore[attr-defined]


@pytest.mark.parametrize("gop", [30, 60])
def test_x264_writes_it_into_its_first_picture(gop: int) -> None:
    header, first, *others = keyframes(h264_only(gop=gop))
    assert keyframe_interval_max(first) == gop
    assert {keyframe_interval_max(each) for each in (header, *others)} == {None}


def test_x265_writes_it_into_the_configuration() -> None:
    header, *others = keyframes(encoded((VideoTrack("libx265", keyframe_interval=45),), ()))
    assert keyframe_interval_max(header) == 45
    assert {keyframe_interval_max(each) for each in others} == {None}


@pytest.mark.parametrize(
    ("media", "frames"),
    [
        (X264 + b"keyint=250 keyint_min=25 intra_refresh=0 ", 250),
        (b"\x00\x00\x00\x05\x67" + X264 + b"keyint=60 ", 60),
        (X265 + b"min-keyint=6 keyint=60 gop-lookahead=0 no-intra-refresh ", 60),
        (X264 + b"keyint=infinite keyint_min=25 ", None),
        (X264 + b"keyint=9999999 ", None),
        (X264 + b"keyint=60 intra_refresh=1 ", None),
        (X265 + b"keyint=60 intra-refresh ", None),
        (X264 + b"keyint=60", None),
        (X264 + b"keyint_min=60 ", None),
        (X264, None),
        (b" keyint=60 ", None),
        (bytes(9000) + X264 + b"keyint=60 ", None),
        (b"", None),
    ],
)
def test_what_is_read(media: bytes, frames: int | None) -> None:
    assert keyframe_interval_max(media) == frames
    assert keyframe_interval_max(memoryview(media)) == frames
