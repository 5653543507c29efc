"""The wall clock steps an hour, back or forward, as NTP or an operator has it: what runs does not notice."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest

from streamd.doors.ingest.deadlines import IngestOptions
from streamd.services.live.live_stream import LiveStream
from tests.support import rtmp_wire
from tests.support.flv_media import h264_aac
from tests.support.ingest import IngestRoom, Peer, eventually, presentation_of, publish

pytestmark = [pytest.mark.asyncio, pytest.mark.parametrize("step_s", [-3600, 3600])]

SECONDS = 3


def send(peer: Peer, turn: int) -> None:
    """Send the turn-th three seconds of a broadcast."""
    for tag in h264_aac(seconds=SECONDS):
        time_ms = tag.timestamp_ms + turn * SECONDS * 1000
        peer.send(rtmp_wire.message(tag.tag_type, bytes(tag.payload), time_ms=time_ms))


async def go_live(room: IngestRoom) -> tuple[Peer, LiveStream]:
    peer = await publish(room)
    send(peer, 0)
    stream = room.registry.find("alice")
    assert stream is not None
    await eventually(lambda: stream.is_playable)
    return peer, stream


def playlist(stream: LiveStream) -> str:
    return presentation_of(stream).renditions["main"].playlist().full.buffers[0].decode()


def dates(text: str) -> list[datetime]:
    return [datetime.fromisoformat(date) for date in re.findall(r"PROGRAM-DATE-TIME:(\S+)", text)]


def segment_numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"seg(\d+)\.m4s", text)]


async def test_the_dates_of_a_running_stream_go_on_as_its_media_does(step_s: int) -> None:
    room = IngestRoom()
    peer, stream = await go_live(room)
    first = dates(playlist(stream))[0]
    room.clock.step_wall(step_s)
    for turn in (1, 2):
        send(peer, turn)
    text = playlist(stream)
    durations = [float(seconds) for seconds in re.findall(r"#EXTINF:([\d.]+)", text)]
    assert "#EXT-X-DISCONTINUITY\n" not in text
    assert len(durations) >= 3
    for index, date in enumerate(dates(text)[:-1]):
        assert abs(date - first - timedelta(seconds=sum(durations[:index]))) < timedelta(milliseconds=2)


async def test_the_dates_of_a_publisher_that_comes_back_are_the_clocks_but_never_go_back(step_s: int) -> None:
    room = IngestRoom()
    peer, stream = await go_live(room)
    last = dates(playlist(stream))[-1]
    peer.protocol.connection_lost(ConnectionResetError())
    room.clock.step_wall(step_s)
    room.clock.advance(1)
    send(await publish(room), 0)
    await eventually(lambda: "#EXT-X-DISCONTINUITY\n" in playlist(stream))
    after = dates(playlist(stream).rpartition("#EXT-X-DISCONTINUITY\n")[2])[0]
    assert after > last
    if step_s > 0:
        assert abs(after - room.clock.now()) < timedelta(seconds=1)


async def test_media_sequence_numbers_do_not_go_back(step_s: int) -> None:
    room = IngestRoom()
    peer, stream = await go_live(room)
    before = segment_numbers(playlist(stream))
    peer.send(rtmp_wire.command("deleteStream", 4, None, 1.0))
    assert not stream.is_live
    room.clock.step_wall(step_s)
    room.clock.advance(60)
    _, again = await go_live(room)
    assert again is not stream
    after = segment_numbers(playlist(again))
    assert before[-1] < after[0] < before[-1] + 120, "it counts seconds that have passed, not the clock's"


async def test_time_limits_are_what_they_were(step_s: int) -> None:
    options = IngestOptions()
    room = IngestRoom(options)
    peer, stream = await go_live(room)
    waiting = room.connect()
    room.clock.step_wall(step_s)
    for each in (peer, waiting):
        each.protocol.check_deadline(room.clock.monotonic())
    await room.registry.sweep()
    assert [each.transport.is_eof_written for each in (peer, waiting)] == [False, False]
    assert stream.is_live
    room.clock.advance(options.handshake_timeout_s + 1)
    waiting.protocol.check_deadline(room.clock.monotonic())
    assert [each.transport.is_eof_written for each in (peer, waiting)] == [False, True]
    # An ended playlist is served for its own duration.
    peer.send(rtmp_wire.command("deleteStream", 4, None, 1.0))
    room.clock.step_wall(step_s)
    assert room.registry.find("alice") is stream
    room.clock.advance(60)
    assert room.registry.find("alice") is None
