"""The past of streams: which recording it is read from, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streamd.clock import ManualClock
from streamd.media.packager.reload import Position
from streamd.services.live.waiters import Awaited, WaiterBudget
from streamd.services.recording.folder import RecordingFolder
from streamd.services.recording.past import ENDED_PER_CHANNEL_MAX, LINGER_S_MIN, Past, Pasts, first_number
from streamd.services.recording.playlist_file import RecordedPlaylist
from tests.services.recording.test_past_playlist import segment

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Room:
    """Pasts of an hour."""

    def __init__(self, window_s: int = 3600) -> None:
        self.clock = ManualClock()
        self.pasts = Pasts(window_s, self.clock)
        self.budget = WaiterBudget(10)

    def begin(self, name: str, recording_id: str, segments: int = 1, at: datetime = AT) -> Past:
        past = self.pasts.begin(name, RecordingFolder(Path(recording_id)), at, self.budget)
        assert past is not None
        past.set_target("main", 2)
        for number in range(segments):
            past.add("main", segment(number))
        return past


def test_there_is_none_where_it_is_off() -> None:
    room = Room(0)
    assert room.pasts.begin("alice", RecordingFolder(Path("rec_1")), AT, room.budget) is None


def test_a_channel_has_its_own_and_of_several_the_longest_that_goes_on() -> None:
    room = Room()
    first = room.begin("alice", "rec_1")
    second = room.begin("alice", "rec_2")
    room.begin("bob", "rec_3")
    assert room.pasts.find("alice") is first
    first.end()
    assert room.pasts.find("alice") is second
    assert room.pasts.find("carol") is None
    assert room.pasts.get("alice", "rec_1") is first
    assert room.pasts.get("bob", "rec_1") is None


def test_one_without_media_is_none_yet() -> None:
    room = Room()
    room.begin("alice", "rec_1", segments=0)
    assert room.pasts.find("alice") is None


@pytest.mark.parametrize(("window_s", "stays_s"), [(3600, 3600), (10, LINGER_S_MIN)])
def test_what_has_ended_stays_for_as_long_as_it_goes_back(window_s: int, stays_s: float) -> None:
    room = Room(window_s)
    past = room.begin("alice", "rec_1")
    room.clock.advance(100_000)
    room.pasts.look()
    assert room.pasts.find("alice") is past
    past.end()
    room.pasts.look()
    room.clock.advance(stays_s)
    room.pasts.look()
    assert room.pasts.find("alice") is past
    room.clock.advance(1)
    room.pasts.look()
    assert room.pasts.find("alice") is None
    assert "rec_1" not in room.pasts


@pytest.mark.asyncio
async def test_what_is_deleted_is_gone_at_once_and_nobody_waits_for_it() -> None:
    room = Room()
    past = room.begin("alice", "rec_1")
    room.begin("alice", "rec_2")
    past.waiters.subscribe(Awaited("main", Position(past.playlists["main"].last_msn + 1)), lambda _: None)
    room.pasts.drop("rec_1")
    room.pasts.drop("rec_1")
    assert past.waiters.is_closed
    assert room.pasts.get("alice", "rec_1") is None
    room.pasts.drop_all_of("alice")
    assert room.pasts.find("alice") is None


@pytest.mark.asyncio
async def test_a_segment_wakes_those_who_wait_for_it() -> None:
    room = Room()
    past = room.begin("alice", "rec_1")
    next_msn = past.playlists["main"].last_msn + 1
    assert not await past.waiters.wait(Awaited("main", Position(next_msn)), 0)
    woken: list[object] = []
    past.waiters.subscribe(Awaited("main", Position(next_msn)), woken.append)
    past.waiters.subscribe(Awaited("main", Position(next_msn + 1)), woken.append)
    past.add("main", segment(1))
    # Those who wait for the next one but one go on to.
    assert room.budget.waiting == 2
    assert await past.waiters.wait(Awaited("main", Position(next_msn + 1)), 0) is False
    past.add("main", segment(2))
    assert await past.waiters.wait(Awaited("main", Position(next_msn + 1)), 0) in (True, False)


def test_numbers_go_on_where_an_earlier_server_stopped() -> None:
    room = Room()
    past = room.begin("alice", "rec_1", segments=0)
    past.restore({"main": RecordedPlaylist(2, tuple(segment(number) for number in range(50)))})
    assert past.playlists["main"].last_msn == first_number(AT) + 49


def test_a_later_recording_has_higher_numbers() -> None:
    assert first_number(AT + timedelta(seconds=100)) == first_number(AT) + 400


def test_a_clock_that_is_set_back_takes_no_number_back() -> None:
    room = Room()
    first = room.begin("alice", "rec_1", segments=5)
    first.end()
    second = room.begin("alice", "rec_2", segments=0, at=AT - timedelta(hours=1))
    assert second.next_msn == first.next_msn == first_number(AT) + 5
    assert room.begin("bob", "rec_3", at=datetime(1970, 1, 1, tzinfo=UTC)).playlists["main"].last_msn == 0


def test_who_comes_and_goes_leaves_a_few() -> None:
    room = Room()
    other = room.begin("bob", "rec_other")
    other.end()
    for number in range(50):
        room.begin("alice", f"rec_{number:02d}").end()
    kept = [number for number in range(50) if f"rec_{number:02d}" in room.pasts]
    assert kept == list(range(50))[-ENDED_PER_CHANNEL_MAX - 1 :]
    assert room.pasts.find("alice") is room.pasts.get("alice", "rec_49")
    assert "rec_other" in room.pasts


def test_files_that_have_just_left_the_window_may_be_read() -> None:
    room = Room(60)
    past = room.begin("alice", "rec_1", segments=300)
    first = past.playlists["main"].first_file
    assert first > 2
    assert past.may_be_read("main", first - 1)
    assert not past.may_be_read("main", first - 2)
    assert not past.may_be_read("other", first)
