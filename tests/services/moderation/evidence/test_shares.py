"""How much of the room for evidence one reporter may fill."""

from __future__ import annotations

from streamd.services.moderation.evidence.shares import DAY_S, REPORTERS_MAX, SHARE, Shares

ROOM = SHARE * 1000


def test_a_share_is_spent_and_comes_back_with_the_next_day() -> None:
    shares = Shares()
    for _ in range(3):
        assert not shares.is_spent("a", ROOM, 0)
        shares.spend("a", 400, 0)
    assert shares.is_spent("a", ROOM, DAY_S - 1)
    assert not shares.is_spent("b", ROOM, 0)
    assert not shares.is_spent("a", ROOM, DAY_S)
    shares.spend("a", 400, DAY_S)
    assert not shares.is_spent("a", ROOM, DAY_S + 1)


def test_many_reporters_are_remembered_and_no_more() -> None:
    shares = Shares()
    shares.spend("first", 1000, 0)
    for number in range(REPORTERS_MAX):
        assert shares.is_spent("first", ROOM, 1)
        shares.spend(str(number), 1, 1)
    assert len(shares) == REPORTERS_MAX
    assert not shares.is_spent("first", ROOM, 1)
