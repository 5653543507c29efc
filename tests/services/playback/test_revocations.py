"""What was withdrawn, and what was not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamd.errors import KeyStateError
from streamd.services.playback import revocations
from streamd.services.playback.revocations import RevocationKind, Revocations
from streamd.services.playback.ticket import Ticket, digest, key_digest

TICKET = Ticket(key_digest("k"), 2000, 1000, b"abcdef", digest("jti", "j"), digest("uid", "u"))


@pytest.mark.parametrize(
    ("kind", "value"),
    [(RevocationKind.JTI, "j"), (RevocationKind.UID, "u"), (RevocationKind.KID, "k"), (RevocationKind.CHANNEL, "demo")],
)
def test_it_ends_what_it_names_and_nothing_else(kind: RevocationKind, value: str) -> None:
    known = Revocations()
    known.add(kind, value + "x", 1000)
    assert not known.ends(TICKET, "demo")
    known.add(kind, value, 1000)
    assert known.ends(TICKET, "demo")


def test_of_a_channel_it_ends_what_is_watched_of_its_recordings() -> None:
    known = Revocations()
    known.add(RevocationKind.CHANNEL, "demo", 1000)
    assert known.ends(TICKET, "rec_1", "demo")
    assert not known.ends(TICKET, "rec_1", "other")
    assert not known.ends(TICKET, "rec_1")
    assert known.channel_epoch("rec_1", "demo") == 1000
    known.add(RevocationKind.CHANNEL, "rec_1", 2000)
    assert known.channel_epoch("rec_1", "demo") == 2000
    assert known.channel_epoch("demo") == 1000


@pytest.mark.parametrize("kind", [RevocationKind.UID, RevocationKind.KID, RevocationKind.CHANNEL])
def test_what_is_issued_later_is_good(kind: RevocationKind) -> None:
    known = Revocations()
    known.add(kind, {"uid": "u", "kid": "k", "channel": "demo"}[kind], 1000)
    assert not known.ends(replace(TICKET, issued_at=1001), "demo")


def test_a_token_is_withdrawn_for_good() -> None:
    known = Revocations()
    known.add(RevocationKind.JTI, "j", 1000)
    assert known.ends(replace(TICKET, issued_at=5000), "demo")


def test_an_older_act_takes_nothing_back() -> None:
    known = Revocations()
    known.add(RevocationKind.UID, "u", 1000)
    known.add(RevocationKind.UID, "u", 10)
    assert known.ends(TICKET, "demo")
    assert len(known) == 1


def test_a_viewer_without_a_name_is_nobody() -> None:
    known = Revocations()
    known.add(RevocationKind.UID, "", 1000)
    assert not known.ends(replace(TICKET, viewer=bytes(8)), "demo")


def test_they_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "REVOCATIONS_MAX", 2)
    known = Revocations()
    known.add(RevocationKind.JTI, "a", 1)
    known.check_room()
    known.add(RevocationKind.JTI, "b", 1)
    with pytest.raises(KeyStateError, match="withdraw the key"):
        known.check_room()
