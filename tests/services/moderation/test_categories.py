"""The categories of the Digital Services Act."""

from __future__ import annotations

from streamd.services.moderation.categories import SEVERITY, TITLES, Category, Keyword, is_restricted


def test_each_has_a_severity_and_a_title() -> None:
    assert set(SEVERITY) == set(TITLES) == set(Category)
    assert all(1 <= severity <= 10 for severity in SEVERITY.values())
    assert len(set(TITLES.values())) == len(Category)


def test_what_is_done_to_children_comes_first() -> None:
    assert max(SEVERITY, key=SEVERITY.__getitem__) is Category.PROTECTION_OF_MINORS


def test_child_sexual_abuse_alone_is_restricted() -> None:
    restricted = {keyword for keyword in Keyword if is_restricted(keyword)}
    assert restricted == {Keyword.CHILD_SEXUAL_ABUSE_MATERIAL, Keyword.GROOMING_SEXUAL_ENTICEMENT_MINORS}
    assert not is_restricted(None)
