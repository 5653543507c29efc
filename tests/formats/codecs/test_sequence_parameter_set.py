from __future__ import annotations

import pytest

from streamd.errors import CodecConfigError
from streamd.formats.codecs.avc import parse
from streamd.formats.codecs.picture_format import NO_ASPECT, NO_COLOURS, Colours, PictureFormat, SampleAspect
from streamd.formats.codecs.sequence_parameter_set import read_picture_format
from tests.support.avc import sequence_parameter_set, ue, usability
from tests.support.flv_media import HEIGHT, WIDTH, h264_only
from tests.support.work import count_calls

HIGH = b"\x64\x00\x1f"
HIGH_444 = b"\xf4\x00\x1f"
PLAIN_CHROMA = ue(1) + ue(0) + ue(0) + "0" + "0"


class TestReadPictureFormat:
    """ITU-T H.264 section 7.3.2.1.1."""

    @pytest.mark.parametrize(
        ("sps", "size"),
        [
            (sequence_parameter_set(80, 45), PictureFormat(1280, 720)),
            (sequence_parameter_set(120, 68, crop=(0, 0, 0, 4)), PictureFormat(1920, 1080)),
            (sequence_parameter_set(120, 34, frame_mbs_only=False, crop=(0, 0, 0, 2)), PictureFormat(1920, 1080)),
            (sequence_parameter_set(80, 45, profile=HIGH, chroma=PLAIN_CHROMA), PictureFormat(1280, 720)),
            (
                sequence_parameter_set(80, 45, profile=HIGH, chroma=ue(2) + ue(2) + ue(2) + "00", crop=(1, 2, 3, 4)),
                PictureFormat(1274, 713),
            ),
            (
                sequence_parameter_set(
                    80, 45, profile=HIGH_444, chroma=ue(3) + "0" + ue(0) + ue(0) + "00", crop=(1, 2, 3, 4)
                ),
                PictureFormat(1277, 713),
            ),
            (
                sequence_parameter_set(
                    80, 45, profile=HIGH_444, chroma=ue(3) + "1" + ue(0) + ue(0) + "00", crop=(1, 2, 3, 4)
                ),
                PictureFormat(1277, 713),
            ),
            (
                sequence_parameter_set(80, 45, profile=HIGH, chroma=ue(0) + ue(0) + ue(0) + "00", crop=(1, 0, 1, 0)),
                PictureFormat(1279, 719),
            ),
            (sequence_parameter_set(80, 45, order_count=ue(0) + ue(4)), PictureFormat(1280, 720)),
            (
                sequence_parameter_set(80, 45, order_count=ue(1) + "0" + ue(7) + ue(8) + ue(2) + ue(1) + ue(2)),
                PictureFormat(1280, 720),
            ),
            (sequence_parameter_set(1055, 132), PictureFormat(16880, 2112)),
        ],
        ids=[
            "720p",
            "1080p",
            "1080i",
            "High",
            "4:2:2",
            "4:4:4",
            "separate planes",
            "monochrome",
            "order count 0",
            "order count 1",
            "as wide as it gets",
        ],
    )
    def test_size(self, sps: bytes, size: PictureFormat) -> None:
        assert read_picture_format(sps) == size

    @pytest.mark.parametrize(
        ("lists", "chroma_format"), [(8, ue(1)), (12, ue(3) + "0")], ids=["8 lists", "12 lists of 4:4:4"]
    )
    def test_scaling_matrices_are_skipped(self, lists: int, chroma_format: str) -> None:
        # Absent; sixteen differences of 0; one that makes the next scale 0, behind which nothing is coded (8 - 8).
        forms = ["0", "1" + ue(0) * 16, "1" + ue(16)]
        matrix = "".join(forms[index % 3] if index < 6 else "1" + ue(16) for index in range(lists))
        chroma = chroma_format + ue(0) + ue(0) + "0" + "1" + matrix
        assert read_picture_format(sequence_parameter_set(80, 45, profile=HIGH, chroma=chroma)) == PictureFormat(
            1280, 720
        )

    def test_emulation_prevention_is_removed(self) -> None:
        sps = sequence_parameter_set(80, 45, order_count=ue(0) + ue(2**27))
        assert b"\x00\x00\x03" in sps
        assert read_picture_format(sps) == PictureFormat(1280, 720)

    def test_what_x264_writes(self) -> None:
        (sps,) = parse(bytes(h264_only()[0].payload)[5:]).sequence_parameter_sets
        assert read_picture_format(sps) == PictureFormat(WIDTH, HEIGHT)

    @pytest.mark.parametrize("length", range(len(sequence_parameter_set(80, 45))))
    def test_truncated_is_an_error(self, length: int) -> None:
        with pytest.raises(CodecConfigError):
            read_picture_format(sequence_parameter_set(80, 45)[:length])

    @pytest.mark.parametrize(
        "sps",
        [
            sequence_parameter_set(1024, 1024),
            sequence_parameter_set(1056, 1),
            sequence_parameter_set(1, 1056),
            sequence_parameter_set(2**31, 2**31),
            sequence_parameter_set(1, 1, crop=(4, 4, 0, 0)),
            sequence_parameter_set(1, 1, crop=(0, 0, 0, 2**31)),
            sequence_parameter_set(80, 45, profile=HIGH, chroma=ue(4) + ue(0) + ue(0) + "00"),
            sequence_parameter_set(80, 45, order_count=ue(1) + "0" + ue(0) + ue(0) + ue(2**32 - 2)),
            b"\x67\x42\xc0\x1f" + b"\x00" * 5000,
            sequence_parameter_set(80, 45, order_count=ue(1) + "0" + ue(0) + ue(0) + ue(256) + ue(0) * 256),
            sequence_parameter_set(80, 45, profile=HIGH, chroma=ue(1) + ue(0) + ue(0) + "0" + "1" + "1" + ue(256)),
        ],
        ids=[
            "16384 x 16384",
            "wide",
            "high",
            "2**31",
            "crop",
            "crop more",
            "chroma 4",
            "order count cycle",
            "zeros",
            "order count cycle of 256",
            "delta_scale of -128 and less",
        ],
    )
    def test_absurd_is_an_error(self, sps: bytes) -> None:
        with pytest.raises(CodecConfigError):
            read_picture_format(sps)


