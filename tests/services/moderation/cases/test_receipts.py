"""Tokens of reporters and broadcasters: what opens, and what tells nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from streamd.services.moderation.cases.receipts import Receipts
from streamd.services.moderation.ids import IdKind, new_id

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RECEIPTS = Receipts(bytes(range(32)))


def ids() -> tuple[str, str]:
    return new_id(IdKind.REPORT, NOW), new_id(IdKind.CASE, NOW)


class TestStatusTokens:
    def test_it_opens_its_own_report_and_no_other(self) -> None:
        report, case = ids()
        token = RECEIPTS.status_token(report, case)
        assert RECEIPTS.case_behind(report, token) == case
        assert RECEIPTS.case_behind(new_id(IdKind.REPORT, NOW), token) is None
        assert Receipts(bytes(32)).case_behind(report, token) is None

    def test_two_tokens_do_not_tell_that_they_are_of_one_case(self) -> None:
        case = new_id(IdKind.CASE, NOW)
        first, second = (RECEIPTS.status_token(new_id(IdKind.REPORT, NOW), case) for _ in range(2))
        assert not {first[i : i + 6] for i in range(3, 19)} & {second[i : i + 6] for i in range(3, 19)}

    @pytest.mark.parametrize("spoil", [str.upper, lambda t: t[:-1], lambda t: t + "A", lambda t: "", lambda t: t[3:]])
    def test_a_token_that_was_changed_opens_nothing(self, spoil: object) -> None:
        report, case = ids()
        assert callable(spoil)
        assert RECEIPTS.case_behind(report, spoil(RECEIPTS.status_token(report, case))) is None

    def test_it_has_one_spelling(self) -> None:
        report, case = ids()
        token = RECEIPTS.status_token(report, case)
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        others = [token[:-1] + each for each in alphabet if each != token[-1]]
        assert [other for other in others if RECEIPTS.case_behind(report, other)] == []

    @pytest.mark.parametrize("token", ["st_\u0661", "st_ /+", "x" * 10_000, "st_" + "=" * 43, "\udc80"])
    def test_anything_else_is_none(self, token: str) -> None:
        assert RECEIPTS.case_behind(ids()[0], token) is None


class TestAppealTokens:
    def test_it_is_of_one_decision(self) -> None:
        decision = new_id(IdKind.DECISION, NOW)
        token = RECEIPTS.appeal_token(decision)
        assert RECEIPTS.is_appeal_token(decision, token)
        assert not RECEIPTS.is_appeal_token(new_id(IdKind.DECISION, NOW), token)
        assert not RECEIPTS.is_appeal_token(decision, "\udc80")


class TestSources:
    def test_a_site_of_ipv6_is_one_and_none_can_be_read_back(self) -> None:
        assert RECEIPTS.source("2001:db8::1") == RECEIPTS.source("2001:db8::ffff")
        assert RECEIPTS.source("192.0.2.1") != RECEIPTS.source("192.0.2.2")
        assert Receipts(bytes(32)).source("192.0.2.1") != RECEIPTS.source("192.0.2.1")
