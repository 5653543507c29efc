"""The health of a live stream, from the publisher's bytes to what the operator is told, second by second."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from streamd.formats.codecs.picture_format import SampleAspect
from streamd.formats.flv.tag import TagType
from streamd.media.intake.limits import IntakeLimits
from streamd.services.events.event import EventType
from streamd.services.live.health import HealthCode, HealthStatus
from streamd.services.live.publisher import EndReason
from tests.support import rtmp_wire
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.flv_media import h264_aac, h264_only, is_sequence_header
from tests.support.ingest import IngestRoom, Peer, eventually, settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamd.formats.flv.tag import FlvTag
    from streamd.services.live.live_stream import LiveStream

pytestmark = pytest.mark.asyncio

CLIP_S = 10
UNHEALTHY, HEALTHY = EventType.STREAM_UNHEALTHY, EventType.STREAM_HEALTHY
# For so long the gate waits for tracks that were promised.
TRACK_WAIT_MS = IntakeLimits().track_wait_ms


class Broadcast:
    """A publisher that sends a clip over and over, as fast as a test says, and a server that sweeps once a second."""

    def __init__(self, tags: Sequence[FlvTag]) -> None:
        self.room = IngestRoom(reconnect_window_s=30.0)
        self._tags = tags
        self._sent_ms = 0
        self.peer: Peer

    async def begin(self) -> None:
        self.peer = self.room.connect()
        self.peer.log_in()
        self.peer.ask_to_publish()
        await settle(lambda: self.peer.transport.reading == [False, True])
        self._sent_ms = 0

    async def pass_seconds(self, seconds: int, media_s: float | None = None) -> None:
        """Let time pass, and media with it.

        Args:
            seconds: How much time.
            media_s: How much media comes in that time; as much as time by default.
        """
        share = 1.0 if media_s is None else media_s / seconds
        for _ in range(seconds):
            self._send(round(self._sent_ms + share * 1000))
            if self._sent_ms > TRACK_WAIT_MS:
                await eventually(lambda: self.stream.tracks)
            self.room.clock.advance(1)
            await self.room.registry.sweep()

    def mute(self) -> None:
        """Send no sound any more."""
        self._tags = [tag for tag in self._tags if tag.tag_type != TagType.AUDIO]

    def _send(self, until_ms: int) -> None:
        clip_ms = CLIP_S * 1000
        for lap in range(self._sent_ms // clip_ms, until_ms // clip_ms + 1):
            self.peer.send(
                *(
                    rtmp_wire.message(tag.tag_type, bytes(tag.payload), time_ms=time_ms)
                    for tag in self._tags
                    if self._sent_ms <= (time_ms := lap * clip_ms + tag.timestamp_ms) < until_ms
                    if not (lap and is_sequence_header(tag))
                )
            )
        self._sent_ms = until_ms

    @property
    def stream(self) -> LiveStream:
        stream = self.room.registry.find("alice")
        assert stream is not None
        return stream

    @property
    def turns(self) -> list[EventType]:
        return [event.type for event in self.room.events if event.type in (UNHEALTHY, HEALTHY)]

    @property
    def codes(self) -> set[HealthCode]:
        return set(self.stream.health.codes)

    def counted(self, code: HealthCode) -> float | None:
        return self.room.metrics.registry.get_sample_value("streamd_stream_findings", {"code": code.value})


@pytest.fixture
def well() -> Broadcast:
    return Broadcast(h264_aac(seconds=CLIP_S, gop=60))


# What the small picture of the clips is told of.
SMALL = {HealthCode.RESOLUTION_SMALL}


class TestMeasuring:
    async def test_a_stream_that_is_well(self, well: Broadcast) -> None:
        await well.begin()
        await well.pass_seconds(30)
        assert (well.stream.health.status, well.codes) == (HealthStatus.GOOD, SMALL)
        summary = well.stream.summary()
        assert summary.frame_rate == pytest.approx(30, rel=0.03)
        assert summary.keyframe_interval_s == 2.0
        assert summary.health is well.stream.health
        assert well.turns == []

    async def test_size_of_the_picture_is_that_at_which_it_is_shown(self) -> None:
        broadcast = Broadcast(encoded((VideoTrack(aspect=SampleAspect(4, 3)),), (AudioTrack(),)))
        await broadcast.begin()
        await broadcast.pass_seconds(2)
        summary = broadcast.stream.summary()
        assert (summary.width, summary.height) == (427, 192)

    async def test_keyframes_that_come_too_seldom_are_measured_and_not_believed(self) -> None:
        broadcast = Broadcast(h264_aac(seconds=CLIP_S, gop=150))
        await broadcast.begin()
        broadcast.stream.receive_metadata({"keyframeInterval": 2})
        await broadcast.pass_seconds(20)
        assert broadcast.codes == SMALL | {HealthCode.KEYFRAME_INTERVAL_LONG}
        assert broadcast.turns == [UNHEALTHY]

    async def test_sound_that_was_promised_and_does_not_come(self) -> None:
        broadcast = Broadcast(h264_only(seconds=CLIP_S, gop=60))
        await broadcast.begin()
        broadcast.stream.receive_metadata({"videocodecid": 7, "audiocodecid": 10})
        await broadcast.pass_seconds(20)
        assert broadcast.codes == SMALL | {HealthCode.AUDIO_MISSING}
        assert broadcast.stream.health.status is HealthStatus.OK

    async def test_sound_that_stops_is_missing_though_silence_stands_for_it(self, well: Broadcast) -> None:
        await well.begin()
        await well.pass_seconds(5)
        well.mute()
        await well.pass_seconds(20)
        assert well.codes == SMALL | {HealthCode.AUDIO_MISSING}
        assert well.stream._monitor.audios

    async def test_a_codec_that_is_refused_is_named(self, well: Broadcast) -> None:
        await well.begin()
        await well.pass_seconds(5)
        for _ in range(3):
            well.peer.send(rtmp_wire.message(9, b"\x91vp08\x00\x00\x00", time_ms=5000))
        await well.pass_seconds(1)
        assert well.codes == {HealthCode.TRACK_REFUSED}
        assert "vp08" in well.stream.health.findings[0].message

    async def test_a_track_that_is_mended_is_refused_no_more(self, well: Broadcast) -> None:
        await well.begin()
        await well.pass_seconds(5)
        header = next(tag for tag in h264_aac(seconds=1) if tag.tag_type == 8 and is_sequence_header(tag))
        well.peer.send(rtmp_wire.message(8, b"\xaf\x00\x11", time_ms=5000))
        await well.pass_seconds(2)
        await eventually(lambda: not well.stream._monitor.audios)
        await well.pass_seconds(1)
        assert HealthCode.TRACK_REFUSED in well.codes
        well.peer.send(rtmp_wire.message(8, bytes(header.payload), time_ms=8000))
        await well.pass_seconds(3)
        await eventually(lambda: well.stream._monitor.audios)
        await well.pass_seconds(20)
        assert well.codes == SMALL

    async def test_media_that_comes_too_slowly_and_then_in_time_again(self, well: Broadcast) -> None:
        await well.begin()
        await well.pass_seconds(20)
        await well.pass_seconds(10, media_s=5)
        assert HealthCode.STARVED in well.codes
        assert well.stream.health.status is HealthStatus.BAD
        await well.pass_seconds(30)
        assert well.codes == SMALL
        assert well.turns == [UNHEALTHY, HEALTHY]
        _, unhealthy, healthy = well.room.events
        assert (unhealthy.type, healthy.type) == (EventType.STREAM_UNHEALTHY, EventType.STREAM_HEALTHY)
        assert (unhealthy.data["status"], healthy.data["status"]) == ("bad", "good")
        told = {finding["code"] for finding in json.loads(unhealthy.body())["data"]["findings"]}
        assert told == {"starved", "resolution_small"}

    async def test_catching_up_after_a_gap_is_not_too_fast(self, well: Broadcast) -> None:
        await well.begin()
        await well.pass_seconds(20)
        await well.pass_seconds(4, media_s=0)
        await well.pass_seconds(8, media_s=12)
        assert HealthCode.FASTER_THAN_REAL_TIME not in well.codes

    async def test_media_that_comes_too_fast(self, well: Broadcast) -> None:
        await well.begin()
        await well.pass_seconds(20, media_s=40)
        assert well.codes == SMALL | {HealthCode.FASTER_THAN_REAL_TIME}
        assert well.stream.summary().frame_rate == pytest.approx(30, rel=0.03)


class TestCounting:
    async def test_findings_are_counted_by_code_while_they_stand(self, well: Broadcast) -> None:
        await well.begin()
        await well.pass_seconds(20)
        await well.pass_seconds(10, media_s=5)
        assert well.counted(HealthCode.STARVED) == 1
        await well.pass_seconds(30)
        assert well.counted(HealthCode.STARVED) == 0
        assert well.counted(HealthCode.RESOLUTION_SMALL) == 1

    async def test_a_stream_that_ends_is_counted_no_more(self, well: Broadcast) -> None:
        await well.begin()
        await well.pass_seconds(10)
        well.room.registry.end(well.stream, EndReason.GOODBYE)
        assert well.counted(HealthCode.RESOLUTION_SMALL) == 0


class TestComingBack:
    async def test_the_publisher_is_away_until_he_is_back(self, well: Broadcast) -> None:
        await well.begin()
        await well.pass_seconds(20)
        well.peer.protocol.connection_lost(ConnectionResetError())
        assert well.codes == {HealthCode.PUBLISHER_AWAY}
        assert well.stream.health.findings[0].since == well.room.clock.now()
        well.room.clock.advance(5)
        await well.room.registry.sweep()
        await well.begin()
        await well.pass_seconds(20)
        assert well.codes == SMALL
        # Nothing turned: who is away and comes back is told in another way.
        assert well.turns == []
