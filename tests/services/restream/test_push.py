from __future__ import annotations

import pytest

from streamd.clock import ManualClock
from streamd.formats.flv.tag import FlvTag, TagType
from streamd.media.packager.plain_tags import PlainTags
from streamd.services.events.event import Event
from streamd.services.restream.push import Push, PushOptions
from tests.support.restream import AAC, H264, StandInDialer, StandInLink, audio, target, video

PLAIN = PlainTags([H264, AAC])


class Room:
    def __init__(self, options: PushOptions | None = None) -> None:
        self.clock = ManualClock()
        self.dialer = StandInDialer()
        self.events: list[Event] = []
        self.push = Push(
            target(),
            dialer=self.dialer,
            clock=self.clock,
            draw=lambda: 0.5,
            options=options or PushOptions(),
            tell=self.events.append,
        )

    @property
    def link(self) -> StandInLink:
        return self.dialer.links[-1]

    @property
    def state(self) -> str:
        return self.push.report.state.value

    def look(self, after_s: float = 1.0) -> None:
        self.clock.advance(after_s)
        self.push.look(self.clock.monotonic())

    def connect(self) -> None:
        """A connection is made, and the target takes media."""
        self.push.start(PLAIN, has_video=True)
        self.look()
        self.link.acked_bytes = 300
        self.push.link_started(self.link)

    def go_live(self) -> None:
        self.connect()
        self.push.take([video(0, is_keyframe=True)])
        self.link.acked_bytes = 500
        self.look()

    def lose(self, reason: str = "the connection was closed", *, is_refusal: bool = False) -> None:
        self.push.link_ended(self.link, reason, is_refusal=is_refusal)

    def event_types(self) -> list[str]:
        return [event.type.value for event in self.events]


class TestConnection:
    def test_nobody_is_called_before_there_is_a_broadcast(self) -> None:
        room = Room()
        room.look()
        assert room.state == "waiting"
        assert room.dialer.links == []

    def test_begins_with_headers_and_a_keyframe_at_zero(self) -> None:
        room = Room()
        room.connect()
        room.push.take([video(9_000), audio(9_010), video(9_040, is_keyframe=True), audio(9_050)])
        assert room.link.sent == [
            (TagType.SCRIPT, 0, b"metadata"),
            (TagType.VIDEO, 0, b"\x17\0\0\0\0avcC"),
            (TagType.AUDIO, 0, b"\xaf\0\x11\x90"),
            (TagType.VIDEO, 0, bytes(video(0, is_keyframe=True).payload)),
            (TagType.AUDIO, 10, b"\xaf\x01 sound"),
        ]
        assert room.link.flushes == 1

    def test_begins_with_what_came_since_the_last_keyframe(self) -> None:
        room = Room()
        room.push.start(PLAIN, has_video=True)
        room.push.take([video(0, is_keyframe=True), video(40), video(2000, is_keyframe=True), audio(2010)])
        room.look()
        room.push.take([video(2040)])
        room.push.link_started(room.link)
        assert [ms for _, ms, _ in room.link.sent] == [0, 0, 0, 0, 10, 40]

    def test_is_live_once_the_target_has_acknowledged_bytes(self) -> None:
        room = Room()
        room.connect()
        assert room.state == "connecting"
        room.look()
        assert room.state == "connecting", "the words of the beginning are no media"
        room.push.take([video(0, is_keyframe=True)])
        room.look()
        assert room.state == "connecting"
        room.link.acked_bytes = 500
        room.look()
        assert room.state == "live"
        assert room.push.report.acked_bytes == 500
        assert room.push.report.kbps > 0
        assert room.event_types() == ["target.live"]

    def test_is_not_live_when_nothing_is_acknowledged_for_five_seconds(self) -> None:
        room = Room()
        room.go_live()
        room.link.is_waiting = True
        for _ in range(5):
            room.look()
        assert room.state == "live"
        room.look()
        assert room.state == "reconnecting"
        assert "acknowledged" in room.push.fault
        assert room.event_types() == ["target.live", "target.lost"]
        room.link.acked_bytes = 900
        room.look()
        assert room.state == "live"
        assert room.push.fault == ""

    def test_waits_with_its_connection_while_the_publisher_is_away(self) -> None:
        room = Room()
        room.go_live()
        for _ in range(7):
            room.look()
        assert room.state == "waiting"
        assert not room.link.is_closed
        room.push.start(PLAIN, has_video=True)
        room.push.take([video(77_000, is_keyframe=True)])
        assert room.link.sent[-1][1] == 7000 + 1000
        room.link.acked_bytes = 900
        room.look()
        assert room.state == "live"

    def test_other_tracks_are_told_before_their_first_keyframe(self) -> None:
        room = Room()
        room.go_live()
        room.link.sent.clear()
        room.push.start(PlainTags([H264]), has_video=True)
        room.push.take([video(40), video(80, is_keyframe=True)])
        assert [kind for kind, _, _ in room.link.sent] == [TagType.SCRIPT, TagType.VIDEO, TagType.VIDEO]


