from __future__ import annotations

import pytest

from streamd.services.live.viewers import AGENTS_PER_ADDRESS_MAX, SESSIONS_MAX, HlsViewers

# Five times the standard error, so that the random key cannot make a test fail in a lifetime.
TOLERANCE = 5 * 1.2 / SESSIONS_MAX**0.5


def watched_by(count: int, now: float = 0.0) -> HlsViewers:
    viewers = HlsViewers()
    note_all(viewers, count, now)
    return viewers


def note_all(viewers: HlsViewers, count: int, now: float) -> None:
    for number in range(count):
        viewers.note(f"192.0.2.{number}", "player", now)


class TestCounting:
    def test_nobody_is_none(self) -> None:
        assert HlsViewers().count(0.0) == 0

    def test_who_comes_again_counts_once(self) -> None:
        viewers = HlsViewers()
        for now in range(5):
            viewers.note("192.0.2.1", "player", float(now))
        assert viewers.count(5.0) == 1

    def test_user_agents_of_one_address_are_told_apart(self) -> None:
        """By one of 256 numbers each, which two of them may share now and then."""
        viewers = HlsViewers()
        for agent in ("", *(f"player {number}" for number in range(31))):
            viewers.note("192.0.2.1", agent, 0.0)
        assert 16 < viewers.count(0.0) <= 32

    @pytest.mark.parametrize(
        ("other", "together"),
        [
            (("192.0.2.1", "player"), 1),
            (("192.0.2.2", "player"), 2),
            (("192.0.2.1p", "layer"), 2),
        ],
    )
    def test_address_and_user_agent_together_tell_viewers_apart(self, other: tuple[str, str], together: int) -> None:
        viewers = HlsViewers()
        viewers.note("192.0.2.1", "player", 0.0)
        viewers.note(*other, 0.0)
        assert viewers.count(0.0) == together

    def test_who_has_not_come_for_the_window_does_not_watch_any_more(self) -> None:
        viewers = HlsViewers()
        viewers.window_s = 6.0
        viewers.note("192.0.2.1", "player", 0.0)
        viewers.note("192.0.2.2", "player", 3.0)
        assert viewers.count(6.0) == 2
        assert viewers.count(6.1) == 1
        assert viewers.count(9.1) == 0


class TestBound:
    def test_the_count_is_exact_up_to_the_bound(self) -> None:
        assert watched_by(SESSIONS_MAX).count(0.0) == SESSIONS_MAX

    @pytest.mark.parametrize("times", [2, 5, 20])
    def test_beyond_it_is_estimated_in_bounded_memory(self, times: int) -> None:
        viewers = watched_by(times * SESSIONS_MAX)
        assert len(viewers.marks) <= SESSIONS_MAX
        assert viewers.count(0.0) == pytest.approx(times * SESSIONS_MAX, rel=TOLERANCE)

    def test_room_is_made_of_those_who_have_gone_first(self) -> None:
        viewers = watched_by(SESSIONS_MAX, now=0.0)
        viewers.window_s = 6.0
        viewers.note("198.51.100.1", "player", 7.0)
        assert viewers.count(7.0) == 1

    def test_when_most_have_gone_the_count_becomes_exact_again_without_a_dip(self) -> None:
        viewers = watched_by(8 * SESSIONS_MAX, now=0.0)
        viewers.window_s = 6.0
        remaining = SESSIONS_MAX // 10
        now, counts = 0.0, []
        for _ in range(40):
            now += 2.0
            note_all(viewers, remaining, now)
            counts.append(viewers.count(now))
        # The last sample has few members: eight viewers each, a hundred of them.
        assert all(count == pytest.approx(remaining, rel=0.6) for count in counts[4:])
        assert counts[-1] == remaining


class TestPrivacy:
    def test_two_servers_do_not_know_the_same_viewer_by_the_same_mark(self) -> None:
        marks = [watched_by(1).marks for _ in range(2)]
        assert marks[0] != marks[1]

    def test_neither_address_nor_user_agent_is_kept(self) -> None:
        assert all(isinstance(mark, int) for mark in watched_by(3).marks)


def test_an_address_counts_for_so_many_and_no_more() -> None:
    viewers = HlsViewers()
    for number in range(5000):
        viewers.note("192.0.2.1", f"made up {number}", 0.0)
    assert viewers.count(0.0) == len(viewers.marks) == AGENTS_PER_ADDRESS_MAX
    for number in range(10):
        viewers.note(f"198.51.100.{number}", "player", 0.0)
    assert viewers.count(0.0) == AGENTS_PER_ADDRESS_MAX + 10
