from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from streamd.errors import KeyNotFoundError, KeyStateError, StoreUnavailableError, UserNotFoundError
from streamd.services.audit.records import Actor, AuditEntry, AuditFilter
from streamd.services.keys.key_store import IDS_PER_QUERY_MAX, KeyStore
from streamd.services.keys.records import SERVER_LIMITS, KeyRecord, KeyState, KeyUse, PublishLimits, UserState
from tests.support.stored_keys import ADMIN, HASH, LATER, NOW, add, key_id

pytestmark = pytest.mark.asyncio


async def actions(store: KeyStore) -> list[tuple[str, str | None]]:
    return [(row.entry.action, row.entry.key_id) for row in (await store.audit.page(after=0, limit=100)).items]


class TestKeys:
    async def test_a_key_comes_back_as_it_was_added(self, store: KeyStore) -> None:
        added = await add(store, 1, label="main 🎥", expires_at=LATER)
        assert await store.get_key(key_id(1)) == added
        assert added == KeyRecord(
            sequence=1, key_id=key_id(1), user="alice", label="main 🎥", created_at=NOW, created_by="admin",
            expires_at=LATER,
        )  # fmt: skip

    async def test_a_new_user_is_created_once_and_both_are_audited(self, store: KeyStore) -> None:
        await add(store, 1)
        await add(store, 2)
        assert await actions(store) == [("user.created", None), ("key.issued", key_id(1)), ("key.issued", key_id(2))]

    async def test_a_taken_id_adds_nothing_at_all(self, store: KeyStore) -> None:
        await add(store, 1)
        before = await actions(store)
        with pytest.raises(StoreUnavailableError):
            await add(store, 1, user="bob")
        assert await actions(store) == before
        with pytest.raises(UserNotFoundError):
            await store.get_user("bob")

    async def test_the_error_of_a_failed_write_does_not_quote_what_was_written(self, store: KeyStore) -> None:
        await add(store, 1)
        with pytest.raises(StoreUnavailableError) as caught:
            await add(store, 1, label="a label of mine")
        assert "a label of mine" not in f"{caught.value!r} {caught.value.__cause__!r}"
        assert "\n" not in str(caught.value)

    async def test_an_unknown_id_is_said_to_be_unknown(self, store: KeyStore) -> None:
        with pytest.raises(KeyNotFoundError):
            await store.get_key(key_id(9))
        with pytest.raises(KeyNotFoundError):
            await store.revoke_key(key_id(9), reason="", now=NOW, by=ADMIN)
        assert await store.standing(key_id(9)) is None


class TestListing:
    @pytest.mark.parametrize("is_newest_first", [False, True])
    async def test_pages_follow_each_other_without_gap_or_overlap(
        self, store: KeyStore, *, is_newest_first: bool
    ) -> None:
        for number in range(5):
            await add(store, number)
        seen: list[str] = []
        after, more = 0, True
        while more:
            page = await store.list_keys(
                user=None, state=None, now=NOW, after=after, limit=2, is_newest_first=is_newest_first
            )
            seen += [record.key_id for record in page.items]
            after, more = page.items[-1].sequence, page.has_more
        issued = [key_id(number) for number in range(5)]
        assert seen == (issued[::-1] if is_newest_first else issued)

    async def test_filters_by_user_and_state_agree_with_the_record(self, store: KeyStore) -> None:
        await add(store, 1)
        await add(store, 2, expires_at=NOW)
        await add(store, 3, expires_at=LATER)
        await add(store, 4, user="bob")
        await store.revoke_key(key_id(3), reason="", now=NOW, by=ADMIN)
        found: dict[KeyState, list[str]] = {}
        for state in KeyState:
            page = await store.list_keys(user="alice", state=state, now=NOW, after=0, limit=10)
            assert all(record.state_at(NOW) is state for record in page.items)
            found[state] = [record.key_id for record in page.items]
        assert found == {
            KeyState.ACTIVE: [key_id(1)],
            KeyState.EXPIRED: [key_id(2)],
            KeyState.REVOKED: [key_id(3)],
        }

    async def test_users_are_in_the_order_of_their_bytes(self, store: KeyStore) -> None:
        names = ["a-b", "a0", "a_b", "ab", "b-"]
        for number, name in enumerate(reversed(names)):
            await add(store, number, user=name)
        first = await store.list_users(state=None, after="", limit=3)
        rest = await store.list_users(state=None, after=first.items[-1].name, limit=3)
        assert [user.name for user in (*first.items, *rest.items)] == names
        assert (first.has_more, rest.has_more) == (True, False)


