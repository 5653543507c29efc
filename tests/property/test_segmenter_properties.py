from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamd.media.packager.cmaf_chunk import CmafChunk
from streamd.media.packager.segmenter import Irregularity, Segmenter, SegmenterOptions
from streamd.media.packet import MediaPacket, Sample
from streamd.media.timeline import Timeline
from tests.support.samples import (
    AUDIO,
    VIDEO,
    assert_playable,
    audio_packets,
    read_chunk,
    segments,
    video_packets,
)

FRAME_RATES = [Fraction(rate) for rate in (1, 2, 3, 5, 7, 10, 12, 15, 24, 25, 30, 48, 50, 60, 120)] + [
    Fraction(rate * 1000, 1001) for rate in (24, 30, 60)
]


@dataclass(frozen=True)
class Broadcast:
    """How an encoder behaves; small numbers are good behaviour, so that failures shrink to one fault."""

    frame_rate: Fraction = Fraction(30)
    gop_frames: int = 60
    duration_s: int = 8
    composition_frames: int = 0
    jitter_ms: int = 0
    audio_start_ms: int = 0
    audio_delay_ms: int = 0
    video_pause_s: tuple[int, int] = (0, 0)
    audio_pause_s: tuple[int, int] = (0, 0)
    dropped_frames: frozenset[int] = frozenset()
    part_target_ms: int = 500
    segment_target_ms: int = 2000

    def packets(self) -> list[MediaPacket]:
        frame_ms = int(1000 / self.frame_rate)
        video = []
        for index, packet in enumerate(video_packets(self.frame_rate, self.duration_s, self.gop_frames, start_ms=1000)):
            # A repeatable spread, from none to jitter_ms, that never changes the order.
            late_ms = min(index * 7919 % (self.jitter_ms + 1), max(frame_ms - 1, 0))
            dts_ms = packet.dts_ms + late_ms
            if index and index in self.dropped_frames:
                continue
            if self.video_pause_s[0] * 1000 <= dts_ms - 1000 < sum(self.video_pause_s) * 1000:
                continue
            # I P B B: the reordering of a stream with two B-frames, in presentation order of the wire.
            reorder = (0, 3, 0, 0)[index % 4] if self.composition_frames else 0
            pts_ms = dts_ms + frame_ms * (self.composition_frames + reorder)
            video.append((dts_ms, MediaPacket(1, dts_ms, pts_ms, packet.is_keyframe, packet.payload, 0)))
        audio = [
            (packet.dts_ms + self.audio_delay_ms, packet)
            for packet in audio_packets(duration_s=self.duration_s, start_ms=1000 + self.audio_start_ms)
            if not self.audio_pause_s[0] * 1000 <= packet.dts_ms - 1000 < sum(self.audio_pause_s) * 1000
        ]
        return [packet for _, packet in sorted(video + audio, key=lambda arrival: arrival[0])]


pauses = st.just((0, 0)) | st.tuples(st.integers(1, 6), st.integers(1, 4))
broadcasts = st.builds(
    Broadcast,
    frame_rate=st.sampled_from(FRAME_RATES),
    gop_frames=st.integers(1, 400),
    duration_s=st.integers(1, 14),
    composition_frames=st.integers(0, 3),
    jitter_ms=st.sampled_from([0, 1, 5, 40]),
    audio_start_ms=st.integers(-900, 900),
    audio_delay_ms=st.integers(-400, 400),
    video_pause_s=pauses,
    audio_pause_s=pauses,
    dropped_frames=st.frozensets(st.integers(1, 100), max_size=8),
    part_target_ms=st.sampled_from([200, 333, 500, 1000]),
    segment_target_ms=st.sampled_from([1000, 2000, 4000]),
)


@settings(max_examples=60, deadline=None)
@given(broadcasts)
@example(Broadcast(video_pause_s=(3, 4), gop_frames=30))
@example(Broadcast(frame_rate=Fraction(30000, 1001), jitter_ms=1, part_target_ms=333))
@example(Broadcast(gop_frames=400, duration_s=14))
def test_any_broadcast_is_cut_into_a_playable_stream(broadcast: Broadcast) -> None:
    timeline = Timeline([VIDEO, AUDIO])
    segmenter = Segmenter([VIDEO, AUDIO], SegmenterOptions(broadcast.part_target_ms, broadcast.segment_target_ms))
    samples: list[Sample] = []
    chunks: list[CmafChunk] = []
    for packet in broadcast.packets():
        sample = timeline.place(packet)
        if sample is not None:
            samples.append(sample)
            chunks += segmenter.push(sample)
            assert segmenter.timing is not None or not chunks
    chunks += segmenter.finish()

    assert segmenter.timing is not None
    assert_playable(samples, chunks, segmenter.timing)
    excuses = {Irregularity.LONG_GOP, Irregularity.LEAD_PAUSE, Irregularity.BRIDGED_GAP, Irregularity.TIMELINE_GAP}
    if not excuses & set(segmenter.irregularities):
        for segment in segments(chunks):
            video = read_chunk(segment[0].content.join()).tracks.get(VIDEO.track_id)
            assert video is None or video[0].is_sync


@settings(max_examples=30, deadline=None)
@given(
    frame_rate=st.sampled_from([rate for rate in FRAME_RATES if rate >= 5]),
    composition_ms=st.sampled_from([0, 67, 133]),
)
def test_with_a_steady_cadence_no_frame_waits_for_the_next_one(frame_rate: Fraction, composition_ms: int) -> None:
    segmenter = Segmenter([VIDEO], SegmenterOptions())
    timeline = Timeline([VIDEO])
    for packet in video_packets(frame_rate, 12, int(2 * frame_rate), composition_ms=composition_ms):
        sample = timeline.place(packet)
        assert sample is not None
        was_decided = segmenter.timing is not None
        for chunk in segmenter.push(sample):
            content = read_chunk(chunk.content.join()).tracks[VIDEO.track_id]
            if was_decided:
                is_complete = content[-1].payload == sample.payload
                # Only what a keyframe ends before its time cannot be known before that keyframe.
                assert is_complete or sample.is_keyframe
