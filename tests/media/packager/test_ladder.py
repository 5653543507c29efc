from __future__ import annotations

import itertools

import pytest

from streamd.media.packager.cmaf_chunk import CmafChunk
from streamd.media.packager.ladder import Form, Ladder, Variant, decide_form, plan_variants
from streamd.media.packager.segmenter import SegmenterOptions
from streamd.media.packager.timing import PlaylistTiming
from streamd.media.packet import VIDEO_TIMESCALE, Sample, Track, TrackKind

FRAME_TICKS = VIDEO_TIMESCALE // 30
SECOND = VIDEO_TIMESCALE
TIMING = PlaylistTiming(2, 500)


def video(track_id: int) -> Track:
    return Track(track_id, TrackKind.VIDEO, "avc1.640028", VIDEO_TIMESCALE)


def audio(track_id: int, codec: str = "mp4a.40.2") -> Track:
    return Track(track_id, TrackKind.AUDIO, codec, 48_000, frame_ticks=1024)


def named(variants: tuple[Variant, ...]) -> dict[str, tuple[int, ...]]:
    return {variant.name: tuple(track.track_id for track in variant.sources) for variant in variants}


def plan(*tracks: Track) -> tuple[Variant, ...]:
    return plan_variants(tracks, decide_form(tracks))


class TestPlan:
    @pytest.mark.parametrize(
        ("tracks", "variants"),
        [
            ((video(1), audio(2)), {"main": (1, 2)}),
            ((video(1),), {"main": (1,)}),
            ((audio(1),), {"main": (1,)}),
            ((video(1), video(2), audio(3)), {"main": (1, 3), "video1": (2, 3)}),
            (
                (video(1), video(2), audio(3), audio(4)),
                {"main": (1,), "video1": (2,), "audio0": (3,), "audio1": (4,)},
            ),
            ((video(1), audio(2, "ac-3")), {"main": (1,), "audio0": (2,)}),
            ((video(1), audio(2, "mp4a.6B")), {"main": (1,), "audio0": (2,)}),
            ((video(1), audio(2, "Opus")), {"main": (1, 2)}),
            ((audio(1, "ac-3"),), {"main": (1,)}),
            ((audio(1), audio(2)), {"main": (1,), "audio1": (2,)}),
            ((audio(1, "ec-3"), audio(2)), {"main": (2,), "audio1": (1,)}),
            (
                (video(1), audio(2, "ac-3"), audio(3), audio(4, "Opus")),
                {"main": (1,), "audio0": (3,), "audio1": (4,), "audio2": (2,)},
            ),
            ((video(1), audio(2, "mp4a.40.1")), {"main": (1,), "audio0": (2,)}),
            ((video(1), audio(2, "mp4a.40.5")), {"main": (1, 2)}),
        ],
    )
    def test_tracks_are_grouped(self, tracks: tuple[Track, ...], variants: dict[str, tuple[int, ...]]) -> None:
        planned = plan(*tracks)
        assert named(planned) == variants
        assert [variant.name for variant in planned if variant.is_alternative] == [
            name for name in variants if name.startswith("audio")
        ]

    def test_tracks_are_numbered_from_1_in_each_header(self) -> None:
        _, second = plan(video(1), video(2), audio(3))
        assert [track.track_id for track in second.tracks] == [1, 2]
        assert [track.kind for track in second.tracks] == [TrackKind.VIDEO, TrackKind.AUDIO]

    @pytest.mark.parametrize(
        ("form", "tracks", "variants"),
        [
            # Audio beyond the first, and audio that browsers do not decode, joins no muxed stream.
            (Form.MUXED, (video(1), audio(2), audio(3)), {"main": (1, 2)}),
            (Form.MUXED, (video(1), audio(2, "ac-3"), audio(3)), {"main": (1, 3)}),
            (Form.MUXED, (video(1), audio(2, "ac-3")), {"picture0": (1,)}),
            (Form.MUXED, (video(1), video(2)), {"picture0": (1,), "picture1": (2,)}),
            (Form.MUXED, (audio(1),), {"audio0": (1,)}),
            (Form.PICTURES, (video(1), audio(2)), {"main": (1,), "audio0": (2,)}),
            (Form.PICTURES, (audio(1), audio(2)), {"audio0": (1,), "audio1": (2,)}),
            (Form.SOUND, (video(1), audio(2)), {"video0": (1,), "main": (2,)}),
            (
                Form.SOUND,
                (video(1), video(2), audio(3), audio(4)),
                {"video0": (1,), "video1": (2,), "main": (3,), "audio1": (4,)},
            ),
            (Form.SOUND, (video(1),), {"video0": (1,)}),
        ],
    )
    def test_tracks_that_come_later_leave_each_rendition_the_kinds_it_began_with(
        self, form: Form, tracks: tuple[Track, ...], variants: dict[str, tuple[int, ...]]
    ) -> None:
        assert named(plan_variants(tracks, form)) == variants

    @pytest.mark.parametrize(
        ("form", "tracks", "alternatives"),
        [
            (Form.MUXED, (audio(1), audio(2)), ["audio1"]),
            (Form.PICTURES, (video(1), audio(2)), ["audio0"]),
            (Form.PICTURES, (audio(2),), []),
            (Form.SOUND, (video(1), audio(2), audio(3)), ["main", "audio1"]),
            (Form.SOUND, (audio(2), audio(3)), ["audio1"]),
        ],
    )
    def test_sound_is_a_variant_where_there_are_no_pictures(
        self, form: Form, tracks: tuple[Track, ...], alternatives: list[str]
    ) -> None:
        assert [each.name for each in plan_variants(tracks, form) if each.is_alternative] == alternatives

    def test_no_name_has_other_kinds_under_the_same_form(self) -> None:
        sets = [
            (*(video(n) for n in range(1, videos + 1)), *(audio(n, codec) for n in range(11, 11 + sounds)))
            for videos, sounds, codec in itertools.product(range(3), range(3), ("mp4a.40.2", "ac-3"))
            if videos + sounds
        ]
        for form in Form:
            kinds: dict[str, set[TrackKind]] = {}
            for tracks in sets:
                for variant in plan_variants(tracks, form):
                    has = {track.kind for track in variant.sources}
                    assert kinds.setdefault(variant.name, has) == has


