"""What is left of a publish in the log and in the metrics when it is over."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from streamd.errors import StoreUnavailableError
from streamd.services.live.publisher import EndReason
from tests.support import rtmp_wire
from tests.support.flv_media import h264_aac
from tests.support.ingest import GOOD_KEY, IngestRoom, Peer, eventually, publish

if TYPE_CHECKING:
    from streamd.services.live.live_stream import LiveStream
    from streamd.services.live.registry import LiveRegistry

pytestmark = pytest.mark.asyncio

SECONDS = 6


async def broadcast(room: IngestRoom) -> Peer:
    """Publish a clip, and have it packaged."""
    peer = await publish(room)
    parts_before = parts(room)
    tags = h264_aac(seconds=SECONDS, gop=60)
    await peer.send_all(
        *(rtmp_wire.message(tag.tag_type, bytes(tag.payload), time_ms=tag.timestamp_ms) for tag in tags)
    )
    await eventually(lambda: parts(room) > parts_before)
    # All of it, and not what has been taken of the queue behind the demuxer's opening.
    await eventually(lambda: not live(room.registry).when_open(lambda: None))
    return peer


def parts(room: IngestRoom) -> float:
    return room.metrics.registry.get_sample_value("streamd_parts_total") or 0.0


def live(registry: LiveRegistry) -> LiveStream:
    stream = registry.find("alice")
    assert stream is not None
    return stream


def closing_line(caplog: pytest.LogCaptureFixture, event: str) -> dict[str, object]:
    (record,) = (record for record in caplog.records if record.message == event)
    return record.__dict__


class TestTheStreamsLine:
    async def test_it_tells_the_whole_story(self, caplog: pytest.LogCaptureFixture) -> None:
        room = IngestRoom()
        with caplog.at_level(logging.INFO):
            peer = await broadcast(room)
            room.clock.advance(10)
            await room.registry.sweep()
            peer.protocol.connection_lost(ConnectionResetError())
            room.clock.advance(5)
            again = await broadcast(room)
            await again.send_all(
                rtmp_wire.command("FCUnpublish", 6, None, GOOD_KEY), rtmp_wire.command("deleteStream", 7, None, 1)
            )
        line = closing_line(caplog, "stream.ended")
        expected = {
            "stream": "alice",
            "key_id": "good",
            "peer": "192.0.2.7",
            "reason": "goodbye",
            "duration_s": 15.0,
            "bytes_received": 2 * sum(len(tag.payload) for tag in h264_aac(seconds=SECONDS, gop=60)),
            "video_frames": 2 * SECONDS * 30,
            "gaps": 0,
            "reconnects": 1,
            "viewers_max": 0,
            "timestamps_repaired": {},
            "findings": "publisher_away",
        }
        assert {name: line[name] for name in expected} == expected
        assert str(line["codecs"]).endswith("mp4a.40.2")
        # Two each, and the short one with which the stream begins.
        assert (line["segments"], line["parts"]) == (SECONDS + 1, parts(room))
        assert GOOD_KEY not in caplog.text

    async def test_the_connections_line_names_the_stream_and_the_key(self, caplog: pytest.LogCaptureFixture) -> None:
        room = IngestRoom()
        with caplog.at_level(logging.INFO):
            peer = await publish(room)
            peer.protocol.connection_lost(None)
        line = closing_line(caplog, "connection.closed")
        assert (line["stream"], line["key_id"], line["reason"]) == ("alice", "good", "peer closed")
        assert line["bytes_received"]


class TestHistograms:
    async def test_a_part_is_timed_from_its_last_frame_and_not_at_the_end_of_the_stream(self) -> None:
        room = IngestRoom()
        await broadcast(room)
        during = room.metrics.registry.get_sample_value("streamd_part_latency_seconds_count")
        assert during
        room.clock.advance(15)
        room.registry.end(live(room.registry), EndReason.MEDIA_TIMEOUT)
        assert room.metrics.registry.get_sample_value("streamd_part_latency_seconds_count") == during
        assert room.metrics.registry.get_sample_value("streamd_part_latency_seconds_sum") == 0

    @pytest.mark.parametrize("error", [None, StoreUnavailableError("down")])
    async def test_refusals_are_timed_like_admissions(self, error: Exception | None) -> None:
        room = IngestRoom()
        room.keys.error = error
        await publish(room, "sk_wrong_key")
        assert room.metrics.registry.get_sample_value("streamd_verify_seconds_count") == 1
