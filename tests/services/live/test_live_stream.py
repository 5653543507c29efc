"""The life of one stream without a socket: tags in, and what its outputs, its registry and its operator are told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from streamd.errors import DemuxError, LocalStateError, MediaLimitError, PublishError
from streamd.formats.flv.tag import FlvTag, TagType
from streamd.formats.payload import first_bytes
from streamd.media.packet import TrackKind
from streamd.services.keys.admission import Admission
from streamd.services.keys.records import PublishLimits
from streamd.services.live.health import HealthCode, HealthStatus
from streamd.services.live.hls_output import HlsOutput
from streamd.services.live.life import Life
from streamd.services.live.live_stream import LiveStream
from streamd.services.live.outputs import Output, Outputs
from streamd.services.live.packaging import Continuation
from streamd.services.live.publisher import Broadcaster, EndReason
from streamd.services.live.push_outputs import FlvOutput
from streamd.services.live.stream_options import StreamLimits, StreamOptions
from tests.support.flv_media import h264_aac, h264_only
from tests.support.ingest import eventually
from tests.support.line_room import later
from tests.support.output_context import EPOCH, NUMBERING, output_context
from tests.support.recording_output import RecordingOutput
from tests.support.stand_in_publisher import StandInPublisher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamd.services.live.live_stream import Place

from streamd.clock import ManualClock
from streamd.media.packager.reload import PartNumber
from streamd.media.packager.rendition import RenditionOptions
from streamd.media.packager.segmenter import SegmenterOptions
from streamd.services.live.waiters import Awaited
from streamd.services.metrics import Metrics

pytestmark = pytest.mark.asyncio

ADMISSION = Admission("key", "alice")


class StandInPlace:
    """Something that is kept free."""

    def __init__(self) -> None:
        self.is_released = False

    def release(self) -> None:
        self.is_released = True


class Stage:
    """A stream with outputs of the test's choice, and all that it tells those above it."""

    def __init__(
        self,
        *outputs: Output,
        publisher: StandInPublisher | None = None,
        is_restored: bool = False,
        continuation: Continuation | None = None,
        limits: StreamLimits | None = None,
        claim: Place | None = None,
        place: Place | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.publisher = publisher or StandInPublisher()
        self.told: list[str] = []
        limits = limits or StreamLimits()
        self.broadcaster = Broadcaster(
            Admission("key", "alice"),
            None if is_restored else self.publisher,
            bitrate_kbps_max=limits.bitrate_kbps_max,
            picture_pixels_max=limits.picture_pixels_max,
        )
        found = Outputs("alice")
        for output in outputs:
            found.add(output)
        self.stream = LiveStream(
            "alice",
            self.broadcaster,
            found,
            live_since=EPOCH,
            numbering=NUMBERING,
            options=StreamOptions(SegmenterOptions(), RenditionOptions(), limits),
            clock=self.clock,
            metrics=self.metrics,
            on_failed=self.end,
            on_health=lambda stream: self.told.append(f"health {stream.health.status.value}"),
            on_playable=lambda _: self.told.append("playable"),
            continuation=continuation,
            claim=claim,
            place=place,
        )

    def end(self, stream: LiveStream, reason: EndReason) -> None:
        self.told.append(f"failed {reason.value}")
        stream.end(reason)

    async def feed(self, tags: Sequence[FlvTag]) -> None:
        """Have tags received, and whatever queues packaged."""
        self.stream.receive_tags(tags)
        await eventually(lambda: not self.stream.when_open(lambda: None))

    async def feed_in_real_time(self, tags: Sequence[FlvTag]) -> None:
        """The same, a second at a time, with a look each second."""
        for second in range(tags[-1].timestamp_ms // 1000 + 1):
            part = [tag for tag in tags if tag.timestamp_ms // 1000 == second]
            await self.feed(part)
            self.clock.advance(1)
            self.stream.look()


class TestFeeding:
    async def test_outputs_are_started_and_fed_frames_and_parts_and_told_of_segments(self) -> None:
        output = RecordingOutput()
        stage = Stage(output)
        media = h264_aac(4)
        await stage.feed(media)
        assert output.calls[0] == "start"
        assert output.calls.count("start") == 1
        (tracks,) = output.starts
        assert [variant.name for variant in tracks.variants] == ["main"]
        assert not tracks.begins_anew
        # All from the first keyframe on.
        assert output.tags == [*media[3:]]
        assert len(output.samples) == len(output.tags)
        parts = output.parts["main"]
        assert parts[0].starts_segment
        assert output.ended_segments["main"] > 2
        assert len(output.timings) == 1

    async def test_a_change_of_tracks_starts_them_anew_and_a_leap_does_not(self) -> None:
        output = RecordingOutput()
        stage = Stage(output)
        await stage.feed(h264_aac(4))
        await stage.feed(later(h264_aac(4)[2:], 4_000 + 3_600_000))
        assert output.calls.count("note_leap") == 1
        assert output.calls.count("start") == 1
        await stage.feed(later(h264_only(2, width=320), 8_000 + 3_600_000))
        assert output.calls.count("start") == 2
        assert not output.starts[1].begins_anew
        assert output.starts[1].direct.sources[0].width == 320

    async def test_it_is_playable_with_the_first_part_and_says_so_once(self) -> None:
        output = RecordingOutput()
        stage = Stage(output)
        playable = [stage.stream.is_playable]
        await stage.feed(h264_aac(4))
        playable.append(stage.stream.is_playable)
        assert playable == [False, True]
        await stage.feed(later(h264_aac(4)[2:], 4_000))
        assert stage.told == ["playable"]

    async def test_who_gets_each_frame_lets_none_wait_in_the_kernel(self) -> None:
        class Following(RecordingOutput):
            is_followed = False

            @property
            def follows_frames(self) -> bool:
                return self.is_followed

        output = Following()
        stage = Stage(output)
        await stage.feed(h264_aac(4)[:-5])
        assert stage.stream.awaited_ms > 0
        output.is_followed = True
        assert stage.stream.awaited_ms == 0

    async def test_what_it_holds_is_what_its_outputs_do_and_what_waits_for_a_part(self) -> None:
        output = RecordingOutput()
        stage = Stage(output)
        await stage.feed(h264_aac(4))
        before = stage.stream.held_bytes
        output.queued = 1_000_000
        assert stage.stream.held_bytes == before + 1_000_000


class TestAway:
    async def test_a_publisher_that_is_lost_is_waited_for(self) -> None:
        output = RecordingOutput()
        stage = Stage(output)
        await stage.feed(h264_aac(4))
        parts = len(output.parts["main"])
        stage.clock.advance(5)
        stage.stream.lose_publisher()
        stream = stage.stream
        assert (stream.life, stream.is_live, stream.lost_at) == (Life.AWAY, True, stage.clock.monotonic())
        # What was sent is packaged, and its segment complete.
        assert len(output.parts["main"]) == parts + 1
        assert output.calls[-1] == "end_segment"
        assert output.ended_segments["main"] == parts + 1
        assert [finding.code for finding in stream.health.findings] == [HealthCode.PUBLISHER_AWAY]

    async def test_one_that_comes_back_goes_on_behind_a_discontinuity_with_timestamps_of_its_own(self) -> None:
        output = RecordingOutput()
        stage = Stage(output)
        await stage.feed(h264_aac(4))
        stage.stream.lose_publisher()
        parts = len(output.parts["main"])
        again = StandInPublisher("192.0.2.8")
        stage.stream.resume(ADMISSION, again)
        assert (stage.stream.life, stage.stream.lost_at) == (Life.LIVE, None)
        await stage.feed(h264_aac(4))
        assert [start.begins_anew for start in output.starts] == [False, True]
        assert output.parts["main"][parts].is_discontinuous
        assert len(output.timings) == 1
        summary = stage.stream.summary()
        assert (summary.publisher_address, stage.told) == ("192.0.2.8", ["playable"])

    @pytest.mark.parametrize("away_s", [0, 0.4, 3, 25])
    async def test_decode_times_go_on_as_far_as_time_went(self, away_s: float) -> None:
        output = RecordingOutput()
        stage = Stage(output)
        await stage.feed(h264_aac(4))
        stage.stream.lose_publisher()
        before = output.parts["main"][-1]
        stage.clock.advance(away_s)
        stage.stream.resume(ADMISSION, StandInPublisher())
        await stage.feed(later(h264_aac(4), 99_000))
        after = next(part for part in output.parts["main"] if part.is_discontinuous)
        gap_s = (after.start_ticks - before.start_ticks - before.duration_ticks) / 90_000
        assert gap_s == pytest.approx(max(1, away_s), abs=0.1)

    async def test_it_may_be_lost_again_before_anything_has_come(self) -> None:
        output = RecordingOutput()
        stage = Stage(output)
        await stage.feed(h264_aac(4))
        for _ in range(3):
            stage.stream.lose_publisher()
            stage.stream.resume(ADMISSION, StandInPublisher())
        await stage.feed(h264_aac(4))
        assert stage.stream.is_playable
        assert len(output.timings) == 1

    async def test_nothing_is_measured_meanwhile(self) -> None:
        stage = Stage()
        await stage.feed_in_real_time(h264_aac(8))
        stage.stream.lose_publisher()
        for _ in range(10):
            stage.clock.advance(1)
            stage.stream.look()
        assert stage.stream.health.status is HealthStatus.NO_DATA
        assert stage.stream.summary().bitrate_bps == 0

    async def test_one_that_another_server_left_waits_and_is_not_told_of_as_new(self) -> None:
        output = RecordingOutput()
        first = Stage(RecordingOutput())
        await first.feed(h264_aac(4))
        left = first.stream._line.continuation
        assert left is not None
        stage = Stage(output, is_restored=True, continuation=left)
        assert (stage.stream.life, stage.stream.is_playable) == (Life.AWAY, True)
        stage.stream.resume(ADMISSION, StandInPublisher())
        await stage.feed(h264_aac(4))
        assert output.timings == {left.timing}
        assert output.starts[0].begins_anew
        assert stage.told == []

    @pytest.mark.parametrize("turn", ["lose", "resume"])
    async def test_what_cannot_be_is_a_fault_of_ours(self, turn: str) -> None:
        stage = Stage()
        if turn == "lose":
            stage.stream.end(EndReason.KICKED)
            with pytest.raises(LocalStateError):
                stage.stream.lose_publisher()
        else:
            with pytest.raises(LocalStateError):
                stage.stream.resume(ADMISSION, StandInPublisher())


class TestEnd:
    @pytest.mark.parametrize("reason", list(EndReason))
    async def test_it_ends_once_and_its_outputs_with_it(self, reason: EndReason) -> None:
        output = RecordingOutput()
        stage = Stage(output)
        await stage.feed(h264_aac(4))
        for again in (reason, EndReason.KICKED):
            stage.stream.end(again)
        assert (stage.stream.life, stage.stream.end_reason) == (Life.ENDED, reason)
        assert output.calls[-2:] == ["end_segment", "end"]
        assert stage.stream.forget_at == stage.clock.monotonic() + 3.0
        stage.stream.release()
        assert output.calls[-1] == "release"

    async def test_from_away_nothing_more_is_packaged(self) -> None:
        output = RecordingOutput()
        stage = Stage(output)
        await stage.feed(h264_aac(4))
        stage.stream.lose_publisher()
        before = list(output.calls)
        stage.stream.end(EndReason.CONNECTION_LOST)
        assert output.calls == [*before, "end"]

    async def test_what_comes_after_it_goes_nowhere(self) -> None:
        output = RecordingOutput()
        stage = Stage(output)
        await stage.feed(h264_aac(4))
        stage.stream.end(EndReason.KICKED)
        stage.stream.receive_tags(later(h264_aac(4), 4_000))
        assert output.calls[-1] == "end"

    async def test_what_was_kept_free_is_given_back(self) -> None:
        claim, place = StandInPlace(), StandInPlace()
        stage = Stage(claim=claim, place=place)
        stage.stream.end(EndReason.GOODBYE)
        assert claim.is_released
        assert place.is_released

    async def test_what_is_kept_free_for_who_comes_back_stands_in_the_place_of_what_was(self) -> None:
        claim, place, new_claim = StandInPlace(), StandInPlace(), StandInPlace()
        stage = Stage(claim=claim, place=place)
        stage.stream.lose_publisher()
        stage.stream.resume(ADMISSION, StandInPublisher(), new_claim, None)
        assert (claim.is_released, place.is_released, new_claim.is_released) == (True, False, False)
        stage.stream.end(EndReason.GOODBYE)
        assert place.is_released
        assert new_claim.is_released


class TestFailing:
    @pytest.mark.parametrize(
        ("error", "reason", "word"),
        [
            (DemuxError("cannot be read"), EndReason.MEDIA_ERROR, "The stream has ended: cannot be read"),
            (
                MediaLimitError("too much", limit="bitrate_kbps_max"),
                EndReason.OVER_LIMIT,
                "The stream has ended: too much",
            ),
            (ValueError("a bug"), EndReason.INTERNAL_ERROR, PublishError.description),
        ],
    )
    async def test_the_publisher_is_told_what_is_theirs_to_know(
        self, error: Exception, reason: EndReason, word: str
    ) -> None:
        stage = Stage()
        stage.stream.fail(error)
        assert stage.told == [f"failed {reason.value}"]
        assert stage.publisher.kicks == [word]

    async def test_a_picture_that_is_too_large(self) -> None:
        output = RecordingOutput()
        stage = Stage(output, limits=StreamLimits(picture_pixels_max=1000))
        await stage.feed(h264_aac(2))
        await eventually(lambda: not stage.stream.is_live)
        assert stage.told == ["failed over_limit"]
        assert "start" not in output.calls

    async def test_bits_a_second_as_the_operator_has_it_now(self) -> None:
        stage = Stage()
        await stage.feed_in_real_time(h264_aac(8))
        assert stage.stream.is_live
        stage.broadcaster.admission.limits = PublishLimits(bitrate_kbps_max=1)
        stage.stream.look()
        assert stage.told[-1] == "failed over_limit"

    async def test_a_limit_that_an_output_meets(self) -> None:
        limit = MediaLimitError("a segment without end", limit="window_bytes_max")
        stage = Stage(RecordingOutput(fails_at="take_part", error=limit))
        await stage.feed(h264_aac(4))
        assert stage.told == ["failed over_limit"]

    @pytest.mark.parametrize(
        "point", ["start", "take_tags", "take_samples", "take_part", "end_segment", "note_leap", "end", "look"]
    )
    async def test_an_output_that_fails_is_dropped_alone(self, point: str, caplog: pytest.LogCaptureFixture) -> None:
        broken, other = RecordingOutput(name="broken", fails_at=point), RecordingOutput(name="other")
        stage = Stage(broken, other)
        media = [*h264_aac(4), *later(h264_aac(4)[2:], 4_000 + 3_600_000)]
        await stage.feed(media)
        stage.clock.advance(1)
        stage.stream.look()
        found = [finding for finding in stage.stream.health.findings if finding.code is HealthCode.OUTPUT_FAILED]
        assert [("broken" in finding.message) for finding in found] == ([True] if point != "end" else [])
        assert stage.told == ["playable", *(["health bad"] if point != "end" else [])]
        assert stage.stream.is_live
        stage.stream.end(EndReason.GOODBYE)
        assert stage.stream.outputs.failed.keys() == {"broken"}
        assert [record.message for record in caplog.records].count("output.failed") == 1
        assert "stream.unfinished" not in [record.message for record in caplog.records]
        sound = RecordingOutput()
        alone = Stage(sound)
        await alone.feed(media)
        alone.stream.end(EndReason.GOODBYE)
        assert other.calls == sound.calls

    async def test_a_line_that_cannot_be_finished_ends_its_outputs_all_the_same(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        output = RecordingOutput()
        stage = Stage(output)
        await stage.feed(h264_aac(4))

        class Broken:
            held_bytes = 0

            def finish(self) -> None:
                raise ValueError("a bug")

        monkeypatch.setattr(stage.stream, "_line", Broken())
        stage.stream.end(EndReason.GOODBYE)
        assert output.calls[-1] == "end"


class TestOperator:
    async def test_the_summary_tells_what_arrives(self) -> None:
        stage = Stage(FlvOutput(output_context()))
        await stage.feed_in_real_time(h264_aac(8))
        summary = stage.stream.summary()
        assert (summary.name, summary.key_id, summary.live_since) == ("alice", "key", EPOCH)
        assert (summary.width, summary.height) == (160, 96)
        assert summary.frame_rate == pytest.approx(30, rel=0.05)
        assert summary.viewers == {"flv": 0}
        assert summary.bitrate_bps > 0
        assert stage.stream.tracks[0].codec == summary.codecs[0]

    async def test_a_turn_of_its_health_is_told(self) -> None:
        stage = Stage()
        await stage.feed_in_real_time(h264_aac(6))
        stage.clock.advance(10)
        for _ in range(20):
            stage.clock.advance(1)
            stage.stream.look()
        assert "health bad" in stage.told

    @pytest.mark.parametrize(
        "record",
        ["118004c4010020000d4c61766335392e33372e31303056e500", "118004c844002000c40d4c61766335392e33372e31303056e500"],
        ids=["2.1", "5.1(side)"],
    )
    async def test_sound_that_makes_browsers_refuse_the_picture_is_left_out_and_told_of(self, record: str) -> None:
        output = RecordingOutput()
        stage = Stage(output)
        media = [
            replace(tag, payload=b"\xaf\x00" + bytes.fromhex(record))
            if first_bytes(tag.payload)[:2] == b"\xaf\x00"
            else tag
            for tag in h264_aac(12)
        ]
        await stage.feed_in_real_time(media)
        (tracks,) = output.starts
        assert [track.kind for track in tracks.direct.sources] == [TrackKind.VIDEO]
        assert [track.kind for variant in tracks.variants for track in variant.sources] == [TrackKind.VIDEO]
        findings = {finding.code: finding for finding in stage.stream.health.findings}
        assert "program config element" in findings[HealthCode.TRACK_REFUSED].message
        assert "Stereo" in findings[HealthCode.TRACK_REFUSED].advice
        assert "finding says why" in findings[HealthCode.AUDIO_MISSING].advice

    @pytest.mark.parametrize("leap_ms", [3_600_000, -3_600_000, 2**31])
    async def test_one_leap_of_the_publishers_clock_is_no_fault_of_its_keyframes(self, leap_ms: int) -> None:
        stage = Stage()
        media = h264_aac(16, gop=60)
        for second in range(16):
            tags = [tag for tag in media if tag.timestamp_ms // 1000 == second]
            await stage.feed(later(tags, leap_ms if second >= 7 else 0))
            stage.clock.advance(1)
            stage.stream.look()
        codes = stage.stream.health.codes
        assert HealthCode.KEYFRAME_INTERVAL_LONG not in codes
        assert HealthCode.KEYFRAME_INTERVAL_IRREGULAR not in codes
        assert stage.stream.health.is_healthy
        assert not [word for word in stage.told if "bad" in word]

    async def test_what_is_dropped_is_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        stage = Stage()
        for _ in range(3):
            await stage.feed([FlvTag(TagType.VIDEO, 0, b"\x91vp08" + bytes(20))])
        (dropping,) = [record for record in caplog.records if record.message == "stream.dropping"]
        assert (vars(dropping)["stream"], vars(dropping)["reason"]) == ("alice", "unsupported_codec")
        assert stage.stream.summary().tags_dropped == 3

    async def test_its_record_is_about_its_playlists(self) -> None:
        context = output_context()
        stage = Stage(HlsOutput(context))
        before = stage.stream.record, stage.stream.has_used_numbers
        assert before == (None, False)
        await stage.feed(h264_aac(4))
        record = stage.stream.record
        assert record is not None
        assert (record.name, record.key_id, record.variants, record.audio) == ("alice", "key", ("main",), ())
        assert stage.stream.has_used_numbers
        assert stage.stream.next_numbering.msn > NUMBERING.msn
        assert stage.stream.used_until_s == stage.stream.next_numbering.seconds
        # It is asked for every second.
        assert stage.stream.record is record

    async def test_without_playlists_there_is_no_record_and_no_number_is_used(self) -> None:
        stage = Stage(RecordingOutput())
        await stage.feed(h264_aac(4))
        assert stage.stream.record is None
        assert not stage.stream.has_used_numbers
        assert stage.stream.next_numbering == NUMBERING
        assert stage.stream.used_until_s == NUMBERING.seconds


async def test_viewers_are_dismissed_and_the_stream_lives_on() -> None:
    context = output_context()
    hls, flv = HlsOutput(context), FlvOutput(context)
    stage = Stage(hls, flv)
    await stage.feed(h264_aac(4))
    waiting = asyncio.create_task(hls.waiters.wait(_far(), 60))
    await asyncio.sleep(0)
    stage.stream.dismiss_viewers()
    assert await waiting
    assert not flv.fanout.is_open
    assert stage.stream.is_live
    assert hls.presentation is not None
    assert not hls.presentation.renditions["main"].is_ended


def _far() -> Awaited:
    return Awaited("main", PartNumber(10**9))
