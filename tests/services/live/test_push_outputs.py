from __future__ import annotations

import pytest

from streamd.formats.flv.tag import FlvReader, FlvTag
from streamd.media.packet import Sample
from streamd.services.live.push_outputs import FlvOutput, Mp4Output
from tests.support.flv_media import h264_aac
from tests.support.output_context import EPOCH, output_context, tracks_of
from tests.support.taking_viewer import TakingViewer

MEDIA = h264_aac(2)


def sample(number: int) -> Sample:
    return Sample(1, number * 3000, number * 3000, number == 0, b"frame", 0, 0, number == 0)


class TestFlv:
    def test_viewers_are_sent_the_publishers_own_tags(self) -> None:
        output, viewer = FlvOutput(output_context()), TakingViewer()
        output.start(tracks_of("main"))
        output.fanout.attach(viewer)
        output.take_tags(MEDIA[3:])
        tags = FlvReader().receive_data(viewer.received)
        assert {bytes(tag.payload) for tag in tags} > {bytes(tag.payload) for tag in MEDIA[3:20]}
        assert isinstance(tags[0], FlvTag)

    def test_a_leap_ends_their_streams_and_not_the_output(self) -> None:
        output, viewer = FlvOutput(output_context()), TakingViewer()
        output.start(tracks_of("main"))
        output.fanout.attach(viewer)
        output.note_leap(EPOCH)
        assert viewer.is_closed
        assert output.fanout.is_open

    def test_what_is_kept_for_those_who_join_is_in_the_account(self) -> None:
        output = FlvOutput(output_context())
        output.start(tracks_of("main"))
        before = output.held_bytes
        output.take_tags(MEDIA[3:])
        assert output.held_bytes > before == 0


class TestMp4:
    def test_a_frame_goes_out_when_it_is_known_how_long_it_lasts(self) -> None:
        output, viewer = Mp4Output(output_context()), TakingViewer()
        codecs = [output.codecs]
        output.start(tracks_of("main"))
        codecs.append(output.codecs)
        assert codecs == [(), ("avc1.640028", "mp4a.40.2")]
        output.fanout.attach(viewer)
        head = len(viewer.received)
        output.take_samples([sample(0)])
        assert len(viewer.received) == head
        output.take_samples([sample(1)])
        assert viewer.received[head:].count(b"frame") == 1

    def test_a_leap_is_none_of_its_affair(self) -> None:
        output, viewer = Mp4Output(output_context()), TakingViewer()
        output.start(tracks_of("main"))
        output.fanout.attach(viewer)
        output.note_leap(EPOCH)
        assert not viewer.is_closed


@pytest.mark.parametrize("kind", [FlvOutput, Mp4Output])
class TestBoth:
    def test_a_publisher_that_is_back_ends_viewers_streams_and_those_who_ask_again_follow(
        self, kind: type[FlvOutput | Mp4Output]
    ) -> None:
        output, viewer, again = kind(output_context()), TakingViewer(), TakingViewer()
        output.start(tracks_of("main"))
        output.fanout.attach(viewer)
        output.start(tracks_of("main", begins_anew=True))
        assert viewer.is_closed
        output.fanout.attach(again)
        assert not again.is_closed
        assert output.viewers == 1

    def test_whoever_follows_has_every_frame_hurried(self, kind: type[FlvOutput | Mp4Output]) -> None:
        hurried: list[None] = []
        output, viewer = kind(output_context(hurry=lambda: hurried.append(None))), TakingViewer()
        output.start(tracks_of("main"))
        follows = [output.follows_frames]
        output.fanout.attach(viewer)
        follows.append(output.follows_frames)
        output.fanout.detach(viewer)
        follows.append(output.follows_frames)
        assert follows == [False, True, False]
        assert len(hurried) == 1

    @pytest.mark.parametrize("how", ["end", "dismiss_viewers"])
    def test_the_end_closes_viewers(self, kind: type[FlvOutput | Mp4Output], how: str) -> None:
        output, viewer = kind(output_context()), TakingViewer()
        output.start(tracks_of("main"))
        output.fanout.attach(viewer)
        getattr(output, how)()
        assert viewer.is_closed
        assert (output.viewers, output.fanout.is_open) == (0, False)