class TestStanding:
    async def test_it_is_what_decides_over_a_publish(self, store: KeyStore) -> None:
        await add(store, 1, expires_at=LATER)
        standing = await store.standing(key_id(1))
        assert standing is not None
        assert (standing.user, standing.secret_hash, standing.expires_at) == ("alice", HASH, LATER)
        assert not standing.is_revoked
        assert not standing.is_suspended

    async def test_it_says_revoked_and_suspended(self, store: KeyStore) -> None:
        await add(store, 1)
        await store.revoke_key(key_id(1), reason="", now=NOW, by=ADMIN)
        await store.suspend_user("alice", reason="", now=NOW, by=ADMIN)
        standing = await store.standing(key_id(1))
        assert standing is not None
        assert standing.is_revoked
        assert standing.is_suspended

    async def test_more_ids_than_one_query_takes_are_all_found(self, store: KeyStore) -> None:
        await add(store, 1)
        last = IDS_PER_QUERY_MAX + 5
        await add(store, last)
        found = await store.standings([key_id(number) for number in range(last + 1)])
        assert set(found) == {key_id(1), key_id(last)}

    async def test_uses_are_noted_for_many_keys_at_once(self, store: KeyStore) -> None:
        await add(store, 1)
        await add(store, 2)
        await store.record_uses({key_id(1): KeyUse(NOW, "192.0.2.7"), key_id(2): KeyUse(LATER, "2001:db8::7")})
        record = await store.get_key(key_id(2))
        assert (record.last_used_at, record.last_used_address) == (LATER, "2001:db8::7")


class TestRevoke:
    async def test_a_revoked_key_says_when_why_and_by_whom(self, store: KeyStore) -> None:
        await add(store, 1)
        record = await store.revoke_key(key_id(1), reason="leaked", now=LATER, by=ADMIN)
        assert (record.revoked_at, record.revoke_reason, record.revoked_by) == (LATER, "leaked", "admin")
        last = (await store.audit.page(after=2, limit=1)).items[0].entry
        assert last == AuditEntry(
            at=LATER, actor="admin", action="key.revoked", address="192.0.2.1", user="alice", key_id=key_id(1),
            reason="leaked",
        )  # fmt: skip

    async def test_again_is_the_same_as_once(self, store: KeyStore) -> None:
        await add(store, 1)
        once = await store.revoke_key(key_id(1), reason="leaked", now=NOW, by=ADMIN)
        audited = await actions(store)
        again = await store.revoke_key(key_id(1), reason="other", now=LATER, by=Actor("bob"))
        assert again == once
        assert await actions(store) == audited

    async def test_what_it_closed_is_kept_with_the_key(self, store: KeyStore) -> None:
        await add(store, 1)
        await store.record_closed(key_id(1), ["alice", "bob"])
        assert (await store.get_key(key_id(1))).closed_streams == ("alice", "bob")


