"""Real encoders' bytes: what each of them sent is understood, in every cut."""

from __future__ import annotations

from itertools import pairwise

import pytest

from streamd.formats.flv.tag import FlvTag
from streamd.formats.rtmp.connection import ServerConnection
from streamd.formats.rtmp.connection_options import DEFAULT_OPTIONS, LOGIN_READ_BYTES_MAX
from streamd.formats.rtmp.events import (
    Connected,
    ConnectionEvent,
    MetadataReceived,
    PublishRequested,
    Unpublished,
)
from streamd.formats.rtmp.state import State
from tests.support.captures import HANDSHAKE_BYTES, NAMES, Capture
from tests.support.delivery import pieces

AUDIO, VIDEO = 8, 9


def replay(capture: Capture, size: int) -> tuple[list[ConnectionEvent], ServerConnection]:
    """Feed a capture in pieces of ``size`` bytes, accepting its publish."""
    connection = ServerConnection(nonce=bytes(16))
    events: list[ConnectionEvent] = []
    for piece in pieces(capture.data, size):
        events += connection.receive_data(piece)
        connection.raise_fault()
        if connection.state is State.PUBLISH_PENDING:
            events += connection.accept()
    return events, connection


@pytest.fixture(scope="module", params=NAMES)
def capture(request: pytest.FixtureRequest) -> Capture:
    return Capture.load(request.param)


class TestReplay:
    def test_the_publish_is_asked_for_with_its_key(self, capture: Capture) -> None:
        events, _ = replay(capture, 65536)
        connected, requested = events[:2]
        assert isinstance(connected, Connected)
        assert connected.app == "live"
        assert isinstance(requested, PublishRequested)
        assert requested.find_key(lambda _: False) == capture.stream_key

    def test_metadata_headers_keyframe_and_audio_arrive(self, capture: Capture) -> None:
        events, connection = replay(capture, 65536)
        metadata = next(event for event in events if isinstance(event, MetadataReceived))
        assert (metadata.values["width"], metadata.values["height"]) == (320.0, 180.0)
        media = [event for event in events if isinstance(event, FlvTag)]
        video = [bytes(event.payload) for event in media if event.tag_type == VIDEO]
        audio = [bytes(event.payload) for event in media if event.tag_type == AUDIO]
        # FLV: keyframe of AVC, packet type 0 the decoder configuration, 1 NAL units; AAC alike.
        assert video[0].startswith(b"\x17\x00")
        assert video[1].startswith(b"\x17\x01")
        assert audio[0].startswith(b"\xaf\x00")
        assert audio[1].startswith(b"\xaf\x01")
        assert len(video) > 100
        assert len(audio) > 150
        assert not connection.messages_dropped

    def test_timestamps_of_a_track_never_step_back(self, capture: Capture) -> None:
        events, _ = replay(capture, 65536)
        for tag_type in (AUDIO, VIDEO):
            times_ms = [
                event.timestamp_ms for event in events if isinstance(event, FlvTag) and event.tag_type == tag_type
            ]
            steps_ms = [later - earlier for earlier, later in pairwise(times_ms)]
            assert all(0 <= step_ms < 200 for step_ms in steps_ms)
            assert 3000 < times_ms[-1] < 4000

    def test_its_goodbye_is_heard(self, capture: Capture) -> None:
        events, connection = replay(capture, 65536)
        assert events[-1] == Unpublished("FCUnpublish")
        assert connection.state is State.CONNECTED
        assert connection.bytes_received == len(capture.data)

    @pytest.mark.parametrize("size", [1, 2, 13, 1448, LOGIN_READ_BYTES_MAX])
    def test_every_cut_means_the_same(self, capture: Capture, size: int) -> None:
        events, _ = replay(capture, size)
        assert events == replay(capture, 65536)[0]

    def test_its_login_is_a_small_part_of_what_a_stranger_may_say(self, capture: Capture) -> None:
        connection = ServerConnection(nonce=bytes(16))
        for piece in pieces(capture.data, 100):
            connection.receive_data(piece)
            connection.data_to_send()
            if connection.state is State.PUBLISH_PENDING:
                break
        assert connection.is_stranger
        assert connection.bytes_received - HANDSHAKE_BYTES < DEFAULT_OPTIONS.pending_bytes_max / 20
        assert connection.messages_received < DEFAULT_OPTIONS.pending_messages_max / 6
        # The address and what comes behind publish without waiting.
        assert connection.held_bytes < 1000

    def test_all_of_it_may_come_without_waiting_for_an_answer(self, capture: Capture) -> None:
        # As its owner reads: a part of the buffer, and nothing more once a publish is asked for.
        connection = ServerConnection(nonce=bytes(16))
        events: list[ConnectionEvent] = []
        unread = capture.data
        while unread:
            size = LOGIN_READ_BYTES_MAX if connection.is_stranger else 256 * 1024
            events += connection.receive_data(unread[:size])
            unread = unread[size:]
            if connection.state is State.PUBLISH_PENDING:
                events += connection.accept()
        assert events == replay(capture, 65536)[0]
