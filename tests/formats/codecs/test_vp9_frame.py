from __future__ import annotations

import pytest

from streamd.errors import CodecConfigError
from streamd.formats.codecs.codec import AV1, H264, VP9, read_picture_format
from streamd.formats.codecs.picture_format import Colours, PictureFormat
from streamd.formats.codecs.vp9_frame import read_picture_format as read_vp9
from tests.support.codec_media import VideoTrack, encoded

VPCC_PQ = bytes.fromhex("010000000233a20910090000")


def frame(
    profile: int = 0, colours: str = "001" + "0", *, width: int = 1280, height: int = 720, head: str = ""
) -> bytes:
    """A keyframe's uncompressed header, up to its size."""
    bits = "10" + f"{profile & 1}{profile >> 1}" + ("0" if profile == 3 else "")
    bits += head or "0" + "0" + "1" + "0" + f"{0x498342:024b}"
    bits += colours + f"{width - 1:016b}{height - 1:016b}"
    return int(bits.ljust(160, "0"), 2).to_bytes(20, "big")


def keyframe_of(encoder: str) -> bytes:
    payloads = (bytes(tag.payload) for tag in encoded((VideoTrack(encoder),), (), 2))
    # Enhanced RTMP: coded frames, without a composition time.
    return next(payload[5:] for payload in payloads if payload[0] & 0x0F in (1, 3))


class TestReadPictureFormat:
    """VP9 specification 0.6, section 6.2."""

    @pytest.mark.parametrize(
        ("profile", "colours"),
        [
            (0, "001" + "0"),
            (1, "001" + "0" + "01" + "0"),
            (1, "111" + "0"),
            (2, "0" + "001" + "1"),
            (2, "1" + "111"),
            (3, "1" + "001" + "0" + "00" + "0"),
            (3, "0" + "111" + "0"),
        ],
    )
    def test_of_every_profile(self, profile: int, colours: str) -> None:
        picture = read_vp9(frame(profile, colours))
        assert (picture.width, picture.height) == (1280, 720)

    def test_what_libvpx_writes(self) -> None:
        assert read_vp9(keyframe_of("libvpx-vp9")) == PictureFormat(320, 192)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            frame()[:8],
            b"\x40" + frame()[1:],
            frame(head="1"),
            frame(head="01"),
            frame(head="0010" + "1" * 24),
            frame(width=16_385, height=16),
            frame(width=16, height=16_385),
            frame(width=8_192, height=8_192),
        ],
        ids=["empty", "cut off", "marker", "shown again", "inter", "sync code", "wide", "high", "large"],
    )
    def test_what_is_none_is_an_error(self, data: bytes) -> None:
        with pytest.raises(CodecConfigError):
            read_vp9(data)


class TestColours:
    """VP9 specification 0.6, section 7.2.2."""

    @pytest.mark.parametrize(
        ("profile", "coded", "colours"),
        [
            (0, "000" + "0", Colours()),
            (0, "001" + "1", Colours(matrix=5, is_full_range=True)),
            (0, "010" + "0", Colours(matrix=1)),
            (0, "011" + "0", Colours(matrix=6)),
            (0, "100" + "0", Colours(matrix=7)),
            (2, "0" + "101" + "0", Colours(matrix=9)),
            (0, "110" + "0", Colours()),
            (1, "111" + "0", Colours(matrix=0, is_full_range=True)),
        ],
        ids=["unknown", "601, full", "709", "170M", "240M", "2020", "reserved", "RGB"],
    )
    def test_of_the_frame(self, profile: int, coded: str, colours: Colours) -> None:
        assert read_vp9(frame(profile, coded)) == PictureFormat(1280, 720, colours=colours)

    def test_primaries_and_transfer_are_the_records(self) -> None:
        said = Colours(9, 16, 9, is_full_range=True)
        assert read_vp9(frame(colours="010" + "0"), said).colours == Colours(9, 16, 1)
        assert read_vp9(frame(colours="000" + "0"), said).colours == Colours(9, 16, 9)


class TestByCodec:
    def test_of_each(self) -> None:
        said = PictureFormat(1280, 720, colours=Colours(9, 16, 5))
        assert read_picture_format(VP9, VPCC_PQ, frame()) == said
        assert read_picture_format(AV1, b"", keyframe_of("libsvtav1")) == PictureFormat(320, 192)

    @pytest.mark.parametrize("codec", [VP9, AV1, H264])
    def test_where_it_is_not_said(self, codec: str) -> None:
        assert read_picture_format(codec, VPCC_PQ, b"\xff" * 40) is None
