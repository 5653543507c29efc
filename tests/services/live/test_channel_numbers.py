from __future__ import annotations

from functools import partial

import pytest

from streamd.services.live.channel_numbers import (
    CHANNELS_AHEAD_MAX,
    CLOCK_S_MIN,
    NUMBERS_AHEAD_S_MAX,
    RESERVE_LEFT_S_MIN,
    RESERVE_S,
    UNKNOWN_START_S,
    ChannelAhead,
    ChannelNumbers,
)

NOW = 200_000_000


class Server:
    """Channels on a server whose disk has what was reserved at the last look."""

    def __init__(self, numbers: ChannelNumbers | None = None) -> None:
        self.numbers = ChannelNumbers() if numbers is None else numbers
        self.used: dict[str, int] = {}
        self.written: list[tuple[int, tuple[ChannelAhead, ...]]] = []

    def begin(self, name: str, now_s: int) -> int:
        self.used[name] = self.numbers.first_s(name, now_s)
        return self.used[name]

    def look(self, now_s: int) -> None:
        answer = self.numbers.reserve([(name, until, True) for name, until in self.used.items()], now_s)
        if [answer] != self.written[-1:]:
            self.written.append(answer)

    def killed(self, now_s: int) -> Server:
        following = ChannelNumbers()
        if self.written:
            following.restore(*self.written[-1], now_s)
        return Server(following)


class TestOneChannelAheadOfTime:
    def test_moves_nobody_else(self) -> None:
        server = Server()
        server.begin("fast", NOW)
        server.used["fast"] += 40_000
        server.look(NOW)
        assert server.begin("other", NOW) == NOW
        following = server.killed(NOW + 1)
        assert following.begin("other", NOW + 1) <= NOW + RESERVE_S
        assert following.begin("fast", NOW + 1) >= server.used["fast"]

    def test_uses_no_number_twice_when_it_begins_again(self) -> None:
        numbers = ChannelNumbers()
        numbers.note_used("fast", NOW + 500, NOW)
        assert numbers.first_s("fast", NOW + 10) == NOW + 500
        assert numbers.first_s("fast", NOW + 501) == NOW + 501

    def test_is_forgotten_when_the_clock_has_passed_it(self) -> None:
        numbers = ChannelNumbers()
        numbers.note_used("fast", NOW + 500, NOW)
        assert len(numbers) == 1
        numbers.reserve([], NOW + 500)
        assert len(numbers) == 0

    def test_is_written_seldom_however_fast_it_is(self) -> None:
        server = Server()
        server.begin("fast", NOW)
        for second in range(25):
            server.used["fast"] += 3000
            server.look(NOW + second)
            assert server.written[-1][1][0].until_s >= server.used["fast"] + RESERVE_LEFT_S_MIN
        assert len(server.written) <= 8

    @pytest.mark.parametrize("lead_s", [0, 1000, 40_000, 50_000, NUMBERS_AHEAD_S_MAX - RESERVE_S])
    def test_is_not_taken_past_its_day_by_what_is_reserved(self, lead_s: int) -> None:
        server = Server()
        server.begin("fast", NOW)
        server.used["fast"] += lead_s
        server.look(NOW)
        following = server.killed(NOW)
        assert following.begin("fast", NOW) >= server.used["fast"]
        assert not following.numbers.is_exhausted("fast", NOW)

    def test_what_it_has_used_is_exact_once_it_has_ended(self) -> None:
        server = Server()
        server.begin("fast", NOW)
        server.used["fast"] += 40_000
        server.look(NOW)
        server.numbers.note_used("fast", server.used.pop("fast"), NOW)
        server.look(NOW)
        assert server.written[-1][1] == (ChannelAhead("fast", NOW + 40_000),)

    def test_may_use_a_days_numbers_before_their_time(self) -> None:
        numbers = ChannelNumbers()
        assert not numbers.is_too_far(NOW + NUMBERS_AHEAD_S_MAX, NOW)
        assert numbers.is_too_far(NOW + NUMBERS_AHEAD_S_MAX + 1, NOW)
        numbers.note_used("fast", NOW + NUMBERS_AHEAD_S_MAX + 60, NOW)
        assert numbers.is_exhausted("fast", NOW)
        assert not numbers.is_exhausted("other", NOW)
        assert not numbers.is_exhausted("fast", NOW + 60)


class TestManyChannelsAheadOfTime:
    def test_are_remembered_up_to_a_number_and_used_twice_by_none(self) -> None:
        numbers = ChannelNumbers()
        for index in range(CHANNELS_AHEAD_MAX + 10):
            numbers.note_used(f"channel{index}", NOW + 1000 + index, NOW)
        assert len(numbers) == CHANNELS_AHEAD_MAX
        for index in range(CHANNELS_AHEAD_MAX + 10):
            assert numbers.first_s(f"channel{index}", NOW) >= NOW + 1000 + index
        assert numbers.first_s("other", NOW) == NOW + 1009, "no further than the least of them"

    def test_those_that_time_has_passed_go_first(self) -> None:
        numbers = ChannelNumbers()
        for index in range(CHANNELS_AHEAD_MAX):
            numbers.note_used(f"channel{index}", NOW + 1, NOW)
        numbers.note_used("last", NOW + 500, NOW + 2)
        assert len(numbers) == 1
        assert numbers.first_s("other", NOW + 2) == NOW + 2


