"""The words in the names of locked channels' media."""

from __future__ import annotations

import pytest

from streamd.services.playback import media_words
from streamd.services.playback.media_words import MediaWords
from streamd.services.playback.policy import PlaybackRule, Policies, Policy
from streamd.services.playback.revocations import RevocationKind, Revocations
from streamd.services.playback.ticket import TicketOffice


def test_each_broadcast_has_another_and_so_has_what_was_withdrawn() -> None:
    revocations = Revocations()
    words = MediaWords(TicketOffice(bytes(32)), Policies(Policy.SIGNED), revocations)
    before = words.of("demo", 1)
    assert words.of("demo", 1) == before
    assert words.of("other", 1) != before
    assert words.of("demo", 2) != before
    revocations.add(RevocationKind.CHANNEL, "demo", 1000)
    assert words.of("demo", 1) not in (before, "")


def test_they_are_the_same_for_whoever_knows_the_secret() -> None:
    one, two = (MediaWords(TicketOffice(bytes(32)), Policies(Policy.SIGNED), Revocations()) for _ in range(2))
    assert one.of("demo", 1) == two.of("demo", 1)
    assert one.of("demo", 1) != MediaWords(TicketOffice(b"1" * 32), Policies(Policy.SIGNED), Revocations()).of(
        "demo", 1
    )


def test_those_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_words, "WORDS_MAX", 3)
    words = MediaWords(TicketOffice(bytes(32)), Policies(Policy.SIGNED), Revocations())
    found = [words.of(f"c{number}", 1) for number in range(10)]
    assert len(words._words) == 3
    assert [words.of(f"c{number}", 1) for number in range(10)] == found


def test_a_channel_for_everybody_has_none_and_one_that_is_locked_has_one_at_once() -> None:
    policies = Policies()
    words = MediaWords(TicketOffice(bytes(32)), policies, Revocations())
    assert words.of("demo", 1) == ""
    policies.replace({"demo": PlaybackRule(Policy.SIGNED)})
    assert words.of("demo", 1) != ""
    policies.replace({"demo": PlaybackRule(Policy.PUBLIC)})
    assert words.of("demo", 1) == ""
    policies.default = Policy.SIGNED
    assert words.of("demo", 1) == ""
    assert words.of("other", 1) != ""
    policies.replace({})
    assert words.of("demo", 1) != ""