class TestRotate:
    async def rotate(self, store: KeyStore, old_until: datetime) -> tuple[KeyRecord, KeyRecord]:
        return await store.rotate_key(
            key_id(1), new_key_id=key_id(2), new_secret_hash=HASH, old_until=old_until, now=NOW, by=ADMIN
        )

    async def test_the_new_key_has_the_old_ones_user_label_and_expiry(self, store: KeyStore) -> None:
        await add(store, 1, label="main", expires_at=LATER + timedelta(days=1))
        old, new = await self.rotate(store, LATER)
        assert (new.user, new.label, new.expires_at) == ("alice", "main", LATER + timedelta(days=1))
        assert (old.expires_at, old.replaced_by, old.revoked_at) == (LATER, key_id(2), None)

    async def test_without_overlap_the_old_key_is_revoked(self, store: KeyStore) -> None:
        await add(store, 1)
        old, _ = await self.rotate(store, NOW)
        assert (old.revoked_at, old.revoke_reason) == (NOW, "rotated")

    async def test_an_overlap_never_gives_the_old_key_more_time(self, store: KeyStore) -> None:
        await add(store, 1, expires_at=NOW + timedelta(minutes=1))
        old, _ = await self.rotate(store, LATER)
        assert old.expires_at == NOW + timedelta(minutes=1)

    @pytest.mark.parametrize("state", ["revoked", "expired", "already rotated"])
    async def test_a_dead_or_rotated_key_is_refused_and_nothing_is_written(self, store: KeyStore, state: str) -> None:
        await add(store, 1, expires_at=NOW if state == "expired" else None)
        if state == "revoked":
            await store.revoke_key(key_id(1), reason="", now=NOW, by=ADMIN)
        elif state == "already rotated":
            await store.rotate_key(
                key_id(1), new_key_id=key_id(3), new_secret_hash=HASH, old_until=LATER, now=NOW, by=ADMIN
            )
        audited = await actions(store)
        with pytest.raises(KeyStateError, match=state):
            await self.rotate(store, LATER)
        assert await actions(store) == audited
        assert await store.standing(key_id(2)) is None


class TestUsers:
    async def test_suspending_names_the_keys_that_are_not_revoked(self, store: KeyStore) -> None:
        for number in (1, 2):
            await add(store, number)
        await add(store, 3, user="bob")
        await store.revoke_key(key_id(1), reason="", now=NOW, by=ADMIN)
        user, key_ids = await store.suspend_user("alice", reason="abuse", now=LATER, by=ADMIN)
        assert (user.state, user.suspended_at, user.suspend_reason) == (UserState.SUSPENDED, LATER, "abuse")
        assert key_ids == {key_id(2)}
        assert await store.suspended_users() == {"alice"}
        assert [u.name for u in (await store.list_users(state=UserState.ACTIVE, after="", limit=9)).items] == ["bob"]

    async def test_suspending_and_restoring_again_change_nothing(self, store: KeyStore) -> None:
        await add(store, 1)
        once, _ = await store.suspend_user("alice", reason="abuse", now=NOW, by=ADMIN)
        again, _ = await store.suspend_user("alice", reason="x", now=LATER, by=ADMIN)
        assert again == once
        restored = await store.restore_user("alice", reason="", now=LATER, by=ADMIN)
        assert restored.state is UserState.ACTIVE
        assert await store.restore_user("alice", reason="", now=LATER, by=ADMIN) == restored
        assert [action for action, _ in await actions(store)][2:] == ["user.suspended", "user.restored"]

    async def test_limits_are_the_servers_until_others_are_said(self, store: KeyStore) -> None:
        await add(store, 1)
        assert (await store.get_user("alice")).limits == SERVER_LIMITS
        user = await store.limit_user("alice", {"bitrate_kbps_max": 6000}, reason="plan", now=NOW, by=ADMIN)
        assert user.limits == PublishLimits(6000, None)
        user = await store.limit_user("alice", {"picture_pixels_max": 2_088_960}, reason="", now=NOW, by=ADMIN)
        assert user == await store.get_user("alice")
        assert user.limits == PublishLimits(6000, 2_088_960)
        standing = await store.standing(key_id(1))
        assert standing is not None
        assert standing.limits == user.limits
        change = dict.fromkeys(("bitrate_kbps_max", "picture_pixels_max"))
        assert (await store.limit_user("alice", change, reason="", now=NOW, by=ADMIN)).limits == SERVER_LIMITS
        # Once more changes nothing, and is no news.
        await store.limit_user("alice", change, reason="", now=NOW, by=ADMIN)
        rows = (await store.audit.page(after=2, limit=100)).items
        assert [(row.entry.action, row.entry.user, row.entry.reason) for row in rows] == [
            ("user.limited", "alice", "bitrate_kbps_max=6000: plan"),
            ("user.limited", "alice", "picture_pixels_max=2088960"),
            ("user.limited", "alice", "bitrate_kbps_max=default picture_pixels_max=default"),
        ]

    async def test_an_unknown_user_is_said_to_be_unknown(self, store: KeyStore) -> None:
        with pytest.raises(UserNotFoundError):
            await store.suspend_user("nobody", reason="", now=NOW, by=ADMIN)
        with pytest.raises(UserNotFoundError):
            await store.limit_user("nobody", {"bitrate_kbps_max": 6000}, reason="", now=NOW, by=ADMIN)


