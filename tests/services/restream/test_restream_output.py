from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from streamd.clock import ManualClock
from streamd.services.events.event import unheard
from streamd.services.restream.push import Push, PushOptions
from streamd.services.restream.restream_output import RestreamOutput
from streamd.services.restream.target import TargetState
from tests.support.output_context import tracks_of
from tests.support.restream import StandInDialer, target, video

if TYPE_CHECKING:
    import pytest


class Room:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.dialer = StandInDialer()
        self.ended: list[RestreamOutput] = []
        self.output = RestreamOutput("alice", self.ended.append)

    def push(self, target_id: str) -> Push:
        push = Push(
            target(target_id),
            dialer=self.dialer,
            clock=self.clock,
            draw=lambda: 0.5,
            options=PushOptions(),
            tell=unheard,
        )
        self.output.add(push)
        return push

    def look(self) -> None:
        self.clock.advance(1)
        self.output.look(self.clock.monotonic())


class TestRestreamOutput:
    def test_every_target_gets_every_frame(self) -> None:
        room = Room()
        pushes = [room.push("tgt_1"), room.push("tgt_2")]
        room.output.start(tracks_of())
        room.look()
        for push, link in zip(pushes, room.dialer.links, strict=True):
            push.link_started(link)
        room.output.take_tags([video(0, is_keyframe=True)])
        assert [link.sent[-1][1] for link in room.dialer.links] == [0, 0]

    def test_a_target_that_comes_later_knows_the_tracks(self) -> None:
        room = Room()
        room.output.start(tracks_of())
        room.push("tgt_1")
        room.look()
        assert len(room.dialer.links) == 1

    def test_a_push_that_breaks_ends_alone(self, caplog: pytest.LogCaptureFixture) -> None:
        room = Room()
        broken, whole = room.push("tgt_1"), room.push("tgt_2")
        room.output.start(tracks_of())
        broken.take = None  # type: ignore[assignment,method-assign]
        with caplog.at_level(logging.ERROR):
            room.output.take_tags([video(0, is_keyframe=True)])
        assert broken.report.state is TargetState.FAILED
        assert whole.report.state is TargetState.WAITING
        assert [record.message for record in caplog.records] == ["target.broken"]
        assert "internal error" in room.output.fault

    def test_a_target_that_is_taken_away_is_let_go(self) -> None:
        room = Room()
        room.push("tgt_1")
        room.output.start(tracks_of())
        room.look()
        room.output.remove("tgt_1")
        assert room.dialer.links[0].is_closed
        assert room.output.find("tgt_1") is None
        room.output.remove("tgt_1")

    def test_the_end_is_told(self) -> None:
        room = Room()
        room.push("tgt_1")
        room.output.start(tracks_of())
        room.look()
        assert room.output.end() == 0
        assert room.dialer.links[0].is_closed
        assert room.ended == [room.output]
