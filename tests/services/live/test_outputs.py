from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from streamd.errors import MediaLimitError, OutputError
from streamd.media.packager.timing import PlaylistTiming
from streamd.services.live.hls_output import HlsOutput
from streamd.services.live.outputs import Output, OutputContext, Outputs, PartOutput, SampleOutput, TagOutput
from streamd.services.live.push_outputs import FlvOutput, Mp4Output
from tests.support.chunk_feeder import ChunkFeeder
from tests.support.flv_media import h264_aac
from tests.support.output_context import EPOCH, output_context, tracks_of
from tests.support.recording_output import RecordingOutput

TIMING = PlaylistTiming(2, 500)
TAGS = h264_aac(1)
(CHUNK,) = ChunkFeeder().segment(45_000)

# All that a stream does to its outputs, in the order of a life.
LIFE: dict[str, Callable[[Outputs], object]] = {
    "start": lambda outputs: outputs.start(tracks_of("main")),
    "take_tags": lambda outputs: outputs.take_tags(TAGS),
    "take_part": lambda outputs: outputs.take_part("main", CHUNK, TIMING),
    "end_segment": lambda outputs: outputs.end_segment("main"),
    "take_samples": lambda outputs: outputs.take_samples(()),
    "note_leap": lambda outputs: outputs.note_leap(EPOCH),
    "end": lambda outputs: outputs.end(),
    "release": lambda outputs: outputs.release(),
}


def outputs_with(*outputs: Output) -> Outputs:
    found = Outputs("alice")
    for output in outputs:
        found.add(output)
    return found


def live_through(outputs: Outputs) -> None:
    for step in LIFE.values():
        step(outputs)


def look_at(outputs: Outputs) -> None:
    outputs.look(0.0)


def failures(caplog: pytest.LogCaptureFixture) -> list[tuple[object, object]]:
    lines = [record for record in caplog.records if record.message == "output.failed"]
    return [(getattr(record, "output", None), record.exc_info is not None) for record in lines]


class Sluggish(RecordingOutput):
    """One that may queue a thousand bytes."""

    queued_bytes_max = 1000


class TestFeeding:
    def test_each_hears_of_everything_in_order(self) -> None:
        first, second = RecordingOutput(name="first"), RecordingOutput(name="second")
        live_through(outputs_with(first, second))
        assert first.calls == second.calls == list(LIFE)

    def test_one_without_a_use_for_parts_is_given_none(self) -> None:
        class Idle(PartOutput):
            name = "idle"
            is_wanted = False
            calls = 0

            @property
            def takes_parts(self) -> bool:
                return self.is_wanted

            def take_part(self, rendition: str, chunk: object, timing: object, /) -> None:
                self.calls += 1

            def end_segment(self, rendition: str, /) -> None:
                self.calls += 1

        idle, other = Idle(), RecordingOutput(name="other")
        outputs = outputs_with(idle, other)
        live_through(outputs_with(idle))
        outputs.start(tracks_of("main"))
        outputs.take_part("main", CHUNK, TIMING)
        outputs.end_segment("main")
        assert idle.calls == 0
        assert other.calls == ["start", "take_part", "end_segment"]
        idle.is_wanted = True
        outputs.look(0.0)
        outputs.take_part("main", CHUNK, TIMING)
        assert idle.calls == 1

    def test_each_is_fed_what_it_takes(self) -> None:
        class Tags(TagOutput):
            name = "tags"
            taken = 0

            def take_tags(self, tags: object, /) -> None:
                self.taken += 1

        class Samples(SampleOutput):
            name = "samples"
            taken = 0

            def take_samples(self, samples: object, /) -> None:
                self.taken += 1

        class Parts(PartOutput):
            name = "parts"
            taken = 0

            def take_part(self, rendition: str, chunk: object, timing: object, /) -> None:
                self.taken += 1

            def end_segment(self, rendition: str, /) -> None:
                self.taken += 10

        tags, samples, parts = Tags(), Samples(), Parts()
        outputs = outputs_with(tags, samples, parts)
        live_through(outputs)
        assert (tags.taken, samples.taken, parts.taken) == (1, 1, 11)
        assert outputs.failed == {}

    def test_they_end_once(self) -> None:
        output = RecordingOutput()
        outputs = outputs_with(output)
        assert outputs.end() == 3.0
        assert outputs.end() == 3.0
        outputs.take_tags(TAGS)
        assert output.calls == ["end"]

    def test_one_is_found_by_its_class_dropped_or_not(self) -> None:
        output = RecordingOutput(fails_at="start")
        outputs = outputs_with(output)
        outputs.start(tracks_of("main"))
        assert outputs.failed
        assert outputs.find(RecordingOutput) is output
        assert outputs.find(HlsOutput) is None

    def test_viewers_are_counted_by_output_and_only_where_there_can_be_some(self) -> None:
        context = output_context()
        outputs = outputs_with(HlsOutput(context), FlvOutput(context), Mp4Output(context), RecordingOutput())
        assert outputs.viewers == {"hls": 0, "flv": 0, "mp4": 0}