class TestLoss:
    def test_the_next_tries_are_further_and_further_apart(self) -> None:
        room = Room()
        room.push.start(PLAIN, has_video=True)
        waits = []
        for _ in range(9):
            calls = len(room.dialer.links)
            waits.append(0)
            while len(room.dialer.links) == calls:
                room.look()
                waits[-1] += 1
            room.lose()
        assert waits == [1, 1, 2, 4, 8, 16, 32, 60, 60]
        assert room.push.report.attempts == 9

    def test_tries_are_spread(self) -> None:
        for drawn, after_s in ((0.0, 0.8), (0.999, 1.199)):
            room = Room()
            room.push._pace._draw = lambda drawn=drawn: drawn  # type: ignore[misc]
            room.push.start(PLAIN, has_video=True)
            room.look()
            room.lose()
            room.look(after_s - 0.01)
            assert len(room.dialer.links) == 1
            room.look(0.02)
            assert len(room.dialer.links) == 2

    def test_a_target_that_did_well_is_tried_again_at_once(self) -> None:
        room = Room()
        room.push.start(PLAIN, has_video=True)
        for _ in range(4):
            room.look(100)
            room.lose()
        room.look(100)
        room.push.link_started(room.link)
        room.push.take([video(0, is_keyframe=True)])
        for _ in range(12):
            room.link.acked_bytes += 500
            room.look()
        room.lose()
        assert room.state == "reconnecting"
        room.look(1.1)
        assert len(room.dialer.links) == 6
        assert room.event_types() == ["target.live", "target.lost"]

    def test_a_refusal_has_the_targets_own_words_and_is_tried_again(self) -> None:
        room = Room()
        room.push.start(PLAIN, has_video=True)
        room.look()
        room.lose("NetStream.Publish.BadName: Stream already publishing", is_refusal=True)
        assert room.state == "refused"
        assert room.push.report.last_error.endswith("Stream already publishing")
        assert room.event_types() == ["target.refused"]
        room.look(2)
        assert len(room.dialer.links) == 2
        assert room.state == "refused", "until it is known to be well"

    def test_after_a_while_it_is_given_up_where_that_is_wanted(self) -> None:
        room = Room(PushOptions(give_up_after_s=10))
        room.push.start(PLAIN, has_video=True)
        for _ in range(40):
            room.look()
            if room.dialer.links and room.state != "failed":
                room.lose()
        assert room.state == "failed"
        calls = len(room.dialer.links)
        room.look(1000)
        assert len(room.dialer.links) == calls

    def test_the_next_connection_begins_anew(self) -> None:
        room = Room()
        room.go_live()
        room.push.take([video(40), video(80)])
        room.lose()
        room.look(2)
        room.push.link_started(room.link)
        room.push.take([video(120), video(160, is_keyframe=True)])
        assert room.link.sent[0] == (TagType.SCRIPT, 0, b"metadata")
        assert room.link.sent[-1][1] == 0
        room.link.acked_bytes = 70
        room.look()
        assert room.push.report.acked_bytes == 570

    def test_a_connection_that_is_over_changes_nothing(self) -> None:
        room = Room()
        room.go_live()
        old = room.link
        room.lose()
        room.look(2)
        room.push.link_ended(old, "again", is_refusal=True)
        room.push.link_started(old)
        assert room.push.report.last_error == "the connection was closed"
        assert room.state == "reconnecting"


class TestSlowTarget:
    def test_frames_wait_while_the_transport_is_full(self) -> None:
        room = Room()
        room.go_live()
        sent = len(room.link.sent)
        room.link.queued_bytes = 1 << 20
        room.push.take([video(40), video(80)])
        assert len(room.link.sent) == sent
        assert room.push.held_bytes == 1 << 20
        room.link.queued_bytes = 0
        room.push.link_drained(room.link)
        assert [ms for _, ms, _ in room.link.sent[sent:]] == [40, 80]

    def test_whole_gops_are_left_out(self) -> None:
        room = Room()
        room.go_live()
        sent = len(room.link.sent)
        room.link.queued_bytes = 1 << 20
        for ms in range(500, 12_000, 500):
            room.push.take([video(ms, is_keyframe=ms % 2000 == 0)])
        assert room.push.report.dropped > 10
        room.link.queued_bytes = 0
        room.push.link_drained(room.link)
        first = room.link.sent[sent]
        assert first[2][0] == 0x17, "a keyframe is the first behind what was left out"


class TestEnd:
    def test_goodbye_is_said_and_nobody_is_called_again(self) -> None:
        room = Room()
        room.go_live()
        room.push.end()
        assert room.link.is_closed
        room.look(100)
        assert len(room.dialer.links) == 1

    def test_switched_off_it_says_so(self) -> None:
        room = Room()
        room.go_live()
        room.push.switch_off()
        assert room.state == "off"
        assert room.link.is_closed
        assert room.push.fault == ""

    def test_a_fault_of_ours_ends_it(self) -> None:
        room = Room()
        room.go_live()
        room.push.fail("internal error")
        assert room.state == "failed"
        assert "internal error" in room.push.fault

    def test_its_events_and_its_report_have_no_key(self) -> None:
        room = Room()
        room.go_live()
        room.lose("gone")
        assert "secret" not in repr((room.push.report, room.events, room.push.target))


@pytest.mark.parametrize("tags", [[], [audio(0)], [video(0)]])
def test_frames_before_a_keyframe_are_nothing(tags: list[FlvTag]) -> None:
    room = Room()
    room.push.take(tags)
    room.push.start(PLAIN, has_video=True)
    room.push.take(tags)
    assert room.push.held_bytes == 0
