from __future__ import annotations

import dataclasses
import io
import struct
from fractions import Fraction
from typing import TypeVar

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.formats.cmaf.box import box
from streamd.formats.cmaf.fragment import ChunkHead, join_chunk
from tests.support.samples import ReadSample, boxes, read_chunk
from tests.support.track_run import TrackRun, fill, write_chunk

_T = TypeVar("_T")

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
        samples.append(ReadSample(decode_ticks, decode_ticks + offset, duration, is_sync, bytes(payload)[start:]))
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


def words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def written_plainly(sequence_number: int, runs: list[TrackRun]) -> bytes:
    """The chunk, field by field: a column for what differs, and one for offsets that are not all 0."""

    def flags(is_sync: bool) -> int:
        return 0x02000000 if is_sync else 0x01010000

    def traf(run: TrackRun, data_offset: int) -> bytes:
        sizes = [len(payload) - start for payload, start in zip(run.payloads, run.starts, strict=True)]
        offsets = [offset % 2**32 for offset in run.composition_offsets]
        columns = {0x200: sizes}
        if len(set(run.durations)) > 1:
            columns[0x100] = run.durations
        if len(set(run.sync)) > 1:
            columns[0x400] = [flags(is_sync) for is_sync in run.sync]
        if any(offsets):
            columns[0x800] = offsets
        rows = zip(*(columns[bit] for bit in sorted(columns)), strict=True)
        table = b"".join(words(*row) for row in rows)
        return box(
            b"traf",
            box(b"tfhd", words(0x020028, run.track_id, run.durations[0], flags(run.sync[0]))),
            box(b"tfdt", words(1 << 24), run.decode_ticks.to_bytes(8, "big")),
            box(b"trun", words(1 << 24 | 1 | sum(columns), len(sizes), data_offset), table),
        )

    samples = [[payload[start:] for *_, payload, start in run.rows()] for run in runs]
    mfhd = box(b"mfhd", words(0, sequence_number))
    data_offset = 8 + len(mfhd) + sum(len(traf(run, 0)) for run in runs) + 8
    trafs = []
    for run, own in zip(runs, samples, strict=True):
        trafs.append(traf(run, data_offset))
        data_offset += sum(map(len, own))
    return box(b"moof", mfhd, *trafs) + box(b"mdat", *(sample for own in samples for sample in own))


@st.composite
def track_runs(draw: st.DrawFn) -> TrackRun:
    """A run in which each field differs between samples, or does not."""
    count = draw(st.integers(1, 6))

    def column(values: st.SearchStrategy[_T]) -> list[_T]:
        alike = st.builds(lambda value: [value] * count, values)
        return draw(alike | st.lists(values, min_size=count, max_size=count))

    payloads = column(st.binary(max_size=4))
    return TrackRun(
        draw(st.integers(1, 2**31 - 1)),
        draw(st.sampled_from([0, 1, 2**32 - 1, 2**32, 2**64 - 1])),
        column(st.sampled_from([0, 1, 1024, 2**32 - 1])),
        column(st.sampled_from([-(2**31), -1, 0, 1, 2**31 - 1])),
        column(st.booleans()),
        payloads,
        [draw(st.integers(0, len(payload))) for payload in payloads],
    )


class TestEveryByte:
    @given(st.lists(track_runs(), min_size=1, max_size=3), st.sampled_from([0, 1, 2**32 - 1]))
    def test_is_what_it_is_field_by_field(self, runs: list[TrackRun], sequence_number: int) -> None:
        plain = written_plainly(sequence_number, runs)
        assert write_chunk(sequence_number, runs) == plain
        head = ChunkHead()
        fill(head, sequence_number, runs)
        assert head.samples_bytes + len(head.write()) == len(plain)

    @given(st.lists(st.lists(track_runs(), min_size=1, max_size=3), min_size=2, max_size=4))
    def test_has_no_trace_of_the_chunk_before(self, chunks: list[list[TrackRun]]) -> None:
        head = ChunkHead()
        for number, runs in enumerate(chunks):
            fill(head, number, runs)
            assert join_chunk(head.write(), head.payloads, head.starts) == written_plainly(number, runs)

    def test_has_no_trace_of_room_that_is_not_used(self) -> None:
        written = []
        for tracks, samples in ((3, 100), (1, 1)):
            head = ChunkHead()
            head.begin(1, tracks, samples)
            head.begin_run(1, 0)
            head.add(1024, 0, True, b"-aac", 1)
            written.append(head.write())
        assert written[0] == written[1]


class TestOutOfRange:
    """A value that its field does not hold is our own fault, and never wraps in silence."""

    @pytest.mark.parametrize(
        "change",
        [
            {"durations": [2**32, 1]},
            {"durations": [1, 2**32]},
            {"durations": [-1, 1]},
            {"decode_ticks": -1},
            {"decode_ticks": 2**64},
            {"starts": [0, 100]},
        ],
    )
    def test_of_a_run(self, change: dict[str, object]) -> None:
        run = dataclasses.replace(AUDIO_RUN, **change)  # type: ignore[arg-type]  # one field at a time
        with pytest.raises((AssertionError, OverflowError)):
            write_chunk(1, [run])

    @pytest.mark.parametrize("sequence_number", [-1, 2**32])
    def test_of_the_sequence_number(self, sequence_number: int) -> None:
        with pytest.raises(OverflowError):
            write_chunk(sequence_number, [AUDIO_RUN])

    def test_of_the_room(self) -> None:
        head = ChunkHead()
        head.begin(1, 1, 1)
        head.begin_run(1, 0)
        head.add(1024, 0, True, b"a", 0)
        with pytest.raises(IndexError):
            head.add(1024, 0, True, b"a", 0)

    def test_of_a_run_without_samples(self) -> None:
        head = ChunkHead()
        head.begin(1, 1, 1)
        head.begin_run(1, 0)
        with pytest.raises(AssertionError):
            head.write()


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