class TestAudit:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE audit SET reason = 'x'",
            "UPDATE audit SET address = '192.0.2.9'",
            "UPDATE audit SET address = ''",
            "UPDATE audit SET address = '', address_salt = NULL, actor = 'x'",
            "UPDATE audit SET address = '', address_salt = NULL, address_digest = NULL",
            "UPDATE audit SET address = '', address_salt = NULL, hash = NULL",
            "UPDATE audit SET address = '', address_salt = NULL, subject = 'x'",
            "UPDATE audit SET address = '', \"user\" = NULL",
            "UPDATE audit SET count = 2",
            "DELETE FROM audit",
        ],
    )
    async def test_rows_can_only_be_added(self, store: KeyStore, statement: str) -> None:
        await add(store, 1)
        with pytest.raises(StoreUnavailableError, match="append-only"):
            async with store.database.writing() as connection:
                await connection.execute(text(statement))
        assert len(await actions(store)) == 2

    async def test_an_address_may_be_erased(self, store: KeyStore) -> None:
        await add(store, 1)
        async with store.database.writing() as connection:
            await connection.execute(text("UPDATE audit SET address = '', address_salt = NULL"))
        rows = (await store.audit.page(after=0, limit=10)).items
        assert [(row.entry.action, row.entry.address) for row in rows] == [("user.created", ""), ("key.issued", "")]

    async def test_rows_come_in_pages(self, store: KeyStore) -> None:
        await store.audit.append(AuditEntry(NOW, "admin", f"a.{number}") for number in range(3))
        first = await store.audit.page(after=0, limit=2)
        rest = await store.audit.page(after=first.items[-1].sequence, limit=2)
        assert [row.entry.action for row in (*first.items, *rest.items)] == ["a.0", "a.1", "a.2"]
        assert (first.has_more, rest.has_more) == (True, False)

    async def test_or_from_the_last_back(self, store: KeyStore) -> None:
        await store.audit.append(AuditEntry(NOW, "admin", f"a.{number}", count=number) for number in range(1, 4))
        first = await store.audit.page(after=0, limit=2, is_newest_first=True)
        rest = await store.audit.page(after=first.items[-1].sequence, limit=2, is_newest_first=True)
        assert [row.entry.count for row in (*first.items, *rest.items)] == [3, 2, 1]
        assert (first.has_more, rest.has_more) == (True, False)

    @pytest.mark.parametrize(
        ("search", "found"),
        [
            ("BOB", 2),
            ("key.rev", 1),
            ("a reason", 1),
            ("100%", 1),
            ("%", 1),
            ("_", 1),
            ("192.0.2.1", 7),
            ("nobody", 0),
            ("by hand", 1),
        ],
    )
    async def test_it_is_searched_for_any_text(self, store: KeyStore, search: str, found: int) -> None:
        await add(store, 1)
        await add(store, 2, user="bob")
        await store.revoke_key(key_id(1), reason="A reason", now=NOW, by=ADMIN)
        await store.suspend_user("alice", reason="100%", now=NOW, by=ADMIN)
        await store.restore_user("alice", reason="by_hand", now=NOW, by=ADMIN)
        page = await store.audit.page(after=0, limit=10, found=AuditFilter(search))
        assert len(page.items) == found

    async def test_it_is_searched_by_action_and_by_time(self, store: KeyStore) -> None:
        times = [NOW + timedelta(hours=hours) for hours in range(4)]
        await store.audit.append(AuditEntry(at, "admin", f"a.{number % 2}") for number, at in enumerate(times))

        async def found(**wanted: Any) -> list[int]:
            page = await store.audit.page(after=0, limit=10, found=AuditFilter(**wanted))
            return [times.index(row.entry.at) for row in page.items]

        assert await found(action="a.1") == [1, 3]
        assert await found(since=times[1], until=times[3]) == [1, 2]
        assert await found(search="a.0", since=times[1]) == [2]
        # Beside the text: what whoever asks calls by it.
        assert await found(search="nothing", or_actions=("a.1",)) == [1, 3]
        assert await found(search="nothing", or_actions=("a.1",), action="a.0") == []


