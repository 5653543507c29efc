from __future__ import annotations

import pytest

from streamd.services.live.channel import Channel
from streamd.services.live.hls_output import HlsOutput
from streamd.services.live.live_channel import LiveChannel
from streamd.services.live.publisher import EndReason
from streamd.services.live.push_outputs import FlvOutput, Mp4Output
from tests.services.live.test_live_stream import Stage
from tests.support.flv_media import h264_aac
from tests.support.output_context import EPOCH, output_context

pytestmark = pytest.mark.asyncio


async def live() -> tuple[Stage, Channel]:
    context = output_context()
    stage = Stage(HlsOutput(context), FlvOutput(context), Mp4Output(context))
    channel = LiveChannel(stage.stream)
    await stage.feed(h264_aac(4))
    return stage, channel


async def test_it_is_what_the_stream_is_served_by() -> None:
    stage, channel = await live()
    hls, flv = stage.stream.outputs.find(HlsOutput), stage.stream.outputs.find(FlvOutput)
    assert hls is not None
    assert flv is not None
    assert (channel.name, channel.live_since, channel.is_live) == ("alice", EPOCH, True)
    assert channel.presentation is hls.presentation is not None
    assert channel.waiters is hls.waiters
    assert channel.fanout("flv") is flv.fanout
    assert channel.push_codecs == tuple(track.codec for track in stage.stream.tracks)
    channel.note_viewer("192.0.2.7", "player")
    stage.stream.look()
    assert channel.viewers == {"hls": 1, "flv": 0, "mp4": 0}


async def test_what_is_not_open_is_not_pushed() -> None:
    context = output_context()
    channel = LiveChannel(Stage(HlsOutput(context), FlvOutput(context), Mp4Output(context)).stream)
    assert [channel.fanout(kind) for kind in ("flv", "mp4", "ogg")] == [None, None, None]
    assert (channel.presentation, channel.push_codecs) == (None, ())


async def test_what_has_ended_may_still_be_fetched_and_is_not_live() -> None:
    stage, channel = await live()
    stage.stream.end(EndReason.GOODBYE)
    assert not channel.is_live
    assert channel.presentation is not None
    assert channel.fanout("flv") is None
    stage.stream.release()
    assert channel.presentation is None


async def test_a_stream_of_which_nothing_is_served() -> None:
    channel: Channel = LiveChannel(Stage().stream)
    channel.note_viewer("192.0.2.7", "player")
    assert (channel.presentation, channel.fanout("flv"), channel.push_codecs, channel.viewers) == (None, None, (), {})
