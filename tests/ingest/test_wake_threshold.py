from __future__ import annotations

import socket
import sys

import pytest

from streamd.flv.tag import FlvTag, TagType
from streamd.ingest.wake_threshold import (
    BETWEEN_MESSAGES_BYTES,
    LARGE_PICTURES_MIN,
    WITHIN_MESSAGE_BYTES_MAX,
    WakeThreshold,
)
from tests.support import rtmp_wire
from tests.support.flv_media import h264_aac
from tests.support.ingest import IngestRoom, Peer, RecordingTransport, settle

PICTURE = FlvTag(TagType.VIDEO, 0, bytes(BETWEEN_MESSAGES_BYTES))
SMALL_PICTURE = FlvTag(TagType.VIDEO, 0, bytes(BETWEEN_MESSAGES_BYTES - 1))
SOUND = FlvTag(TagType.AUDIO, 0, bytes(300))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="SO_RCVLOWAT wakes a poll on Linux alone")


class RecordingSocket:
    """Remembers the thresholds it was given."""

    def __init__(self) -> None:
        self.thresholds: list[int] = []

    def setsockopt(self, level: int, option: int, value: int) -> None:
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_RCVLOWAT)
        self.thresholds.append(value)


class SocketTransport(RecordingTransport):
    """A transport that says what is under it."""

    def __init__(self, sslcontext: object = None) -> None:
        super().__init__()
        self.socket = RecordingSocket()
        self._sslcontext = sslcontext

    def get_extra_info(self, name: str, default: object = None) -> object:
        known = {"socket": self.socket, "sslcontext": self._sslcontext}
        return known[name] if name in known else super().get_extra_info(name, default)


@pytest.fixture
def transport() -> SocketTransport:
    return SocketTransport()


class TestThreshold:
    def test_is_set_only_where_it_changes(self, transport: SocketTransport) -> None:
        threshold = WakeThreshold(transport)
        threshold.note([PICTURE] * LARGE_PICTURES_MIN)
        threshold.wait_for_anything()
        for missing_bytes in (0, 0, 5_000, 5_000, 10**6, 0):
            threshold.wait_for_media(missing_bytes)
        threshold.wait_for_anything()
        assert transport.socket.thresholds == [
            BETWEEN_MESSAGES_BYTES,
            5_000,
            WITHIN_MESSAGE_BYTES_MAX,
            BETWEEN_MESSAGES_BYTES,
            1,
        ]

    def test_what_the_kernel_holds_is_taken_once_nothing_has_come_between_two_looks(
        self, transport: SocketTransport
    ) -> None:
        threshold = WakeThreshold(transport)
        threshold.note([PICTURE] * LARGE_PICTURES_MIN)
        threshold.wait_for_media(0)
        threshold.take_rest(1_000)
        threshold.take_rest(2_000)
        assert transport.socket.thresholds == [BETWEEN_MESSAGES_BYTES]
        threshold.take_rest(2_000)
        assert transport.socket.thresholds == [BETWEEN_MESSAGES_BYTES, 1]

    @pytest.mark.parametrize(
        "tags",
        [[SOUND] * 1000, [PICTURE] * (LARGE_PICTURES_MIN - 1), [PICTURE] * 1000 + [SMALL_PICTURE, SOUND, PICTURE]],
        ids=["sound alone", "not known yet", "a small picture"],
    )
    def test_pictures_as_small_as_sound_do_not_wait_for_what_comes_next(
        self, transport: SocketTransport, tags: list[FlvTag]
    ) -> None:
        threshold = WakeThreshold(transport)
        threshold.note(tags)
        threshold.wait_for_media(0)
        assert transport.socket.thresholds == []

    def test_under_tls_every_byte_wakes(self) -> None:
        transport = SocketTransport(sslcontext=object())
        WakeThreshold(transport).wait_for_media(0)
        assert transport.socket.thresholds == []


@pytest.mark.asyncio
class TestConnection:
    """The thresholds that one connection asks for."""

    async def publishing(self, transport: SocketTransport) -> Peer:
        peer = IngestRoom().connect()
        peer.transport = transport
        peer.protocol.connection_made(transport)
        peer.log_in()
        peer.ask_to_publish()
        await settle(lambda: "NetStream.Publish.Start" in peer.status_codes())
        return peer

    @staticmethod
    def message(tag: FlvTag) -> bytes:
        return rtmp_wire.message(tag.tag_type, tag.payload, time_ms=tag.timestamp_ms, message_stream_id=1)

    async def test_every_byte_wakes_until_pictures_are_large_and_after_the_goodbye(
        self, transport: SocketTransport
    ) -> None:
        peer = await self.publishing(transport)
        peer.send(self.message(h264_aac()[0]))
        assert transport.socket.thresholds == []
        for _ in range(LARGE_PICTURES_MIN):
            peer.send(self.message(PICTURE))
        assert transport.socket.thresholds == [BETWEEN_MESSAGES_BYTES]
        peer.send(rtmp_wire.command("deleteStream", 4, None, 1.0))
        assert transport.socket.thresholds == [BETWEEN_MESSAGES_BYTES, 1]

    async def test_the_rest_of_a_message_is_waited_for(self, transport: SocketTransport) -> None:
        peer = await self.publishing(transport)
        whole = self.message(max(h264_aac(), key=lambda tag: len(tag.payload)))
        peer.send(whole[:100])
        missing_bytes = peer.protocol._connection.missing_bytes
        assert 0 < missing_bytes <= len(whole) - 100
        assert transport.socket.thresholds == [missing_bytes]
        peer.send(whole[100:])
        assert transport.socket.thresholds == [missing_bytes, 1]
