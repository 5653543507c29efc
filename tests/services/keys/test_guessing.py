from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamd.services.keys import guessing
from streamd.services.keys.guessing import Budgets, GuessGuard, GuessLimits
from streamd.services.keys.secret import hash_secret
from streamd.services.keys.stream_key import StreamKey

HERE, THERE = "192.0.2.1", "198.51.100.2"


def wrong(key: StreamKey) -> StreamKey:
    return StreamKey(key.key_id, StreamKey.generate().secret)


class TestBudgets:
    def test_a_full_bucket_has_its_size_and_fills_up_again_evenly_in_a_minute(self) -> None:
        budgets = Budgets(4)
        for _ in range(4):
            assert budgets.has_token("a", 100.0)
            budgets.spend("a", 100.0)
        assert not budgets.has_token("a", 114.9)
        assert budgets.has_token("a", 115.0)
        budgets.spend("a", 115.0)
        assert not budgets.has_token("a", 129.9)
        assert budgets.has_token("a", 130.0)

    def test_an_empty_bucket_that_is_spent_from_is_no_emptier(self) -> None:
        budgets = Budgets(4)
        for _ in range(1000):
            budgets.spend("a", 100.0)
        assert budgets.has_token("a", 115.0)

    def test_names_do_not_share(self) -> None:
        budgets = Budgets(1)
        budgets.spend("a", 0.0)
        assert not budgets.has_token("a", 0.0)
        assert budgets.has_token("b", 0.0)

    def test_what_is_kept_is_bounded_and_the_least_lately_spent_goes_first(self) -> None:
        budgets = Budgets(1, names_max=3)
        for name in "abca":
            budgets.spend(name, 0.0)
        budgets.spend("d", 0.0)
        assert len(budgets) == 3
        assert [budgets.has_token(name, 0.0) for name in "abcd"] == [False, True, False, False]

    def test_full_buckets_are_not_kept(self) -> None:
        budgets = Budgets(1)
        for number in range(100):
            budgets.spend(str(number), 0.0)
        for number in range(100):
            budgets.spend(f"later {number}", 60.0)
        assert len(budgets) == 100

    @given(
        size=st.integers(1, 100),
        steps=st.lists(st.floats(0, 30), min_size=1, max_size=200),
    )
    def test_no_minute_lets_more_than_two_buckets_through(self, size: int, steps: list[float]) -> None:
        budgets, now, spent = Budgets(size), 0.0, []
        for step in steps:
            now += step
            if budgets.has_token("a", now):
                budgets.spend("a", now)
                spent.append(now)
        for start in spent:
            # One bucket that was full, and what came back in the minute; one for the rounding at its edge.
            assert sum(start <= at <= start + 60 for at in spent) <= 2 * size + 1


class TestGuard:
    def test_an_address_over_its_budget_is_refused_until_a_token_is_back(self) -> None:
        guard = GuessGuard(GuessLimits(failed_publishes_per_address_max=3))
        for _ in range(3):
            shown = StreamKey.generate()
            assert guard.lets_through(shown, HERE, 0.0)
            guard.note_failure(shown.key_id, HERE, 0.0)
        assert not guard.lets_through(StreamKey.generate(), HERE, 19.9)
        assert guard.lets_through(StreamKey.generate(), THERE, 19.9)
        assert guard.lets_through(StreamKey.generate(), HERE, 20.0)

    def test_one_key_id_guessed_at_from_everywhere_is_not_looked_up_for_ever(self) -> None:
        guard, key = GuessGuard(GuessLimits(failed_publishes_per_key_max=20)), StreamKey.generate()
        looked_up = 0
        for number in range(1000):
            shown, address = wrong(key), f"192.0.{number // 250}.{number % 250}"
            if guard.lets_through(shown, address, 0.0):
                looked_up += 1
                guard.note_failure(shown.key_id, address, 0.0)
        assert looked_up == 20

    def test_the_right_secret_is_let_in_however_often_wrong_ones_are_shown(self) -> None:
        guard, key = GuessGuard(), StreamKey.generate()
        for _ in range(1000):
            if guard.lets_through(wrong(key), THERE, 0.0):
                # The look-up that failed has read the hash: verifier.py remembers it.
                guard.remember(key.key_id, hash_secret(key.key_id, key.secret))
                guard.note_failure(key.key_id, THERE, 0.0)
        assert not guard.lets_through(wrong(key), HERE, 0.0)
        assert guard.lets_through(key, HERE, 0.0)

    def test_a_good_key_gets_in_from_a_noisy_address_once_it_was_seen(self) -> None:
        guard, key = GuessGuard(GuessLimits(failed_publishes_per_address_max=1)), StreamKey.generate()
        guard.note_failure(None, HERE, 0.0)
        assert not guard.lets_through(key, HERE, 0.0)
        guard.remember(key.key_id, hash_secret(key.key_id, key.secret))
        assert guard.lets_through(key, HERE, 0.0)
        assert guard.knows(key.key_id)
        guard.forget(key.key_id)
        assert not guard.lets_through(key, HERE, 0.0)

    def test_what_it_remembers_is_bounded_and_the_least_lately_seen_goes_first(self) -> None:
        guard, keys = GuessGuard(hashes_max=2), [StreamKey.generate() for _ in range(3)]
        for key in (keys[0], keys[1], keys[0], keys[2]):
            guard.remember(key.key_id, hash_secret(key.key_id, key.secret))
        assert [guard.knows(key.key_id) for key in keys] == [True, False, True]

    def test_the_default_lets_the_retries_of_a_revoked_encoder_pass(self) -> None:
        guard, shown = GuessGuard(), StreamKey.generate()
        now, delay = 0.0, 2.0
        for _ in range(25):  # OBS: 25 retries, each after 1.5 times the pause before
            assert guard.lets_through(shown, HERE, now)
            guard.note_failure(shown.key_id, HERE, now)
            now, delay = now + delay, delay * 1.5

    def test_memory_is_what_the_limits_say(self) -> None:
        assert guessing.BUDGETS_MAX <= 1 << 16
        assert guessing.HASHES_MAX <= 1 << 16
