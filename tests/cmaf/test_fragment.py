from __future__ import annotations

import dataclasses
import io
from fractions import Fraction

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.cmaf.fragment import TrackRun, write_chunk
from tests.support.samples import ReadSample, boxes, read_chunk

VIDEO_RUN = TrackRun(
    track_id=1,
    decode_ticks=900_000,
    durations=[2970, 3060, 2970],
    composition_offsets=[6030, 0, -90],
    sync=[True, False, False],
    payloads=[b"head key frame", b"head p", b"bb"],
    starts=[5, 5, 0],
)
AUDIO_RUN = TrackRun(
    track_id=2,
    decode_ticks=2**33,
    durations=[1024, 1024],
    composition_offsets=[0, 0],
    sync=[True, True],
    payloads=[b"aac one", b"aac two."],
    starts=[0, 0],
)


def expected(run: TrackRun) -> list[ReadSample]:
    samples = []
    decode_ticks = run.decode_ticks
    for duration, offset, is_sync, payload, start in zip(
        run.durations, run.composition_offsets, run.sync, run.payloads, run.starts, strict=True
    ):
        samples.append(ReadSample(decode_ticks, decode_ticks + offset, duration, is_sync, payload[start:]))
        decode_ticks += duration
    return samples


def traf_children(chunk: bytes) -> dict[str, bytes]:
    return dict(boxes(dict(boxes(dict(boxes(chunk))["moof"]))["traf"]))


class TestChunk:
    """ISO/IEC 14496-12 sections 8.8.4 and 8.1.1."""

    @pytest.mark.parametrize("runs", [[VIDEO_RUN], [AUDIO_RUN], [VIDEO_RUN, AUDIO_RUN], [AUDIO_RUN, VIDEO_RUN]])
    def test_a_strict_reader_finds_every_sample(self, runs: list[TrackRun]) -> None:
        read = read_chunk(write_chunk(7, runs))
        assert read.sequence_number == 7
        assert read.tracks == {run.track_id: expected(run) for run in runs}

    def test_it_has_no_styp_so_that_parts_join_to_their_segment(self) -> None:
        assert [name for name, _ in boxes(write_chunk(1, [VIDEO_RUN]))] == ["moof", "mdat"]

    def test_an_empty_sample_is_carried(self) -> None:
        run = dataclasses.replace(AUDIO_RUN, payloads=[b"", b""])
        assert read_chunk(write_chunk(1, [run])).tracks[2] == expected(run)

    @given(
        st.lists(
            st.tuples(
                st.sampled_from([0, 1, 1024, 2**32 - 1]),
                st.sampled_from([-(2**31), -1, 0, 1, 2**31 - 1]),
                st.booleans(),
                st.binary(max_size=4),
            ),
            min_size=1,
            max_size=6,
        ),
        st.sampled_from([0, 1, 2**32 - 1, 2**32, 2**64 - 2**35]),
    )
    def test_any_fields_are_read_back(self, rows: list[tuple[int, int, bool, bytes]], decode_ticks: int) -> None:
        durations, offsets, sync, payloads = map(list, zip(*rows, strict=True))
        run = TrackRun(3, decode_ticks, durations, offsets, sync, payloads, [0] * len(rows))
        assert read_chunk(write_chunk(2**32 - 1, [run])).tracks == {3: expected(run)}


class TestTrun:
    """ISO/IEC 14496-12 section 8.8.8: a column only for what differs between samples."""

    def test_samples_that_share_everything_cost_their_size_alone(self) -> None:
        trun = traf_children(write_chunk(1, [AUDIO_RUN]))["trun"]
        assert trun[:4] == bytes.fromhex("01000201")
        assert len(trun) == 12 + 4 * len(AUDIO_RUN.payloads)

    @pytest.mark.parametrize(
        ("change", "flags"),
        [
            ({"durations": [1024, 1023]}, "01000301"),
            ({"composition_offsets": [0, 1]}, "01000a01"),
            ({"composition_offsets": [5, 5]}, "01000a01"),
            ({"sync": [True, False]}, "01000601"),
            ({"sync": [False, False]}, "01000201"),
        ],
    )
    def test_a_field_that_differs_gets_a_column(self, change: dict[str, list[int]], flags: str) -> None:
        run = dataclasses.replace(AUDIO_RUN, **change)  # type: ignore[arg-type]  # one field at a time
        chunk = write_chunk(1, [run])
        assert traf_children(chunk)["trun"][:4] == bytes.fromhex(flags)
        assert read_chunk(chunk).tracks[2] == expected(run)


class TestLibavformat:
    """The reader that most tools are made of agrees."""

    def test_it_reads_what_was_written(self) -> None:
        header, coded = _header_and_frames()
        runs = [
            TrackRun(
                track_id=1,
                decode_ticks=90_000 + 12_000 * number,
                durations=[2970, 3060, 2970, 3000],
                # Not below zero: libavformat then moves the whole track up (mov.c, dts_shift).
                composition_offsets=[6000, 12000, 90, 0],
                sync=[number == 0, False, False, False],
                payloads=[*coded[4 * number : 4 * number + 4]],
                starts=[0] * 4,
            )
            for number in range(3)
        ]
        audio = [
            TrackRun(2, 48_000 + 2048 * number, [1024] * 2, [0] * 2, [True] * 2, [b"\x21\x00", b"\x21\x01"], [0, 0])
            for number in range(3)
        ]
        chunks = [write_chunk(n + 1, [runs[n], audio[n]]) for n in range(3)]

        with av.open(io.BytesIO(header + b"".join(chunks)), mode="r", format="mov") as container:
            assert container.streams.video[0].time_base == Fraction(1, 90_000)
            found: dict[int, list[tuple[int | None, int | None, int | None, bool, bytes]]] = {0: [], 1: []}
            for packet in container.demux():
                if packet.size:
                    found[packet.stream_index].append(
                        (packet.dts, packet.pts, packet.duration, packet.is_keyframe, bytes(packet))
                    )

        for index, track in enumerate((runs, audio)):
            assert found[index] == [
                (sample.dts_ticks, sample.pts_ticks, sample.duration_ticks, sample.is_sync, sample.payload)
                for run in track
                for sample in expected(run)
            ]


def _header_and_frames() -> tuple[bytes, list[bytes]]:
    """Return a CMAF header of libavformat's for H.264 and AAC, and twelve coded frames."""
    output = io.BytesIO()
    options = {"movflags": "empty_moov+default_base_moof+frag_keyframe+skip_trailer"}
    with av.open(output, "w", format="mp4", options=options) as container:
        video = container.add_stream("libx264", rate=30, options={"bf": "0", "preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        video.codec_context.time_base = Fraction(1, 90_000)
        container.add_stream("aac", rate=48_000)
        frames = []
        for index in range(12):
            frame = av.VideoFrame(64, 64, "yuv420p")
            frame.pts, frame.time_base = index * 3000, Fraction(1, 90_000)
            frames += video.encode(frame)
        frames += video.encode(None)
        container.start_encoding()
    header = b"".join(
        len(content + b"12345678").to_bytes(4, "big") + name.encode() + content
        for name, content in boxes(output.getvalue())
        if name in ("ftyp", "moov")
    )
    return header, [bytes(packet) for packet in frames]
