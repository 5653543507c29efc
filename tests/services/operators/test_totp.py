from __future__ import annotations

from datetime import UTC, datetime

import pytest

from streamd.services.operators.totp import STEP_S, code_of, new_secret, shown_secret, step_of

SECRET = b"12345678901234567890"


class TestRfc6238:
    """Appendix B, of whose eight digits the last six are ours."""

    @pytest.mark.parametrize(
        ("time_s", "code"),
        [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"),
         (2000000000, "279037"), (20000000000, "353130")],
    )  # fmt: skip
    def test_the_vectors(self, time_s: int, code: str) -> None:
        assert code_of(SECRET, time_s // STEP_S) == code
        assert step_of(SECRET, code, datetime.fromtimestamp(time_s, UTC)) == time_s // STEP_S


class TestRfc4226:
    """Appendix D."""

    def test_the_vectors(self) -> None:
        codes = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]
        assert [code_of(SECRET, count) for count in range(10)] == codes


class TestACode:
    NOW = datetime(2026, 3, 12, 9, 30, 10, tzinfo=UTC)
    STEP = int(NOW.timestamp()) // STEP_S

    @pytest.mark.parametrize(("steps", "is_right"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
    def test_of_a_step_beside_is_taken_as_well(self, steps: int, is_right: bool) -> None:
        found = step_of(SECRET, code_of(SECRET, self.STEP + steps), self.NOW)
        assert found == (self.STEP + steps if is_right else None)

    def test_that_was_taken_is_taken_no_more_nor_is_one_before_it(self) -> None:
        for steps in (-1, 0):
            assert step_of(SECRET, code_of(SECRET, self.STEP + steps), self.NOW, after=self.STEP) is None
        assert step_of(SECRET, code_of(SECRET, self.STEP + 1), self.NOW, after=self.STEP) == self.STEP + 1

    def test_may_have_a_blank_in_it(self) -> None:
        code = code_of(SECRET, self.STEP)
        assert step_of(SECRET, f" {code[:3]} {code[3:]}", self.NOW) == self.STEP

    @pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "１２３４５６", "-12345", "1e5000"])
    def test_that_is_no_six_digits_is_none(self, code: str) -> None:
        assert step_of(SECRET, code, self.NOW) is None


def test_a_secret_is_shown_as_authenticators_read_it() -> None:
    assert shown_secret(SECRET) == "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    assert new_secret() != new_secret()