class TestSearch:
    async def test_users_are_found_by_a_part_of_their_name(self, store: KeyStore) -> None:
        for number, user in enumerate(("alice", "malice", "bob", "al_ce")):
            await add(store, number, user=user)

        async def found(search: str) -> list[str]:
            page = await store.list_users(state=None, after="", limit=10, search=search)
            return [user.name for user in page.items]

        assert await found("LIC") == ["alice", "malice"]
        assert await found("al_c") == ["al_ce"]
        assert await found("") == ["al_ce", "alice", "bob", "malice"]

    async def test_keys_are_found_by_user_label_and_id(self, store: KeyStore) -> None:
        for number, user in enumerate(("alice", "bob")):
            await add(store, number, user=user)

        async def found(search: str) -> list[str]:
            page = await store.list_keys(user=None, state=None, now=NOW, after=0, limit=10, search=search)
            return [key.user for key in page.items]

        assert await found("LIC") == ["alice"]
        assert await found(key_id(1)) == ["bob"]
        assert await found("%") == []


class TestTwoProcesses:
    """Two stores on one database stand for two processes."""

    async def test_changes_of_both_are_kept(self, store: KeyStore, database_url: str) -> None:
        other = KeyStore(database_url)
        await other.start()
        await asyncio.gather(*(add((store, other)[number % 2], number) for number in range(20)))
        assert len((await store.list_keys(user=None, state=None, now=NOW, after=0, limit=100)).items) == 20
        await other.close()

    async def test_two_that_start_at_once_make_the_schema_once(self, database_url: str) -> None:
        stores = [KeyStore(database_url) for _ in range(3)]
        await asyncio.gather(*(store.start() for store in stores))
        await add(stores[0], 1)
        assert (await stores[2].get_key(key_id(1))).user == "alice"
        for store in stores:
            await store.close()

    async def test_two_revocations_at_once_are_one(self, store: KeyStore) -> None:
        await add(store, 1)
        both = await asyncio.gather(
            *(store.revoke_key(key_id(1), reason=reason, now=NOW, by=ADMIN) for reason in ("a", "b"))
        )
        assert both[0] == both[1]


class TestCancellation:
    async def test_a_reader_who_goes_away_leaves_a_store_that_works(self, store: KeyStore) -> None:
        await add(store, 1)
        for _ in range(20):
            reading = asyncio.create_task(store.standing(key_id(1)))
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        assert await store.standing(key_id(1)) is not None