class TestFailing:
    @pytest.mark.parametrize("point", LIFE)
    def test_one_that_fails_is_dropped_alone_at_whatever_point(
        self, point: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        before, broken = RecordingOutput(name="before"), RecordingOutput(name="broken", fails_at=point)
        after = RecordingOutput(name="after")
        outputs = outputs_with(before, broken, after)
        live_through(outputs)
        assert before.calls == after.calls == list(LIFE)
        assert outputs.failed == {"broken": "internal error"}
        assert failures(caplog) == [("broken", True)]
        # It hears of the end, and its media is let go; of nothing else.
        until = list(LIFE)[: list(LIFE).index(point) + 1]
        rest = [step for step in ("end", "release") if step not in until]
        assert broken.calls == [*until, *rest]

    def test_once_a_second_too(self, caplog: pytest.LogCaptureFixture) -> None:
        broken, other = RecordingOutput(name="broken", fails_at="look"), RecordingOutput(name="other")
        outputs = outputs_with(broken, other)
        for now in range(3):
            outputs.look(now)
        outputs.take_tags(TAGS)
        assert (broken.calls, other.calls) == (["end"], ["take_tags"])
        assert failures(caplog) == [("broken", True)]

    def test_one_that_cannot_be_made_is_told_of_and_missing(self, caplog: pytest.LogCaptureFixture) -> None:
        def recording(_: OutputContext) -> Output:
            raise ValueError("a bug")

        outputs = Outputs("alice")
        outputs.make(recording, output_context())
        outputs.make(FlvOutput, output_context())
        assert outputs.failed == {"recording": "internal error"}
        assert failures(caplog) == [("recording", True)]
        assert outputs.find(FlvOutput) is not None

    def test_what_operators_can_act_on_is_told_in_words_and_without_a_traceback(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        full = RecordingOutput(name="recording", fails_at="take_part", error=OutputError("the disk is full"))
        outputs = outputs_with(full)
        live_through(outputs)
        assert outputs.failed == {"recording": "the disk is full"}
        assert failures(caplog) == [("recording", False)]
        (record,) = (record for record in caplog.records if record.levelno == logging.ERROR)
        assert vars(record)["stream"] == "alice"

    @pytest.mark.parametrize("point", ["start", "take_tags", "take_part", "end_segment", "take_samples", "note_leap"])
    def test_a_limit_that_the_publisher_has_passed_is_the_publishers(self, point: str) -> None:
        output = RecordingOutput(fails_at=point, error=MediaLimitError("too much", limit="window_bytes_max"))
        outputs = outputs_with(output)
        with pytest.raises(MediaLimitError):
            live_through(outputs)
        assert outputs.failed == {}
        outputs.end()
        assert output.calls[-1] == "end"


class TestSlow:
    @pytest.mark.parametrize("step", ["take_tags", "take_part", "take_samples", "look"])
    def test_one_with_more_in_its_queue_than_it_may_is_dropped_alone(
        self, step: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        slow, other = Sluggish(name="relay"), RecordingOutput(name="other")
        outputs = outputs_with(slow, other)
        feed = look_at if step == "look" else LIFE[step]
        outputs.start(tracks_of("main"))
        slow.queued = 1000
        feed(outputs)
        assert outputs.failed == {}
        slow.queued = 1001
        feed(outputs)
        assert outputs.failed == {"relay": "1001 bytes wait, 1000 may"}
        assert failures(caplog) == [("relay", False)]
        assert slow.calls[-1] == "end"
        outputs.take_tags(TAGS)
        assert other.calls[-1] == "take_tags"

    def test_what_it_queues_is_in_the_account_until_it_is_let_go(self) -> None:
        slow = Sluggish()
        outputs = outputs_with(slow, RecordingOutput(name="other"))
        slow.queued = 1500
        assert outputs.held_bytes == 1500
        outputs.look(0.0)
        assert outputs.failed
        assert outputs.held_bytes == 1500
