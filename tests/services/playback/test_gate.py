"""The gate: who is let in, by what, from where, and until when."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from streamd.errors import PlaybackRefusedError
from streamd.services.playback import token_check
from streamd.services.playback.claims import Audience
from streamd.services.playback.gate import FAILURES_PER_SOURCE_MAX, LENT_S
from streamd.services.playback.gate_options import GateOptions
from streamd.services.playback.grounds import HOOK_KEY, PASSWORD_KEY
from streamd.services.playback.policy import Policy
from streamd.services.playback.presence import VIEWING_S
from streamd.services.playback.refusal import Refusal
from streamd.services.playback.revocations import RevocationKind
from streamd.services.playback.token import ShownToken, check_signature
from streamd.services.playback.verifying_key import Algorithm, VerifyingKey
from streamd.services.playback.viewing import Viewing
from streamd.services.playback.visitor import Visitor
from tests.support.playback_gate import HOME, KEYS, NOW, GateHouse, token

VIDEO = Audience.VIDEO


def admit(
    house: GateHouse, text: str, visitor: Visitor = HOME, channel: str = "demo", wanted: Audience = VIDEO
) -> Viewing:
    return house.gate.admit(channel, text, wanted, visitor)


def enter(house: GateHouse, viewing: Viewing, visitor: Visitor = HOME, **options: Any) -> Viewing:
    wanted = options.pop("wanted", VIDEO)
    watches = options.pop("watches", True)
    channel = options.pop("channel", "demo")
    return house.gate.enter(channel, viewing.text, wanted, visitor.address, visitor.user_agent, watches=watches)


def refusal(call: Any, *args: Any, **options: Any) -> tuple[int, str]:
    with pytest.raises(PlaybackRefusedError) as refused:
        call(*args, **options)
    return refused.value.status, refused.value.reason


class TestPolicy:
    def test_nothing_is_locked_at_first(self) -> None:
        house = GateHouse(Policy.PUBLIC)
        assert house.gate.is_open
        assert not house.gate.is_locked("demo")

    def test_one_channel(self) -> None:
        house = GateHouse(Policy.PUBLIC)
        house.rule("demo", Policy.SIGNED)
        assert not house.gate.is_open
        assert house.gate.is_locked("demo")
        assert not house.gate.is_locked("other")

    def test_all_but_one(self) -> None:
        house = GateHouse(Policy.SIGNED)
        house.rule("demo", Policy.PUBLIC)
        assert not house.gate.is_locked("demo")
        assert house.gate.is_locked("other")

    def test_a_recording_is_as_its_channel_unless_it_is_decided(self) -> None:
        house = GateHouse(Policy.PUBLIC)
        house.rule("demo", Policy.SIGNED)
        assert house.gate.is_locked("rec_1", "demo")
        house.rule("rec_1", Policy.PUBLIC)
        assert not house.gate.is_locked("rec_1", "demo")

    def test_doors_hear_of_channels_that_change(self) -> None:
        told: list[str] = []
        house = GateHouse(Policy.PUBLIC)
        house.gate.on_locked(told.append)
        house.rule("demo", Policy.SIGNED)
        house.rule("demo", Policy.SIGNED)
        house.rule("other", Policy.PUBLIC)
        assert told == ["demo"]


class TestToken:
    @pytest.mark.parametrize("algorithm", [*Algorithm])
    def test_a_good_one_makes_a_ticket_that_is_good_as_long(self, algorithm: Algorithm) -> None:
        house = GateHouse()
        viewing = admit(house, token(algorithm))
        assert viewing.ticket.expires_at == NOW + 60
        assert enter(house, viewing) is viewing
        house.clock.advance(59.9)
        enter(house, viewing)
        house.clock.advance(0.1)
        assert refusal(enter, house, viewing) == (403, "expired")

    def test_a_ticket_lasts_no_longer_than_the_operator_says(self) -> None:
        house = GateHouse(ticket_s=10)
        assert admit(house, token()).ticket.expires_at == NOW + 10

    def test_none(self) -> None:
        assert refusal(admit, GateHouse(), "") == (401, "no_token")
        assert refusal(admit, GateHouse(Policy.PASSWORD), "") == (401, "password")

    @pytest.mark.parametrize(
        ("claims", "why"),
        [
            ({"exp": NOW - 5}, "expired"), ({"exp": NOW - 3600}, "expired"), ({"nbf": NOW + 6}, "not_yet"),
            ({"sub": "other"}, "subject"), ({"sub": "dem"}, "subject"), ({"sub": "DEMO"}, "subject"),
            ({"aud": "t"}, "audience"), ({"exp": "never"}, "malformed"), ({"exp": None}, "malformed"),
            ({"ip": "198.51.100.0/24"}, "network"), ({"ref": "example.org"}, "referrer"),
        ],
    )  # fmt: skip
    def test_a_claim_that_does_not_hold(self, claims: dict[str, Any], why: str) -> None:
        house = GateHouse()
        visitor = Visitor(HOME.address, referrer="https://evil.example")
        assert refusal(admit, house, token(**claims), visitor) == (403, why)
        assert house.counted == [why]

    def test_a_clock_that_is_a_little_wrong(self) -> None:
        house = GateHouse()
        admit(house, token(nbf=NOW + 5))
        assert admit(house, token(exp=NOW - 4)).ticket.expires_at == NOW + 1

    def test_a_key_that_is_not_known_or_has_ended(self) -> None:
        house = GateHouse()
        assert refusal(admit, house, token(kid="other")) == (403, "unknown_key")
        key, _ = KEYS[Algorithm.EDDSA]
        house.gate.keys.set_own({key.kid: (key, house.clock.now())})
        assert refusal(admit, house, token()) == (403, "unknown_key")

    def test_a_picture_is_no_video(self) -> None:
        house = GateHouse()
        viewing = admit(house, token(aud="t"), wanted=Audience.THUMBNAIL)
        assert refusal(enter, house, viewing) == (403, "audience")
        enter(house, viewing, wanted=Audience.THUMBNAIL, watches=False)

    def test_nothing_of_a_token_is_in_a_refusal(self) -> None:
        text = token(sub="other")
        with pytest.raises(PlaybackRefusedError) as refused:
            admit(GateHouse(), text)
        for part in text.split("."):
            assert part not in str(refused.value)


class TestTicket:
    def test_of_another_channel(self) -> None:
        house = GateHouse()
        viewing = admit(house, token())
        assert refusal(enter, house, viewing, channel="other") == (403, "ticket")

    def test_the_next_process_reads_it(self) -> None:
        text = admit(GateHouse(), token()).text
        other = GateHouse()
        found = other.gate.enter("demo", text, VIDEO, HOME.address, watches=True)
        assert found.ticket.expires_at == NOW + 60

    @pytest.mark.parametrize("text", ["", "x", "~", "a.b.c.d", "0" * 5000, "../..", "%7E"])
    def test_none(self, text: str) -> None:
        assert refusal(GateHouse().gate.enter, "demo", text, VIDEO, HOME.address, watches=True) == (403, "ticket")

    def test_those_that_are_none_are_not_kept(self) -> None:
        house = GateHouse()
        for number in range(1000):
            refusal(house.gate.enter, "demo", f"{number:08x}.1.A.B", VIDEO, HOME.address, watches=True)
        assert len(house.gate.viewings) == 0

    def test_its_network_holds_for_the_ticket_too(self) -> None:
        house = GateHouse()
        viewing = admit(house, token(ip="192.0.2.0/24"))
        assert refusal(enter, house, viewing, Visitor("198.51.100.1")) == (403, "network")
        enter(house, viewing, Visitor("::ffff:192.0.2.9", user_agent=HOME.user_agent))
        assert refusal(enter, house, viewing, Visitor("unknown")) == (403, "network")

    def test_given_on_to_another_player(self) -> None:
        house = GateHouse()
        viewing = admit(house, token())
        enter(house, viewing)
        assert refusal(enter, house, viewing, Visitor("198.51.100.1", user_agent="VLC")) == (403, "too_many")
        enter(house, viewing, Visitor("198.51.100.1", user_agent="VLC"), watches=False)


class TestViewersAtOnce:
    def test_of_one_token(self) -> None:
        house = GateHouse()
        text = token(jti="j", max=2)
        first, _ = admit(house, text), admit(house, text)
        assert refusal(admit, house, text) == (403, "too_many")
        house.clock.advance(VIEWING_S - 1)
        enter(house, first)
        house.clock.advance(2)
        admit(house, text)
        assert refusal(admit, house, text) == (403, "too_many")

    def test_of_one_viewer_with_many_tokens(self) -> None:
        house = GateHouse()
        admit(house, token(uid="alice", jti="1", max=1))
        assert refusal(admit, house, token(uid="alice", jti="2", max=1)) == (403, "too_many")
        admit(house, token(uid="bob", jti="3", max=1))

    def test_a_token_without_an_id_is_itself(self) -> None:
        house = GateHouse()
        admit(house, token(max=1))
        assert refusal(admit, house, token(max=1)) == (403, "too_many")
        admit(house, token(max=1, exp=NOW + 61))

    def test_one_that_lost_its_place_is_refused(self) -> None:
        house = GateHouse()
        text = token(jti="j", max=1)
        first = admit(house, text)
        house.clock.advance(VIEWING_S + 1)
        admit(house, text)
        assert refusal(enter, house, first) == (403, "too_many")

    def test_who_follows_a_stream_is_there_until_they_leave(self) -> None:
        house = GateHouse()
        text = token(jti="j", max=1, exp=NOW + 3600)
        viewing = admit(house, text)
        house.gate.follow(viewing)
        house.clock.advance(1000)
        assert refusal(admit, house, text) == (403, "too_many")
        house.gate.unfollow(viewing)
        admit(house, text)

    def test_pieces_that_one_player_asks_for_are_one_viewing(self) -> None:
        house = GateHouse()
        text = token(jti="j", max=1)
        first = house.gate.admit("demo", text, VIDEO, HOME, is_piece=True)
        assert house.gate.admit("demo", text, VIDEO, HOME, is_piece=True) is first
        house.clock.advance(2)
        assert house.gate.admit("demo", text, VIDEO, HOME, is_piece=True).ticket.session == first.ticket.session
        other = HOME._replace(user_agent="VLC")
        assert refusal(house.gate.admit, "demo", text, VIDEO, other, is_piece=True) == (403, "too_many")
        house.gate.revocations.add(RevocationKind.JTI, "j", NOW)
        house.gate.end_withdrawn()
        assert first.refusal is Refusal.REVOKED

    def test_who_is_shown_a_picture_does_not_watch(self) -> None:
        house = GateHouse()
        text = token(jti="j", max=1, aud=["v", "t", "s"])
        for wanted in (Audience.THUMBNAIL, Audience.STORYBOARD, Audience.THUMBNAIL):
            admit(house, text, wanted=wanted)
        admit(house, text)
        admit(house, text, wanted=Audience.THUMBNAIL)
        assert refusal(admit, house, text) == (403, "too_many")


class TestRevocation:
    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            (RevocationKind.JTI, "j"), (RevocationKind.UID, "u"), (RevocationKind.KID, "key-EdDSA"),
            (RevocationKind.CHANNEL, "demo"),
        ],
    )  # fmt: skip
    def test_ends_tickets_and_tokens_alike(self, kind: RevocationKind, value: str) -> None:
        house = GateHouse()
        text = token(jti="j", uid="u", iat=NOW)
        viewing, other = admit(house, text), admit(house, token(Algorithm.ES256, sub="other", jti="k"), channel="other")
        house.gate.revocations.add(kind, value, NOW)
        assert house.gate.end_withdrawn() == 1
        assert refusal(enter, house, viewing) == (403, "revoked")
        assert refusal(admit, house, text) == (403, "revoked")
        enter(house, other, channel="other")
        # Another process reads the ticket for the first time.
        fresh = GateHouse()
        fresh.gate.revocations.add(kind, value, NOW)
        assert refusal(fresh.gate.enter, "demo", viewing.text, VIDEO, HOME.address, watches=True) == (403, "revoked")

    def test_of_a_channel_ends_what_is_watched_of_its_recordings_too(self) -> None:
        house = GateHouse()
        text, elsewhere = token(sub="rec_1", iat=NOW), token(sub="rec_2", iat=NOW)
        viewing = house.gate.admit("rec_1", text, VIDEO, HOME, owner="demo")
        other = house.gate.admit("rec_2", elsewhere, VIDEO, HOME, owner="other")
        house.gate.revocations.add(RevocationKind.CHANNEL, "demo", NOW)
        assert house.gate.end_withdrawn() == 1
        assert viewing.refusal is not None
        assert other.refusal is None
        assert refusal(house.gate.admit, "rec_1", text, VIDEO, HOME, owner="demo") == (403, "revoked")
        # Another process reads the ticket for the first time.
        fresh = GateHouse()
        fresh.gate.revocations.add(RevocationKind.CHANNEL, "demo", NOW)
        look = {"watches": True, "owner": "demo"}
        assert refusal(fresh.gate.enter, "rec_1", viewing.text, VIDEO, HOME.address, **look) == (403, "revoked")

    def test_a_new_link_is_good(self) -> None:
        house = GateHouse()
        house.gate.revocations.add(RevocationKind.CHANNEL, "demo", NOW)
        house.clock.advance(1)
        admit(house, token(iat=NOW + 1))

    def test_a_token_that_does_not_say_when_it_was_issued_is_older_than_any_act(self) -> None:
        house = GateHouse()
        house.gate.revocations.add(RevocationKind.CHANNEL, "demo", NOW - 1000)
        assert refusal(admit, house, token()) == (403, "revoked")


class TestFloods:
    def test_wrong_tokens_of_one_address(self) -> None:
        house = GateHouse()
        for number in range(FAILURES_PER_SOURCE_MAX):
            refusal(admit, house, token(kid=f"k{number}"))
        assert refusal(admit, house, token()) == (429, "too_often")
        admit(house, token(), Visitor("198.51.100.1"))
        house.clock.advance(2)
        admit(house, token())

    def test_a_hundred_thousand_of_one_address_are_checked_sixty_times(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        house, checked = GateHouse(), list[str]()
        good = token()
        body, _, signature = good.rpartition(".")

        def check(shown: ShownToken, key: VerifyingKey) -> None:
            checked.append(shown.signature)
            check_signature(shown, key)

        monkeypatch.setattr(token_check, "check_signature", check)
        with caplog.at_level(logging.INFO):
            for number in range(100_000):
                wrong = f"{body}.{number:08}{signature[8:]}"
                refusal(house.gate.admit, "demo", wrong, VIDEO, HOME)
        assert len(checked) == FAILURES_PER_SOURCE_MAX
        assert len(caplog.records) == 1
        assert house.counted.count("too_often") == 100_000 - FAILURES_PER_SOURCE_MAX
        # The neighbours' are checked meanwhile.
        admit(house, good, Visitor("198.51.100.1"))

    def test_one_line_a_second_and_flat_memory(self, caplog: pytest.LogCaptureFixture) -> None:
        house = GateHouse()
        with caplog.at_level(logging.INFO):
            for number in range(5000):
                visitor = Visitor(f"2001:db8:{number:x}::1")
                refusal(admit, house, f"e30.e30.{number}", visitor)
        assert len(caplog.records) == 1
        assert len(house.gate.viewings) == 0
        house.clock.advance(1)
        house.gate.tell()
        with caplog.at_level(logging.INFO):
            house.gate.tell()
        assert len(caplog.records) <= 2
        assert "e30" not in caplog.text


class TestOnAnothersWord:
    def test_as_long_and_as_many_as_it_says(self) -> None:
        house = GateHouse(Policy.HOOK)
        viewing = house.gate.admit_by(HOOK_KEY, "demo", HOME, ttl_s=30, viewers_max=1)
        assert viewing.ticket.expires_at == NOW + 30
        enter(house, viewing)
        enter(house, viewing, wanted=Audience.THUMBNAIL, watches=False)

    def test_as_many_of_those_who_show_the_same_or_come_from_there(self) -> None:
        house = GateHouse(Policy.HOOK)
        elsewhere = HOME._replace(address="198.51.100.1")

        def begin(shown: str, visitor: Visitor = HOME, **options: Any) -> Viewing:
            return house.gate.admit_by(HOOK_KEY, "demo", visitor, shown=shown, viewers_max=2, **options)

        for shown in ("word", "other", ""):
            begin(shown)
            begin(shown, counts=False)
            enter(house, begin(shown))
            assert refusal(begin, shown) == (403, "too_many")
        assert refusal(begin, "word", elsewhere) == (403, "too_many")
        begin("", elsewhere)
        house.clock.advance(VIEWING_S + 1)
        for _ in range(5):
            begin("word", is_piece=True)
        begin("word")
        assert refusal(begin, "word") == (403, "too_many")

    def test_no_longer_than_a_ticket(self) -> None:
        house = GateHouse(Policy.HOOK, ticket_s=100)
        assert house.gate.admit_by(HOOK_KEY, "demo", HOME).ticket.expires_at == NOW + 100
        assert house.gate.admit_by(HOOK_KEY, "demo", HOME, ttl_s=1e6).ticket.expires_at == NOW + 100

    @pytest.mark.parametrize("policy", [Policy.SIGNED, Policy.PASSWORD])
    def test_the_word_of_a_service_that_is_not_asked_any_more_counts_no_more(self, policy: Policy) -> None:
        house = GateHouse(Policy.PUBLIC)
        house.rule("demo", Policy.HOOK)
        viewing = house.gate.admit_by(HOOK_KEY, "demo", HOME)
        house.rule("demo", policy, "hash")
        assert viewing.refusal is not None
        assert refusal(house.gate.admit_by, HOOK_KEY, "demo", HOME) == (403, "revoked")

    def test_a_password_counts_where_it_is_the_one_of_now(self) -> None:
        house = GateHouse(Policy.PUBLIC)
        house.rule("demo", Policy.PASSWORD, "one")
        viewing = house.gate.admit_by(PASSWORD_KEY, "demo", HOME, password_hash="one")
        of_a_recording = house.gate.admit_by(PASSWORD_KEY, "rec_1", HOME, owner="demo", password_hash="one")
        by_token = admit(house, token())
        house.rule("other", Policy.SIGNED)
        assert enter(house, viewing) is viewing
        house.rule("demo", Policy.PASSWORD, "two")
        assert [each.refusal is None for each in (viewing, of_a_recording, by_token)] == [False, False, True]
        assert refusal(house.gate.admit_by, PASSWORD_KEY, "demo", HOME, password_hash="one") == (403, "revoked")
        house.rule("demo", Policy.SIGNED)
        assert by_token.refusal is None
        house.rule("demo", Policy.HOOK)
        assert by_token.refusal is not None

    def test_a_ticket_that_was_forgotten_is_read_by_the_same_rule(self) -> None:
        house = GateHouse(Policy.PUBLIC)
        house.rule("demo", Policy.PASSWORD, "one")
        viewing = house.gate.admit_by(PASSWORD_KEY, "rec_1", HOME, owner="demo", password_hash="one")
        other = GateHouse(Policy.PUBLIC)
        other.rule("demo", Policy.PASSWORD, "one")
        other.gate.enter("rec_1", viewing.text, VIDEO, HOME.address, watches=True, owner="demo")
        other = GateHouse(Policy.PUBLIC)
        other.rule("demo", Policy.SIGNED)
        with pytest.raises(PlaybackRefusedError):
            other.gate.enter("rec_1", viewing.text, VIDEO, HOME.address, watches=True, owner="demo")

    def test_the_default_becomes_another(self) -> None:
        house = GateHouse(Policy.HOOK)
        viewing = house.gate.admit_by(HOOK_KEY, "demo", HOME)
        house.gate.configure(GateOptions(Policy.SIGNED))
        assert viewing.refusal is not None

    def test_a_ticket_that_is_lent_opens_the_recording_for_a_moment(self) -> None:
        house = GateHouse()
        lent = house.gate.lend(admit(house, token(exp=NOW + 3600)), "rec_1")

        def look() -> None:
            house.gate.enter("rec_1", lent, VIDEO, HOME.address, watches=False, owner="demo")

        look()
        assert refusal(house.gate.enter, "demo", lent, VIDEO, HOME.address, watches=False) == (403, "ticket")
        house.clock.advance(LENT_S)
        assert refusal(look) == (403, "expired")
        short = house.gate.lend(admit(house, token(exp=NOW + LENT_S + 5)), "rec_1")
        house.clock.advance(6)
        assert refusal(house.gate.enter, "rec_1", short, VIDEO, HOME.address, watches=False)[1] == "expired"

    def test_what_is_left_of_a_ticket(self) -> None:
        house = GateHouse(Policy.HOOK, ticket_s=100)
        viewing = house.gate.admit_by(HOOK_KEY, "demo", HOME)
        house.clock.advance(30)
        assert house.gate.left_s(viewing) == 70

    def test_a_place_where_it_is_forbidden_is_told_before_the_word_counts(self) -> None:
        house = GateHouse(Policy.HOOK, referrers=("example.org",))
        elsewhere = Visitor(HOME.address, referrer="https://evil.example")
        assert refusal(house.gate.admit_by, HOOK_KEY, "demo", elsewhere) == (403, "referrer")
