"""The whole way of a pushed stream without a socket: RTMP bytes in, what a door is told, what a viewer gets."""

from __future__ import annotations

import asyncio

import pytest

from streamd.doors.delivery.answer import Answer
from streamd.doors.delivery.channels import PublicChannels
from streamd.doors.delivery.push_lookup import Push, PushLookup
from streamd.doors.delivery.push_path import PushFormat, PushPath
from streamd.formats.flv.tag import FlvReader, FlvTag, TagType
from streamd.services.live.publisher import EndReason
from tests.support import rtmp_wire
from tests.support.flv_media import h264_aac, is_sequence_header
from tests.support.ingest import IngestRoom, hls_of, settle
from tests.support.samples import boxes
from tests.support.taking_viewer import TakingViewer

pytestmark = pytest.mark.asyncio

SECONDS = 3
MEDIA = h264_aac(seconds=SECONDS)
FLV = PushPath("alice", PushFormat.FLV)
MP4 = PushPath("alice", PushFormat.MP4)


async def live_room() -> IngestRoom:
    """Alice's stream, all of ``MEDIA`` sent."""
    room = IngestRoom()
    peer = room.ask_to_publish()
    await settle(lambda: room.registry.find("alice"))
    peer.send(*(rtmp_wire.message(tag.tag_type, bytes(tag.payload), time_ms=tag.timestamp_ms) for tag in MEDIA))
    stream = room.registry.find("alice")
    assert stream is not None
    async with asyncio.timeout(5):  # the demuxer opens in a thread
        while not stream.is_playable:  # noqa: ASYNC110  # nothing but the playlist tells
            await asyncio.sleep(0.001)
    return room


def lookup(room: IngestRoom, *, is_taken_down: bool = False) -> PushLookup:
    return PushLookup(PublicChannels(room.registry, lambda _: is_taken_down))


def status(found: Answer | Push) -> int:
    assert isinstance(found, Answer)
    return found.status


def last_gop() -> list[FlvTag]:
    starts = [index for index, tag in enumerate(MEDIA) if bytes(tag.payload)[:2] == b"\x17\x01"]
    return [tag for tag in MEDIA[starts[-1] :] if not is_sequence_header(tag)]


class TestAnswer:
    async def test_who_was_never_live_is_not_found(self) -> None:
        assert status(lookup(IngestRoom()).ask("GET", FLV)) == 404

    async def test_a_stream_without_media_is_not_there_yet(self) -> None:
        room = IngestRoom()
        room.ask_to_publish()
        await settle(lambda: room.registry.find("alice"))
        assert status(lookup(room).ask("GET", FLV)) == 404

    async def test_a_live_one_is_pushed_to_get_and_only_described_to_head(self) -> None:
        room = await live_room()
        for path in (FLV, MP4):
            found = lookup(room).ask("GET", path)
            assert isinstance(found, Push)
            assert lookup(room).ask("HEAD", path) is found.head

    async def test_who_is_taken_down_is_gone(self) -> None:
        assert status(lookup(await live_room(), is_taken_down=True).ask("GET", FLV)) == 410

    async def test_one_that_has_ended_is_not_found(self) -> None:
        room = await live_room()
        stream = room.registry.find("alice")
        assert stream is not None
        room.registry.end(stream, EndReason.GOODBYE)
        assert status(lookup(room).ask("GET", MP4)) == 404


class TestStream:
    async def test_flv_is_what_was_published_since_the_last_keyframe(self) -> None:
        room = await live_room()
        found = lookup(room).ask("GET", FLV)
        assert isinstance(found, Push)
        viewer = TakingViewer()
        found.fanout.attach(viewer)
        tags = FlvReader().receive_data(viewer.received)
        assert [tag.tag_type for tag in tags[:3]] == [TagType.SCRIPT, TagType.VIDEO, TagType.AUDIO]
        assert [tag for tag in tags[1:3] if not is_sequence_header(tag)] == []
        assert tags[3:] == last_gop()

    async def test_mp4_is_the_cmaf_header_and_the_same_frames(self) -> None:
        room = await live_room()
        found = lookup(room).ask("GET", MP4)
        assert isinstance(found, Push)
        viewer = TakingViewer()
        found.fanout.attach(viewer)
        assert [name for name, _ in boxes(viewer.received)] == ["ftyp", "moov", "moof", "mdat"]
        samples = dict(boxes(viewer.received))["mdat"]
        *pictures, _ = (bytes(tag.payload)[5:] for tag in last_gop() if tag.tag_type == TagType.VIDEO)
        # The last one waits for the next, which tells how long it lasts.
        assert samples.startswith(b"".join(pictures))

    async def test_the_end_of_the_stream_is_the_end_of_every_viewers(self) -> None:
        room = await live_room()
        viewers = []
        for path in (FLV, MP4):
            found = lookup(room).ask("GET", path)
            assert isinstance(found, Push)
            viewers.append(TakingViewer())
            found.fanout.attach(viewers[-1])
        stream = room.registry.find("alice")
        assert stream is not None
        assert stream.outputs.viewers == {"hls": 0, "flv": 1, "mp4": 1}
        assert stream.summary().viewers == stream.outputs.viewers
        room.registry.end(stream, EndReason.KICKED)
        assert all(viewer.is_closed for viewer in viewers)
        assert stream.outputs.viewers == {"hls": 0, "flv": 0, "mp4": 0}

    async def test_hls_viewers_are_counted_while_the_stream_is_live(self) -> None:
        room = await live_room()
        stream = room.registry.find("alice")
        assert stream is not None
        for number in range(3):
            hls_of(stream).note_viewer(f"192.0.2.{number}", "player")
        stream.look()
        assert stream.outputs.viewers["hls"] == 3
        assert room.metrics.registry.get_sample_value("streamd_viewers", {"protocol": "hls"}) == 3
        room.registry.end(stream, EndReason.GOODBYE)
        assert room.metrics.registry.get_sample_value("streamd_viewers", {"protocol": "hls"}) == 0