class TestUsability:
    """ITU-T H.264 section E.1.1; what each field means is in ``test_video_usability``."""

    def test_is_read_behind_the_picture_size(self) -> None:
        sps = sequence_parameter_set(45, 36, usability=usability(4, (6, 6, 6), full_range=True))
        colours = Colours(6, 6, 6, is_full_range=True)
        assert read_picture_format(sps) == PictureFormat(720, 576, SampleAspect(16, 11), colours)

    def test_that_is_cut_off_says_nothing(self) -> None:
        whole = sequence_parameter_set(45, 36, usability=usability(4, (6, 6, 6)))
        # The last byte that the size needs is the ninth; from the last byte of the colours on, it is whole.
        pictures = [read_picture_format(whole[:length]) for length in range(9, len(whole) - 1)]
        assert pictures == [PictureFormat(720, 576)] * len(pictures)

    def test_shape_that_nobody_can_show_is_left_aside(self) -> None:
        sps = sequence_parameter_set(45, 36, usability=usability((65_535, 1), (1, 1, 1)))
        assert read_picture_format(sps) == PictureFormat(720, 576, NO_ASPECT, Colours(1, 1, 1))

    def test_there_need_be_none(self) -> None:
        picture = read_picture_format(sequence_parameter_set(45, 36))
        assert (picture.aspect, picture.colours) == (NO_ASPECT, NO_COLOURS)


class TestWork:
    """What the dearest parameter sets cost, in calls: each byte of a message is to be a few."""

    def test_of_the_longest_cycle(self) -> None:
        cycle = ue(1) + "0" + ue(0) + ue(0) + ue(255) + ue(0) * 255
        sps = sequence_parameter_set(80, 45, order_count=cycle)
        assert read_picture_format(sps) == PictureFormat(1280, 720)
        assert count_calls(lambda: read_picture_format(sps)) < 800

    def test_of_the_longest_scaling_matrix(self) -> None:
        chroma = ue(3) + "0" + ue(0) + ue(0) + "0" + "1" + ("1" + ue(0) * 16) * 6 + ("1" + ue(0) * 64) * 6
        sps = sequence_parameter_set(80, 45, profile=HIGH_444, chroma=chroma)
        assert read_picture_format(sps) == PictureFormat(1280, 720)
        assert count_calls(lambda: read_picture_format(sps)) < 4000

    def test_of_codes_without_an_end(self) -> None:
        sps = sequence_parameter_set(80, 45, order_count=ue(1) + "0" + ue(0) * 2 + ue(2**31 - 2) + "1" * 100_000)

        def refuse() -> None:
            try:
                read_picture_format(sps)
            except CodecConfigError:
                return
            raise AssertionError("it was taken")

        assert count_calls(refuse) < 1000