class TestAClockThatIsBehind:
    @pytest.mark.parametrize("behind_s", [30, 3600, NOW])
    def test_does_not_bring_numbers_back(self, behind_s: int) -> None:
        """A board without a clock of its own begins in 1970, or where it was switched off."""
        server = Server()
        for name in ("alice", "bob"):
            server.begin(name, NOW)
        for second in range(3000):
            server.used["alice"] = NOW + second // 2
            server.look(NOW + second)
        del server.used["bob"]
        following = server.killed(NOW + 3000 - behind_s)
        for name in ("alice", "bob", "carol"):
            assert following.begin(name, NOW + 3000 - behind_s) >= NOW + 3000

    def test_makes_nobody_fast(self) -> None:
        server = Server()
        server.begin("alice", NOW)
        server.look(NOW)
        following = server.killed(0)
        first_s = following.begin("alice", 0)
        week_s = 7 * 86_400
        assert not following.numbers.is_too_far(first_s + week_s // 2, week_s)
        assert following.numbers.is_too_far(first_s + week_s + 86_401, week_s)

    def test_is_put_right_later_and_nobody_has_to_wait_for_it(self) -> None:
        server = Server()
        server.begin("alice", NOW)
        server.look(NOW)
        server = server.killed(0)
        server.begin("alice", 0)
        for second in range(10_000):
            server.used["alice"] += second % 2
            server.look(second)
        used_s = server.used["alice"]
        assert len(server.written) <= 10_000 // (RESERVE_S - RESERVE_LEFT_S_MIN) + 1
        server = server.killed(NOW + 20_000)
        assert used_s <= server.begin("alice", NOW + 20_000) <= NOW + 20_000 + RESERVE_S
        assert not server.numbers.is_exhausted("alice", NOW + 20_000)

    def test_is_written_against_seldom(self) -> None:
        server = Server()
        server.begin("alice", NOW)
        for second in range(3600):
            server.used["alice"] = NOW + second // 2
            server.look(NOW + second)
        assert len(server.written) <= 3600 // (RESERVE_S - RESERVE_LEFT_S_MIN) + 1


class TestAServerThatDoesNotGetFar:
    def test_is_not_further_ahead_each_time(self) -> None:
        server = Server()
        server.begin("alice", NOW)
        server.look(NOW)
        first_s = server.killed(NOW).begin("alice", NOW)
        for _ in range(100):
            server = server.killed(NOW)
            until_s = server.begin("alice", NOW)
            server.numbers.reserve([("alice", until_s, False)], NOW)
            server.written.append(server.numbers.reserve([("alice", until_s, False)], NOW))
            assert until_s == first_s

    def test_without_streams_nothing_is_reserved(self) -> None:
        numbers = ChannelNumbers()
        assert [numbers.reserve([], NOW + hours * 3600) for hours in range(3)] == [(0, ())] * 3


class TestSignOfLife:
    @pytest.mark.parametrize("reserved_s", [0, NOW - 5_000, NOW - 1])
    def test_without_a_good_reservation_the_last_sign_of_life_is_gone_by(self, reserved_s: int) -> None:
        numbers = ChannelNumbers()
        numbers.restore(reserved_s, (), NOW - 30, NOW)
        assert numbers.first_s("alice", NOW - 30) == NOW + RESERVE_LEFT_S_MIN
        assert numbers.reserve([("alice", NOW + RESERVE_LEFT_S_MIN + 1, True)], NOW - 30)[0] >= NOW + RESERVE_LEFT_S_MIN

    def test_a_good_reservation_is_gone_by_alone(self) -> None:
        numbers = ChannelNumbers()
        numbers.restore(NOW + 700, (), NOW - 30, NOW)
        assert numbers.first_s("alice", NOW - 30) == NOW + 700

    def test_a_clock_that_is_right_needs_neither(self) -> None:
        numbers = ChannelNumbers()
        numbers.restore(NOW - 5_000, (), NOW + 30, NOW)
        assert numbers.first_s("alice", NOW + 30) == NOW + 30

    def test_a_sign_of_life_from_beyond_the_calendar_is_none(self) -> None:
        numbers = ChannelNumbers()
        numbers.restore(0, (), NOW, 10**15)
        assert numbers.first_s("alice", NOW) == NOW


class TestNothingKnown:
    """A data directory that is new or was lost, on a board whose clock is behind."""

    @pytest.mark.parametrize("now_s", [0, 100, CLOCK_S_MIN - 1])
    def test_numbers_begin_where_a_draw_says(self, now_s: int) -> None:
        firsts = set()
        for drawn in (0, 5_000, UNKNOWN_START_S - 1):
            numbers = ChannelNumbers()
            numbers.restore(0, (), now_s, draw=partial(min, drawn))
            firsts.add(numbers.first_s("alice", now_s))
            assert not numbers.is_exhausted("alice", now_s)
        assert firsts == {CLOCK_S_MIN, CLOCK_S_MIN + 5_000, CLOCK_S_MIN + UNKNOWN_START_S - 1}

    def test_once_the_clock_is_right_it_is_gone_by(self) -> None:
        numbers = ChannelNumbers()
        numbers.restore(0, (), 0, draw=lambda _: 0)
        assert numbers.first_s("alice", NOW) == NOW

    def test_it_draws_by_itself(self) -> None:
        numbers = ChannelNumbers()
        numbers.restore(0, (), 0)
        assert CLOCK_S_MIN <= numbers.first_s("alice", 0) < CLOCK_S_MIN + UNKNOWN_START_S

    @pytest.mark.parametrize(
        ("reserved_s", "alive_until_s", "now_s"), [(7_000, 0, 0), (0, 7_000, 0), (0, 0, CLOCK_S_MIN)]
    )
    def test_with_a_record_or_a_clock_that_may_be_right_there_is_no_draw(
        self, reserved_s: int, alive_until_s: int, now_s: int
    ) -> None:
        def draw(_: int) -> int:
            raise AssertionError("nothing is drawn")

        ChannelNumbers().restore(reserved_s, (), now_s, alive_until_s, draw)
