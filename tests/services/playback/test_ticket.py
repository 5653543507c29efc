"""Tickets: written and read, and worth nothing once a bit, a channel or a secret is another."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from streamd.services.playback.claims import VIEWERS_MAX, Audience
from streamd.services.playback.ticket import (
    NO_DIGEST,
    TICKET_CHARS_MAX,
    Ticket,
    TicketOffice,
    digest,
    key_digest,
    new_session,
)

OFFICE = TicketOffice(bytes(range(32)))
PLAIN = Ticket(key_digest("k"), 1_800_000_000, 1_700_000_000, b"abcdef", digest("jti", "j"))


def network(number: int, host_bits: int, bits: int) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    packed = (number % 2**bits >> host_bits << host_bits).to_bytes(bits // 8, "big")
    return ipaddress.ip_network((packed, bits - host_bits))


networks = st.lists(
    st.one_of(
        st.builds(network, st.integers(0), st.integers(0, 32), st.just(32)),
        st.builds(network, st.integers(0), st.integers(0, 128), st.just(128)),
    ),
    max_size=4,
)
tickets = st.builds(
    Ticket,
    key=st.text("0123456789abcdef", min_size=8, max_size=8),
    expires_at=st.integers(1, 253_402_300_799),
    issued_at=st.integers(0, 2**32 - 1),
    session=st.binary(min_size=6, max_size=6),
    token=st.binary(min_size=8, max_size=8),
    viewer=st.binary(min_size=8, max_size=8),
    audience=st.integers(1, 15).map(Audience),
    viewers_max=st.integers(0, VIEWERS_MAX),
    networks=networks.map(tuple),
    may_go_back=st.booleans(),
)


@given(tickets)
def test_what_is_written_is_read(ticket: Ticket) -> None:
    text = OFFICE.write(ticket, "demo")
    assert len(text) <= TICKET_CHARS_MAX
    assert OFFICE.read(text, "demo") == ticket


def test_its_form() -> None:
    text = OFFICE.write(PLAIN, "demo")
    kid, expiry, _, mac = text.split(".")
    assert (kid, expiry, len(mac)) == (key_digest("k"), "1800000000", 22)
    assert len(text) < 90


def test_of_another_channel() -> None:
    assert OFFICE.read(OFFICE.write(PLAIN, "demo"), "dem0") is None
    assert OFFICE.read(OFFICE.write(PLAIN, "demo"), "") is None


def test_of_another_server() -> None:
    assert TicketOffice(bytes(32)).read(OFFICE.write(PLAIN, "demo"), "demo") is None


def test_every_letter_of_it_counts() -> None:
    text = OFFICE.write(PLAIN, "demo")
    for position, letter in enumerate(text):
        for other in "0aA.-~":
            if other != letter:
                assert OFFICE.read(text[:position] + other + text[position + 1 :], "demo") is None


def test_another_spelling() -> None:
    text = OFFICE.write(PLAIN, "demo")
    for other in (text + "A", text[:-1], text.upper(), " " + text, text + "\n", text.replace(".", "%2E")):
        assert OFFICE.read(other, "demo") is None


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    assert OFFICE.read(text, "demo") is None


def test_the_parts_of_two_do_not_make_a_third() -> None:
    first = OFFICE.write(PLAIN, "demo").split(".")
    second = OFFICE.write(Ticket("0" * 8, 1_900_000_000, 5, b"ghijkl", NO_DIGEST), "demo").split(".")
    for part in range(3):
        mixed = [*first]
        mixed[part] = second[part]
        assert OFFICE.read(".".join(mixed), "demo") is None


def test_two_kinds_of_a_name_have_two_digests() -> None:
    assert digest("jti", "x") != digest("uid", "x")


def test_sessions_are_new() -> None:
    assert new_session() != new_session()


class TestWord:
    def test_the_same_for_all_viewers_of_a_broadcast(self) -> None:
        assert OFFICE.word("demo", "1") == OFFICE.word("demo", "1")

    def test_another_for_another_channel_broadcast_or_server(self) -> None:
        others = {OFFICE.word("demo", "2"), OFFICE.word("dem0", "1"), TicketOffice(bytes(32)).word("demo", "1")}
        assert OFFICE.word("demo", "1") not in others
        assert len(others) == 3

    def test_128_bits_in_letters_of_a_path(self) -> None:
        word = OFFICE.word("demo", "1")
        assert len(word) == 26
        assert set(word) <= set("0123456789abcdefghijklmnopqrstuv")
