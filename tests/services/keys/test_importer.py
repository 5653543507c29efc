from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from streamd.errors import ImportRefusedError, KeyRejectedError, KeyRequestError
from streamd.services.keys.admission import Denial
from streamd.services.keys.foreign_key import KEYS_MAX, ForeignKey, ImportOutcome
from streamd.services.keys.guessing import GuessLimits
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.records import KeyState
from streamd.services.keys.stream_key import StreamKey
from streamd.services.keys.verifier import KeyVerifier
from tests.support.key_house import ADMIN, PEER, FragileStore, KeyHouse

pytestmark = pytest.mark.asyncio

SECRET = "Xk29sQm4Tz81LdRw"
OTHER = "Yk29sQm4Tz81LdRv"


def sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


async def take(house: KeyHouse, *given: ForeignKey, allows_weak: bool = False, only_checks: bool = False) -> list[str]:
    done = await house.keys.importer.take(given, by=ADMIN, allows_weak=allows_weak, only_checks=only_checks)
    return [result.outcome.value for result in done]


async def faults(house: KeyHouse, *given: ForeignKey) -> list[str]:
    with pytest.raises(ImportRefusedError) as caught:
        await take(house, *given)
    assert SECRET not in "".join(caught.value.faults)
    return caught.value.faults


class TestAnImportedKey:
    @pytest.mark.parametrize("key", [ForeignKey("alice", SECRET), ForeignKey("alice", secret_sha256=sha256(SECRET))])
    async def test_opens_its_users_channel_as_the_encoder_has_it(self, house: KeyHouse, key: ForeignKey) -> None:
        await take(house, key)
        admission = await house.verifier.verify(SECRET, PEER)
        (record,) = (await house.keys.list_keys()).items
        assert (admission.user, admission.key_id) == ("alice", record.key_id)
        assert house.verifier.admissions.is_admissible(admission)

    async def test_of_another_streamd_keeps_its_id(self, house: KeyHouse) -> None:
        key = StreamKey.generate()
        await take(house, ForeignKey("alice", key.reveal()))
        assert (await house.verifier.verify(key.reveal(), PEER)).key_id == key.key_id

    async def test_has_label_and_expiry_and_dies_by_it(self, house: KeyHouse) -> None:
        expires_at = house.clock.now() + timedelta(seconds=10)
        await take(house, ForeignKey("alice", SECRET, label="studio", expires_at=expires_at))
        (record,) = (await house.keys.list_keys()).items
        assert (record.label, record.expires_at, record.created_by) == ("studio", expires_at, "admin")
        house.clock.advance(10)
        assert await house.denial(SECRET) == Denial.EXPIRED

    async def test_is_revoked_by_its_id_and_its_stream_is_closed(self, house: KeyHouse) -> None:
        await take(house, ForeignKey("alice", SECRET))
        admission = await house.verifier.verify(SECRET, PEER)
        house.streams.live[admission.key_id] = "alice"
        assert (await house.keys.revoke(admission.key_id, by=ADMIN)).closed == ("alice",)
        assert admission.ended_by is Denial.REVOKED
        assert await house.denial(SECRET) == Denial.REVOKED

    async def test_is_rotated_to_one_of_ours(self, house: KeyHouse) -> None:
        await take(house, ForeignKey("alice", SECRET, label="studio"))
        (record,) = (await house.keys.list_keys()).items
        new = await house.keys.rotate(record.key_id, by=ADMIN)
        assert (await house.verifier.verify(new.stream_key.reveal(), PEER)).user == "alice"
        assert await house.denial(SECRET) == Denial.REVOKED
        assert new.record.label == "studio"

    async def test_of_a_suspended_user_opens_nothing(self, house: KeyHouse) -> None:
        await take(house, ForeignKey("alice", SECRET))
        await house.keys.suspend("alice", by=ADMIN)
        assert await house.denial(SECRET) == Denial.SUSPENDED

    async def test_opens_the_studio(self, house: KeyHouse) -> None:
        await take(house, ForeignKey("alice", SECRET))
        assert (await house.verifier.recognise(SECRET, PEER)).user == "alice"

    async def test_works_in_the_next_server_on_the_same_store(self, house: KeyHouse, fragile: FragileStore) -> None:
        await take(house, ForeignKey("alice", SECRET))
        again = KeyStore(fragile.database._url.render_as_string(hide_password=False))
        await again.start()
        assert (await KeyVerifier(again, house.clock).verify(SECRET, PEER)).user == "alice"
        await again.close()


class TestGuessing:
    async def test_wrong_texts_are_budgeted_as_wrong_keys_are(self, house: KeyHouse) -> None:
        await take(house, ForeignKey("alice", SECRET))
        limit = GuessLimits().failed_publishes_per_address_max
        reasons = [await house.denial(f"guess number {number}") for number in range(limit + 5)]
        assert reasons == [Denial.MALFORMED] * limit + [Denial.RATE_LIMITED] * 5

    async def test_a_good_one_gets_in_from_a_noisy_address(self, house: KeyHouse) -> None:
        await take(house, ForeignKey("alice", SECRET))
        for number in range(100):
            await house.denial(f"guess number {number}")
        assert (await house.verifier.verify(SECRET, PEER)).user == "alice"

    async def test_no_id_is_told_of_a_text_that_is_no_key(self, house: KeyHouse) -> None:
        for _ in range(GuessLimits().failed_publishes_per_address_max + 1):
            with pytest.raises(KeyRejectedError) as caught:
                await house.verifier.verify("guess", PEER)
            assert caught.value.key_id is None