def pictures(track_id: int, seconds: int, *, gop: int = 30, delay: int = 0, begin: int = 0) -> list[Sample]:
    """Frames at 30 a second; ``delay`` is how much later each is shown than decoded, and decoding starts earlier."""
    return [
        Sample(
            track_id,
            shown - delay,
            shown,
            (n - begin) % gop == 0,
            bytes(100),
            body_at=0,
            duration_ticks=0,
            is_sync=(n - begin) % gop == 0,
        )
        for n in range(begin, seconds * 30)
        for shown in (SECOND + n * FRAME_TICKS,)
    ]


def sounds(track_id: int, seconds: int) -> list[Sample]:
    return [
        Sample(track_id, 48_000 + n * 1024, 48_000 + n * 1024, True, bytes(10), 0, 0, is_sync=True)
        for n in range(seconds * 48_000 // 1024)
    ]


def cut(
    ladder: Ladder, *tracks: list[Sample], scales: tuple[int, ...] = (VIDEO_TIMESCALE, 48_000)
) -> dict[str, list[CmafChunk]]:
    """Every chunk of samples that are interleaved by decode time."""
    samples = sorted(
        (sample for track in tracks for sample in track),
        key=lambda sample: sample.dts_ticks / (scales[1] if len(sample.payload) == 10 else scales[0]),
    )
    done = ladder.push(samples) + ladder.finish()
    names = dict.fromkeys(name for name, _ in done)
    return {name: [chunk for made, chunk in done if made == name] for name in names}


def starts_s(chunks: list[CmafChunk]) -> list[float]:
    return [round(chunk.start_ticks / chunk.timescale - 1, 2) for chunk in chunks if chunk.starts_segment]


class TestLadder:
    def ladder(self, *tracks: Track, timing: PlaylistTiming | None = None) -> Ladder:
        return Ladder(plan(*tracks), SegmenterOptions(), timing)

    def test_one_variant_is_cut_as_by_its_segmenter(self) -> None:
        made = cut(self.ladder(video(1), audio(2)), pictures(1, 6), sounds(2, 6))
        assert list(made) == ["main"]
        assert starts_s(made["main"]) == [0, 2, 4]

    def test_the_first_decides_for_all_and_no_chunk_comes_before(self) -> None:
        ladder = self.ladder(video(1), video(2), audio(3), audio(4))
        assert ladder.push(pictures(2, 1) + sounds(3, 1)) == []
        made = cut(ladder, pictures(1, 6, gop=90))
        assert ladder.timing == PlaylistTiming(3, 500)
        assert set(made) == {"main", "video1", "audio0"}

    def test_segments_start_together_whatever_the_reordering(self) -> None:
        ladder = self.ladder(video(1), video(2), audio(3))
        made = cut(ladder, pictures(1, 8), pictures(2, 8, delay=2 * FRAME_TICKS), sounds(3, 8))
        assert starts_s(made["main"]) == [0, 2, 4, 6]
        assert starts_s(made["video1"]) == [-0.07, 1.93, 3.93, 5.93]

    def test_a_variant_that_begins_later_falls_in_with_the_others(self) -> None:
        ladder = self.ladder(video(1), video(2))
        made = cut(ladder, pictures(1, 9), pictures(2, 9, begin=30))
        assert starts_s(made["main"]) == [0, 2, 4, 6, 8]
        assert starts_s(made["video1"]) == [1, 2, 4, 6, 8]

    def test_keyframes_that_never_meet_starve_nobody(self) -> None:
        ladder = self.ladder(video(1), video(2))
        made = cut(ladder, pictures(1, 9, gop=60), pictures(2, 9, gop=60, begin=15))
        assert starts_s(made["main"]) == [0, 2, 4, 6, 8]
        assert starts_s(made["video1"]) == [0.5, 2.5, 4.5, 6.5, 8.5]

    def test_pictures_that_are_all_keyframes_make_no_short_segments(self) -> None:
        ladder = self.ladder(video(1), video(2))
        made = cut(ladder, pictures(1, 7, gop=1), pictures(2, 7, gop=1))
        for name in ("main", "video1"):
            starts = starts_s(made[name])
            assert all(later - earlier > 1.9 for earlier, later in itertools.pairwise(starts))

    def test_audio_renditions_start_segments_near_those_of_the_video(self) -> None:
        ladder = self.ladder(video(1), audio(2), audio(3))
        made = cut(ladder, pictures(1, 8), sounds(2, 8), sounds(3, 8))
        starts = starts_s(made["audio0"])
        assert starts == starts_s(made["audio1"])
        assert [abs(start - wanted) <= 0.5 for start, wanted in zip(starts, (0, 2, 4, 6), strict=True)] == [True] * 4

    def test_finish_without_media_of_the_first_gives_nothing(self) -> None:
        ladder = self.ladder(video(1), video(2))
        ladder.push(pictures(2, 2))
        assert ladder.finish() == []

    def test_sequence_numbers_go_on_after_all(self) -> None:
        ladder = self.ladder(video(1), video(2), timing=TIMING)
        made = cut(ladder, pictures(1, 4), pictures(2, 2))
        assert ladder.next_sequence_number == 1 + len(made["main"])

    def test_a_track_in_no_variant_is_passed_over(self) -> None:
        ladder = Ladder(plan_variants((video(1), audio(2), audio(3)), Form.MUXED), SegmenterOptions(), TIMING)
        assert cut(ladder, sounds(3, 4)) == {}
