"""Blocks, on SQLite and PostgreSQL: who may not publish, what is not shown to whom, and lists of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from streamd.errors import (
    BlockError,
    KeyRequestError,
    ModerationStateError,
    ReceiverUnreachableError,
    StoreUnavailableError,
    TakedownNotFoundError,
)
from streamd.services.events.event import EventType
from streamd.services.keys.admission import Denial
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.stream_key import StreamKey
from streamd.services.moderation.acts import blocks as rules
from streamd.services.moderation.acts.block import BlockKind
from streamd.services.moderation.acts.block_import import LINE_CHARS_MAX, read_list
from streamd.services.moderation.acts.purge import AT_ONCE_MAX
from streamd.services.recording.recording_id import new_recording_id
from tests.support.enforcement import MODERATOR, Deck

pytestmark = pytest.mark.asyncio

HASH = "ab" * 32


@pytest_asyncio.fixture
async def deck(store: KeyStore, tmp_path: Path) -> AsyncIterator[Deck]:
    deck = Deck(store, tmp_path)
    await deck.room.start()
    yield deck
    await deck.room.close()


class TestPublish:
    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            ("channel", "anna"),
            ("user", "anna"),
            ("key", "abcdefghjk"),
            ("network", "198.51.100.0/24"),
            ("network", "198.51.100.7"),
            ("country", "fr"),
        ],
    )
    async def test_what_is_live_is_closed_and_what_comes_refused(self, deck: Deck, kind: str, value: str) -> None:
        deck.streams.go_live("anna", "abcdefghjk", "198.51.100.7")
        deck.streams.go_live("bert", "other00000", "203.0.113.1")
        done = await deck.blocks.add(kind=kind, value=value, actor=MODERATOR)
        assert done.closed == ("anna",)
        assert [*deck.streams.admissions] == ["bert"]
        assert deck.bars.denial("anna", "abcdefghjk", "198.51.100.7") is not None
        assert deck.bars.denial("bert", "other00000", "203.0.113.1") is None

    async def test_an_address_in_ipv6_clothes(self, deck: Deck) -> None:
        await deck.blocks.add(kind="network", value="198.51.100.0/24", actor=MODERATOR)
        assert deck.bars.denial("anna", "k", "::ffff:198.51.100.9") is Denial.BLOCKED
        assert deck.bars.denial("anna", "k", "no address") is None

    async def test_removing_one_of_two_leaves_the_other(self, deck: Deck) -> None:
        first = await deck.blocks.add(kind="channel", value="anna", actor=MODERATOR)
        second = await deck.blocks.add(
            kind="channel", value="anna", until=deck.clock.now() + timedelta(days=1), actor=MODERATOR
        )
        await deck.blocks.remove(first.block.id, actor=MODERATOR, reason="an error")
        assert "anna" in deck.bars.channels
        await deck.blocks.remove(second.block.id, actor=MODERATOR)
        assert "anna" not in deck.bars.channels
        with pytest.raises(TakedownNotFoundError):
            await deck.blocks.remove(second.block.id, actor=MODERATOR)
        assert [entry.action for entry in await deck.audit()] == [
            "block.added",
            "block.added",
            "block.removed",
            "block.removed",
        ]

    async def test_an_equal_one_is_there_already(self, deck: Deck) -> None:
        first = await deck.blocks.add(kind="channel", value="anna", actor=MODERATOR)
        again = await deck.blocks.add(kind="user", value="anna", actor=MODERATOR)
        assert not again.is_new
        assert again.block == first.block
        assert len(await deck.audit()) == 1

    async def test_two_orders_on_one_channel_are_two_acts(self, deck: Deck) -> None:
        first = await deck.blocks.add(kind="channel", value="anna", order="ord_1", actor=MODERATOR)
        second = await deck.blocks.add(kind="channel", value="anna", order="ord_2", actor=MODERATOR)
        assert second.is_new
        assert not (await deck.blocks.add(kind="channel", value="anna", order="ord_1", actor=MODERATOR)).is_new
        await deck.blocks.remove(first.block.id, actor=MODERATOR, reason="ord_1 was lifted")
        assert "anna" in deck.bars.channels

    async def test_many_that_end_at_once_end_in_pieces(self, deck: Deck, monkeypatch: pytest.MonkeyPatch) -> None:
        """No step of the loop, and no statement, grows with a list."""
        monkeypatch.setattr(rules, "STEP", 2)
        until = (deck.clock.now() + timedelta(minutes=5)).isoformat()
        lines = "".join(f"channel,name{number},publish,,{until}\n" for number in range(5)).encode()
        await deck.blocks.import_all(read_list(lines), actor=MODERATOR, only_checks=False)
        deck.clock.advance(301)
        writes = deck.store.database.writes
        await deck.blocks.look()
        assert (len(deck.blocks.held), len(deck.bars.channels)) == (0, 0)
        assert deck.store.database.writes == writes + 3
        assert [entry.action for entry in await deck.audit()] == ["block.imported", *["block.removed"] * 5]

    async def test_one_that_another_server_has_ended_stops_nothing(self, deck: Deck, tmp_path: Path) -> None:
        """Both have it end in the same second; one of them writes that."""
        until = deck.clock.now() + timedelta(minutes=5)
        await deck.blocks.add(kind="channel", value="anna", until=until, actor=MODERATOR)
        other = Deck(deck.store, tmp_path / "other", deck.clock)
        await other.room.start()
        deck.clock.advance(301)
        for server in (deck, other):
            await server.blocks.look()
            assert len(server.blocks.held) == 0
        assert [entry.action for entry in await deck.audit()] == ["block.added", "block.removed"]
        assert [event.type for event in other.events] == []
        await other.room.close()

    async def test_who_blocks_what_is_being_removed_has_a_block_of_their_own(
        self, deck: Deck, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = await deck.blocks.add(kind="channel", value="anna", actor=MODERATOR)
        remove, begun, go_on = deck.blocks._store.remove, asyncio.Event(), asyncio.Event()

        async def slow(entries: Any) -> Any:
            begun.set()
            await go_on.wait()
            return await remove(entries)

        monkeypatch.setattr(deck.blocks._store, "remove", slow)
        removal = asyncio.create_task(deck.blocks.remove(first.block.id, actor=MODERATOR))
        await begun.wait()
        second = await deck.blocks.add(kind="channel", value="anna", actor=MODERATOR)
        go_on.set()
        await removal
        assert second.is_new
        assert "anna" in deck.bars.channels

    async def test_it_ends_also_without_a_store(self, deck: Deck, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rules, "STEP", 1)
        until = deck.clock.now() + timedelta(minutes=5)
        for name in ("anna", "bert"):
            await deck.blocks.add(kind="channel", value=name, until=until, actor=MODERATOR)
        deck.clock.advance(301)

        def away() -> object:
            raise StoreUnavailableError("gone")

        with monkeypatch.context() as patch:
            patch.setattr(deck.store.database, "writing", away)
            with pytest.raises(StoreUnavailableError):
                await deck.blocks.look()
        assert not len(deck.bars.channels)
        await deck.blocks.look()
        assert len(deck.blocks.held) == 0

    async def test_it_ends_when_its_time_is_over(self, deck: Deck) -> None:
        await deck.blocks.add(
            kind="channel", value="anna", until=deck.clock.now() + timedelta(minutes=5), actor=MODERATOR
        )
        await deck.blocks.look()
        assert "anna" in deck.bars.channels
        deck.clock.advance(301)
        await deck.blocks.look()
        assert "anna" not in deck.bars.channels
        assert len(deck.blocks.held) == 0
        assert (await deck.audit())[-1].actor == "streamd"
        assert len((await deck.again()).blocks.held) == 0

    async def test_it_holds_after_a_restart(self, deck: Deck) -> None:
        done = await deck.blocks.add(
            kind="network", value="2001:db8::/32", order="ord_1", reason="a farm", actor=MODERATOR
        )
        after = await deck.again()
        assert after.blocks.held.find(done.block.id) == done.block
        assert after.bars.denial("anna", "k", "2001:db8::5") is Denial.BLOCKED
        await after.room.close()

    async def test_a_hash_is_for_the_machine(self, deck: Deck) -> None:
        deck.streams.go_live("anna")
        done = await deck.blocks.add(kind="hash", value=HASH.upper(), actor=MODERATOR)
        assert deck.blocks.held.hashes() == {HASH}
        assert done.closed == ()
        assert [*deck.streams.admissions] == ["anna"]

    async def test_a_whole_key_is_kept_by_its_id(self, deck: Deck) -> None:
        key = StreamKey.generate()
        done = await deck.blocks.add(kind="key", value=key.reveal(), actor=MODERATOR)
        assert done.block.value == key.key_id
        assert key.secret not in repr(await deck.audit()) + repr(deck.events)


class TestView:
    """RFC 7725."""

    async def test_a_channel_in_a_country(self, deck: Deck) -> None:
        assert deck.gate.is_open
        told: list[str] = []
        deck.gate.on_blocked(told.append)
        done = await deck.blocks.add(
            kind="channel", value="anna", scope="view", countries=["DE", "at"], actor=MODERATOR
        )
        assert done.block.countries == ("AT", "DE")
        assert told == ["anna"]
        assert deck.gate.is_blocked("203.0.113.1", "anna")
        assert not deck.gate.is_blocked("198.51.100.1", "anna")
        assert not deck.gate.is_blocked("192.0.2.1", "anna")
        assert not deck.gate.is_blocked("203.0.113.1", "bert")
        recording = new_recording_id(deck.clock.now())
        assert deck.gate.is_blocked("203.0.113.1", recording, "anna")
        # It may be published.
        assert deck.bars.denial("anna", "k", "203.0.113.1") is None
        await deck.blocks.remove(done.block.id, actor=MODERATOR)
        assert deck.gate.is_open

    async def test_a_country_and_a_network_for_all_there_is(self, deck: Deck) -> None:
        await deck.blocks.add(kind="country", value="DE", scope="view", actor=MODERATOR)
        await deck.blocks.add(kind="network", value="192.0.2.0/24", scope="view", actor=MODERATOR)
        assert deck.gate.is_blocked("203.0.113.1", "anna")
        assert deck.gate.is_blocked("192.0.2.1", "bert")
        assert not deck.gate.is_blocked("198.51.100.1", "bert")

    async def test_a_channel_for_everybody_and_a_recording_alone(self, deck: Deck) -> None:
        recording = new_recording_id(deck.clock.now())
        await deck.blocks.add(kind="channel", value="anna", scope="view", actor=MODERATOR)
        await deck.blocks.add(kind="channel", value=recording, scope="view", countries=["DE"], actor=MODERATOR)
        assert deck.gate.is_blocked("192.0.2.1", "anna")
        assert deck.gate.is_blocked("203.0.113.1", recording, "bert")
        assert not deck.gate.is_blocked("203.0.113.1", "bert")

    async def test_the_country_of_an_address_is_looked_up_once(self, deck: Deck) -> None:
        await deck.blocks.add(kind="channel", value="anna", scope="view", countries=["DE"], actor=MODERATOR)
        for _ in range(1000):
            deck.gate.is_blocked("203.0.113.1", "anna")
        # Of a channel that nothing is said about, not even once.
        deck.gate.is_blocked("203.0.113.2", "bert")
        assert deck.countries.looked_up == 1

    async def test_without_a_database_of_countries_it_is_refused(self, deck: Deck) -> None:
        deck.countries.by_first_byte = {}
        for kind, value, countries in (("channel", "anna", ["DE"]), ("country", "DE", [])):
            with pytest.raises(ModerationStateError, match="geoip_file"):
                await deck.blocks.add(kind=kind, value=value, scope="view", countries=countries, actor=MODERATOR)
        assert deck.gate.is_open


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("field", "given"),
        [
            ("value", {"kind": "network", "value": "0.0.0.0/0"}),
            ("value", {"kind": "network", "value": "::/0"}),
            ("value", {"kind": "network", "value": "::ffff:0.0.0.0/96"}),
            ("value", {"kind": "network", "value": "example.org"}),
            ("value", {"kind": "country", "value": "XX"}),
            ("value", {"kind": "country", "value": "EU"}),
            ("value", {"kind": "hash", "value": HASH[:-1]}),
            ("value", {"kind": "hash", "value": HASH[:-1] + "g"}),
            ("value", {"kind": "key", "value": "sk_short"}),
            ("value", {"kind": "channel", "value": "An na"}),
            ("value", {"kind": "channel", "value": ""}),
            ("value", {"kind": "channel", "value": "rec_01j00000000000000000000000/../x"}),
            ("kind", {"kind": "planet", "value": "anna"}),
            ("scope", {"kind": "channel", "value": "anna", "scope": "hear"}),
            ("scope", {"kind": "hash", "value": HASH, "scope": "view"}),
            ("scope", {"kind": "key", "value": "abcdefghjk", "scope": "view"}),
            ("countries", {"kind": "channel", "value": "anna", "scope": "view", "countries": ["XX"]}),
            ("countries", {"kind": "channel", "value": "anna", "countries": ["DE"]}),
            ("countries", {"kind": "network", "value": "192.0.2.0/24", "scope": "view", "countries": ["DE"]}),
            ("order", {"kind": "channel", "value": "anna", "order": "x" * 201}),
        ],
    )
    async def test_it_names_the_part(self, deck: Deck, field: str, given: dict[str, Any]) -> None:
        with pytest.raises(BlockError) as caught:
            await deck.blocks.add(**given, actor=MODERATOR)
        assert caught.value.field == field
        assert len(deck.blocks.held) == 0

    async def test_a_time_that_is_over(self, deck: Deck) -> None:
        with pytest.raises(BlockError):
            await deck.blocks.add(kind="channel", value="anna", until=deck.clock.now(), actor=MODERATOR)

    async def test_the_whole_world_where_it_is_meant(self, deck: Deck) -> None:
        await deck.blocks.add(kind="network", value="0.0.0.0/0", actor=MODERATOR, allows_wide=True)
        assert deck.bars.denial("anna", "k", "192.0.2.1") is Denial.BLOCKED

    async def test_a_key_in_a_reason(self, deck: Deck) -> None:
        with pytest.raises(KeyRequestError):
            await deck.blocks.add(
                kind="channel", value="anna", reason=f"uses {StreamKey.generate().reveal()}", actor=MODERATOR
            )

    async def test_more_than_are_kept(self, deck: Deck, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rules, "BLOCKS_MAX", 1)
        await deck.blocks.add(kind="channel", value="anna", actor=MODERATOR)
        with pytest.raises(ModerationStateError):
            await deck.blocks.add(kind="channel", value="bert", actor=MODERATOR)
        with pytest.raises(ModerationStateError):
            await deck.blocks.import_all(read_list(b"bert"), actor=MODERATOR, only_checks=False)


class TestImport:
    async def test_ten_thousand_names_in_one_act(self, deck: Deck, monkeypatch: pytest.MonkeyPatch) -> None:
        """Work counted, in place of the 5 s and the 10 s: one transaction, one look at the streams, one row."""
        deck.streams.go_live("name007777")
        deck.streams.go_live("bystander")
        names = "\n".join(f"name{number:06}" for number in range(10_000)).encode()
        writes, looks = deck.store.database.writes, deck.streams.looks
        checked = await deck.blocks.import_all(read_list(names), actor=MODERATOR, only_checks=True)
        assert (checked.added, checked.known, checked.live) == (10_000, 0, ("name007777",))
        assert len(deck.blocks.held) == 0
        assert [*deck.streams.admissions] == ["name007777", "bystander"]
        done = await deck.blocks.import_all(read_list(names), actor=MODERATOR, only_checks=False, reason="list 4")
        assert (done.added, done.closed, done.live) == (10_000, 1, ("name007777",))
        assert [*deck.streams.admissions] == ["bystander"]
        assert deck.store.database.writes == writes + 1
        assert deck.streams.looks == looks + 1
        (entry,) = await deck.audit()
        assert (entry.action, entry.count, entry.subject) == ("block.imported", 10_000, done.id)
        assert [event.type for event in deck.events] == [EventType.BLOCKS_IMPORTED]
        again = await deck.blocks.import_all(read_list(names), actor=MODERATOR, only_checks=False)
        assert (again.added, again.known) == (0, 10_000)
        after = await deck.again()
        assert len(after.blocks.held) == 10_000
        assert "name009999" in after.bars.channels
        await after.room.close()

    async def test_a_cache_that_is_away_is_waited_for_once(self, deck: Deck, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each path of each live name waited for it for a second, which made minutes of a list."""
        asked: list[str] = []

        async def away(method: str, url: str, *, timeout_s: float) -> Any:
            asked.append(url)
            await asyncio.sleep(0)
            raise ReceiverUnreachableError("connection refused")

        monkeypatch.setattr(deck.cache, "tell", away)
        deck.cache_urls = ("http://cache",)
        names = [f"name{number}" for number in range(100)]
        for name in names:
            deck.streams.go_live(name)
        await deck.blocks.import_all(read_list("\n".join(names).encode()), actor=MODERATOR, only_checks=False)
        assert len(asked) == AT_ONCE_MAX
        assert len(deck.room._purge._again) == 400

    async def test_one_fault_and_nothing_is_taken(self, deck: Deck) -> None:
        done = await deck.blocks.import_all(
            read_list(b"anna\nB ad\nbert\n0.0.0.0/0"), actor=MODERATOR, only_checks=False
        )
        assert done.faulty == 2
        assert [fault.partition(":")[0] for fault in done.faults] == ["line 2", "line 4"]
        assert len(deck.blocks.held) == 0

    async def test_what_stands_twice_is_taken_once(self, deck: Deck) -> None:
        done = await deck.blocks.import_all(read_list(b"anna\nanna"), actor=MODERATOR, only_checks=False)
        assert (done.added, done.known) == (1, 1)

    async def test_a_block_that_ends_sooner_is_no_block_of_the_list(self, deck: Deck) -> None:
        """Taken for known, the name would be free again tomorrow."""
        soon = deck.clock.now() + timedelta(days=1)
        await deck.blocks.add(kind="channel", value="anna", until=soon, actor=MODERATOR)
        await deck.blocks.add(kind="channel", value="bert", actor=MODERATOR)
        listed = b"value,kind,until\nanna\nbert\ncarl,channel," + soon.isoformat().encode() + b"\ncarl"
        done = await deck.blocks.import_all(read_list(listed), actor=MODERATOR, only_checks=False)
        assert (done.added, done.known, done.faults) == (3, 1, ())
        deck.clock.advance(timedelta(days=2).total_seconds())
        await deck.blocks.look()
        assert {"anna", "bert", "carl"} <= deck.bars.channels.names.keys()

    async def test_without_a_store_it_holds_and_is_written_later(
        self, deck: Deck, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deck.streams.go_live("anna")

        def away() -> object:
            raise StoreUnavailableError("gone")

        with monkeypatch.context() as patch:
            patch.setattr(deck.store.database, "writing", away)
            done = await deck.blocks.import_all(read_list(b"anna\nbert"), actor=MODERATOR, only_checks=False)
            assert done.unwritten
            assert not deck.streams.admissions
            with pytest.raises(StoreUnavailableError):
                await deck.blocks.remove(done.id, actor=MODERATOR)
        after = await deck.again()
        assert "bert" in after.bars.channels
        await after.room._writer.write_waiting()
        assert len(await after.audit()) == 1
        await after.room.close()


class TestReading:
    def read(self, text: str | bytes) -> list[Any]:
        return list(read_list(text.encode() if isinstance(text, str) else text))

    async def test_csv_with_a_line_of_names(self) -> None:
        (given,) = self.read(
            'Value,kind,scope,countries,until,order,reason\nanna,channel,view,"DE, AT",2026-07-28T12:00:00Z,7,"a, b"'
        )
        assert (given.line, given.value, given.scope, given.countries) == (2, "anna", "view", ("DE", "AT"))
        assert (given.order, given.reason, given.fault) == ("7", "a, b", "")
        assert given.until.utcoffset() == timedelta(0)

    async def test_csv_without_one(self) -> None:
        (given,) = self.read("network,192.0.2.0/24,publish")
        assert (given.kind, given.value, given.scope) == ("network", "192.0.2.0/24", "publish")

    async def test_names_alone_with_a_mark_blank_lines_and_comments(self) -> None:
        found = self.read(b"\xef\xbb\xbfanna\r\n\r\n# the next\r\nbert\r\n")
        assert [(each.line, each.value) for each in found] == [(1, "anna"), (4, "bert")]

    async def test_json_lines(self) -> None:
        first, second = self.read('{"kind":"country","value":"DE","scope":"view","countries":[]}\n"anna"')
        assert (first.kind, first.value, first.scope) == ("country", "DE", "view")
        assert second.value == "anna"

    @pytest.mark.parametrize(
        "line",
        [
            '{"value":"a","value":"b"}',
            '{"value":["a"]}',
            '{"valu":"anna"}',
            '{"value":"anna"',
            '{"countries":{"a":1}}',
            '{"value":"anna","until":"soon"}',
            '{"value":"anna","until":"2026-07-28T12:00:00"}',
            '{"value":"anna","until":"9999-12-31T23:59:59-14:00"}',
            '{"a":' + "[" * 5000,
            '{"value":"' + "x" * LINE_CHARS_MAX + '"}',
        ],
    )
    async def test_a_line_that_cannot_be_read_is_named(self, line: str) -> None:
        first, bad, last = self.read(f'{{"value":"anna"}}\n{line}\n{{"value":"bert"}}')
        assert (first.value, last.value) == ("anna", "bert")
        assert bad.line == 2
        assert bad.fault

    @pytest.mark.parametrize("line", ['"anna', "a,b,c,d,e,f,g,h", "x" * (LINE_CHARS_MAX + 1)])
    async def test_a_row_that_cannot_be_read_is_named(self, line: str) -> None:
        *_, bad, last = self.read(f"kind,value\n{line}\nchannel,bert")
        assert bad.fault
        assert last.value == "bert"

    async def test_what_is_no_text_and_what_is_too_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ModerationStateError, match="UTF-8"):
            self.read(b"anna\n\xff\xfe")
        monkeypatch.setattr("streamd.services.moderation.acts.block_import.LIST_BYTES_MAX", 3)
        with pytest.raises(ModerationStateError, match="parts"):
            self.read(b"anna")
        assert self.read(b"") == []


async def test_pages_and_what_is_searched(deck: Deck) -> None:
    for name in ("anna", "bert", "carl"):
        await deck.blocks.add(kind="channel", value=name, actor=MODERATOR)
        # Ids of one millisecond are in no order.
        deck.clock.advance(0.01)
    await deck.blocks.add(kind="network", value="192.0.2.0/24", reason="anna's", actor=MODERATOR)
    page, has_more = deck.blocks.held.page(kind=BlockKind.CHANNEL, limit=2)
    assert [block.value for block in page] == ["carl", "bert"]
    assert has_more
    page, has_more = deck.blocks.held.page(kind=BlockKind.CHANNEL, before=page[-1].id, limit=2)
    assert [block.value for block in page] == ["anna"]
    assert not has_more
    page, _ = deck.blocks.held.page(search="anna", limit=9)
    assert [block.value for block in page] == ["192.0.2.0/24", "anna"]