class TestAgain:
    async def test_changes_nothing(self, house: KeyHouse) -> None:
        given = (ForeignKey("alice", SECRET, label="a"), ForeignKey("bob", OTHER))
        assert await take(house, *given) == ["imported", "imported"]
        before = await house.audited()
        assert await take(house, *given, ForeignKey("alice", secret_sha256=sha256(SECRET), label="b")) == ["known"] * 3
        assert await house.audited() == before == ["user.created", "user.created", "key.imported", "key.imported"]
        assert [key.label for key in (await house.keys.list_keys()).items] == ["a", ""]

    async def test_adds_what_is_new(self, house: KeyHouse) -> None:
        await take(house, ForeignKey("alice", SECRET))
        assert await take(house, ForeignKey("alice", SECRET), ForeignKey("bob", OTHER)) == ["known", "imported"]

    async def test_does_not_bring_a_revoked_key_back(self, house: KeyHouse) -> None:
        await take(house, ForeignKey("alice", SECRET))
        (record,) = (await house.keys.list_keys()).items
        await house.keys.revoke(record.key_id, by=ADMIN)
        assert await take(house, ForeignKey("alice", SECRET)) == ["known"]
        assert house.keys.state_of(await house.keys.get_key(record.key_id)) is KeyState.REVOKED

    async def test_one_key_on_two_lines_is_one(self, house: KeyHouse) -> None:
        assert await take(house, ForeignKey("alice", SECRET), ForeignKey("alice", SECRET)) == ["imported"] * 2
        assert len((await house.keys.list_keys()).items) == 1


class TestFaults:
    async def test_each_names_its_line_and_nothing_is_imported(self, house: KeyHouse) -> None:
        past = house.clock.now()
        assert await faults(
            house,
            ForeignKey("alice", SECRET, line=2),
            ForeignKey("Bob!", OTHER, line=3),
            ForeignKey("carol", "short", line=4),
            ForeignKey("dave", line=5),
            ForeignKey("erin", secret_sha256="12", line=6),
            ForeignKey("frank", OTHER + "x", expires_at=past, line=7),
            ForeignKey("grace", OTHER + "y", label="x" * 101, line=8),
            ForeignKey("heidi", SECRET, line=9),
        ) == [
            "line 3: a user name is 2 to 64 small letters, digits, '-' and '_', and begins with a letter or digit",
            "line 4: the secret is too short to be safe against guessing: 23 bits, 64 are needed",
            "line 5: give the secret, or its SHA-256, and not both",
            "line 6: a SHA-256 is 64 hexadecimal digits",
            "line 7: it has expired already; leave it out",
            "line 8: label has 101 characters, 100 are allowed",
            "line 9: line 2 has the same secret for another user; a key opens one channel",
        ]
        assert (await house.keys.list_keys()).items == []
        assert (await house.keys.list_users()).items == []

    async def test_a_secret_of_another_user_is_refused_with_all_others(self, house: KeyHouse) -> None:
        await take(house, ForeignKey("alice", SECRET))
        (record,) = (await house.keys.list_keys()).items
        assert await faults(house, ForeignKey("bob", OTHER, line=1), ForeignKey("bob", SECRET, line=2)) == [
            f"line 2: the secret is that of key {record.key_id}, which another user has"
        ]
        assert await house.denial(OTHER) == Denial.MALFORMED

    async def test_a_weak_secret_is_taken_where_the_operator_says_so(self, house: KeyHouse) -> None:
        assert await take(house, ForeignKey("alice", "hunter2"), allows_weak=True) == ["imported"]
        assert (await house.verifier.verify("hunter2", PEER)).user == "alice"

    async def test_one_that_no_encoder_can_show_is_not(self, house: KeyHouse) -> None:
        with pytest.raises(ImportRefusedError):
            await take(house, ForeignKey("alice", "a/b"), allows_weak=True)

    async def test_too_many_at_once_are_refused(self, house: KeyHouse) -> None:
        with pytest.raises(KeyRequestError):
            await take(house, *[ForeignKey("alice", SECRET)] * (KEYS_MAX + 1))


async def test_a_check_says_what_would_be_and_writes_nothing(house: KeyHouse) -> None:
    await take(house, ForeignKey("alice", SECRET))
    given = ForeignKey("alice", SECRET), ForeignKey("bob", OTHER)
    assert await take(house, *given, only_checks=True) == [ImportOutcome.KNOWN, ImportOutcome.IMPORTED]
    assert await house.denial(OTHER) == Denial.MALFORMED


async def test_no_secret_is_in_the_lists_or_in_a_repr_on_either_database(store: KeyStore) -> None:
    house, secrets = KeyHouse(store), (SECRET, OTHER)
    given = [ForeignKey("alice", secrets[0]), ForeignKey("bob", secret_sha256=sha256(secrets[1]))]
    await take(house, *given)
    assert not any(secret in repr(given) or sha256(secret) in repr(given) for secret in secrets)
    rows = [repr(row) for row in (await house.keys.list_audit()).items]
    rows += [repr(row) for row in (await house.keys.list_keys()).items]
    assert not any(secret in row or sha256(secret) in row for row in rows for secret in secrets)
    for secret, user in zip(secrets, ("alice", "bob"), strict=True):
        assert (await house.verifier.verify(secret, PEER)).user == user
