from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from streamd.errors import KeyNotFoundError, KeyRequestError, KeyStateError, UserNotFoundError
from streamd.services.keys.admission import Denial
from streamd.services.keys.records import SERVER_LIMITS, KeyState, PublishLimits, UserState
from streamd.services.keys.stream_key import StreamKey
from tests.support.key_house import ADMIN, PEER, FragileStore, KeyHouse

pytestmark = pytest.mark.asyncio


class TestIssue:
    @pytest.mark.parametrize("user", ["", "a", "-a", "A", "a b", "a/b", "../x", "é", "a" * 65, "ab\n", "ab\x00"])
    async def test_a_name_outside_the_grammar_is_refused(self, house: KeyHouse, user: str) -> None:
        with pytest.raises(KeyRequestError, match="user name"):
            await house.keys.issue(user, by=ADMIN)

    @pytest.mark.parametrize(
        ("label", "what"),
        [
            ("x" * 101, "101 characters"),
            ("a\nb", "line break"),
            ("a\x00b", "control"),
            ("\ud800", "control"),
            ("sk_7k2m9xq4ct_" + "a" * 32, "holds a stream key"),
        ],
    )
    async def test_a_label_that_cannot_be_shown_is_refused(self, house: KeyHouse, label: str, what: str) -> None:
        with pytest.raises(KeyRequestError, match=what) as caught:
            await house.keys.issue("alice", by=ADMIN, label=label)
        assert label not in str(caught.value)

    async def test_a_date_that_is_not_in_the_future_is_refused(self, house: KeyHouse) -> None:
        with pytest.raises(KeyRequestError, match="past"):
            await house.issue(seconds=0)
        assert await house.audited() == []

    async def test_what_is_not_the_form_of_an_id_is_not_repeated(self, house: KeyHouse) -> None:
        whole = (await house.issue()).stream_key.reveal()
        for call in (house.keys.get_key(whole), house.keys.revoke(whole, by=ADMIN), house.keys.rotate(whole, by=ADMIN)):
            with pytest.raises(KeyNotFoundError) as caught:
                await call
            assert whole not in repr(caught.value)
        with pytest.raises(UserNotFoundError) as unknown:
            await house.keys.suspend(whole, by=ADMIN)
        assert whole not in repr(unknown.value)


class TestRevoke:
    async def test_when_it_returns_the_key_is_dead_and_its_stream_closed(self, house: KeyHouse) -> None:
        issued = await house.issue()
        admission = await house.publish(issued)
        result = await house.keys.revoke(issued.record.key_id, by=ADMIN, reason="leaked")
        assert result.closed == ("alice",)
        assert house.streams.live == {}
        assert house.streams.closed == [("alice", "revoked")]
        assert not house.verifier.admissions.is_admissible(admission)
        assert await house.denial(issued.stream_key.reveal()) == Denial.REVOKED
        assert await house.audited() == ["user.created", "key.issued", "key.revoked", "stream.closed"]

    async def test_again_answers_the_same_also_after_a_restart(self, house: KeyHouse) -> None:
        issued = await house.issue()
        await house.publish(issued)
        once = await house.keys.revoke(issued.record.key_id, by=ADMIN)
        house.clock.advance(60)
        assert await house.keys.revoke(issued.record.key_id, by=ADMIN, reason="x") == once
        assert await KeyHouse(house.store).keys.revoke(issued.record.key_id, by=ADMIN) == once

    async def test_another_key_of_the_user_goes_on(self, house: KeyHouse) -> None:
        first, second = await house.issue(), await house.issue()
        admission = await house.publish(second)
        assert (await house.keys.revoke(first.record.key_id, by=ADMIN)).closed == ()
        assert house.verifier.admissions.is_admissible(admission)
        assert house.streams.live == {second.record.key_id: "alice"}


class TestRotate:
    async def test_without_overlap_the_old_key_dies_at_once(self, house: KeyHouse) -> None:
        old = await house.issue()
        await house.publish(old)
        new = await house.keys.rotate(old.record.key_id, by=ADMIN)
        assert house.streams.closed == [("alice", "revoked")]
        assert await house.denial(old.stream_key.reveal()) == Denial.REVOKED
        await house.publish(new)

    async def test_in_the_overlap_both_work_and_at_its_end_the_old_one_is_closed(self, house: KeyHouse) -> None:
        old = await house.issue()
        admission = await house.publish(old)
        new = await house.keys.rotate(old.record.key_id, by=ADMIN, overlap_s=600)
        assert admission.expires_at == house.clock.now() + timedelta(seconds=600)
        await house.verifier.verify(new.stream_key.reveal(), PEER)
        house.clock.advance(599)
        await house.sweeper.sweep()
        assert house.streams.live == {old.record.key_id: "alice"}
        house.clock.advance(1)
        assert not house.verifier.admissions.is_admissible(admission)
        await house.sweeper.sweep()
        assert house.streams.closed == [("alice", "expired")]
        assert await house.denial(old.stream_key.reveal()) == Denial.EXPIRED
        assert (await house.audited())[-1] == "stream.closed"

    @pytest.mark.parametrize("overlap_s", [-1, 1e9, float("nan")])
    async def test_an_overlap_that_cannot_be_is_refused(self, house: KeyHouse, overlap_s: float) -> None:
        old = await house.issue()
        with pytest.raises(KeyRequestError):
            await house.keys.rotate(old.record.key_id, by=ADMIN, overlap_s=overlap_s)

    async def test_a_dead_key_cannot_be_rotated(self, house: KeyHouse) -> None:
        old = await house.issue()
        await house.keys.revoke(old.record.key_id, by=ADMIN)
        with pytest.raises(KeyStateError):
            await house.keys.rotate(old.record.key_id, by=ADMIN)

    async def test_a_store_that_fails_after_the_commit_does_not_take_back_what_is_done(
        self, house: KeyHouse, fragile: FragileStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        issued = await house.issue()
        await house.publish(issued)
        fragile.is_down = True
        rotated = await house.keys.rotate(issued.record.key_id, by=ADMIN)
        assert (rotated.closed, house.streams.live) == (("alice",), {})
        assert [r.message for r in caplog.records if r.levelno == logging.WARNING] == [
            "audit.waiting",
            "closed_streams.lost",
        ]

    async def test_it_says_what_became_of_the_old_key(self, house: KeyHouse) -> None:
        old = await house.issue()
        kept = await house.keys.rotate(old.record.key_id, by=ADMIN, overlap_s=600)
        assert kept.replaced is not None
        assert (kept.replaced.key_id, kept.replaced.expires_at) == (
            old.record.key_id, house.clock.now() + timedelta(seconds=600),
        )  # fmt: skip
        dead = await house.keys.rotate(kept.record.key_id, by=ADMIN)
        assert dead.replaced is not None
        assert dead.replaced.revoked_at == house.clock.now()


class TestSuspend:
    async def test_it_closes_what_runs_on_any_key_of_the_user(self, house: KeyHouse) -> None:
        first, second, other = await house.issue(), await house.issue(), await house.issue("bob")
        await house.publish(first)
        await house.publish(other)
        user = await house.keys.suspend("alice", by=ADMIN, reason="abuse")
        assert user.user is not None
        assert (user.user.state, user.reason, user.closed) == (UserState.SUSPENDED, "abuse", ("alice",))
        assert house.streams.closed == [("alice", "suspended")]
        assert house.streams.live == {other.record.key_id: "bob"}
        assert house.verifier.admissions.is_suspended("alice")
        assert await house.denial(second.stream_key.reveal()) == Denial.SUSPENDED

    async def test_restoring_lets_the_keys_work_again(self, house: KeyHouse) -> None:
        issued = await house.issue()
        await house.keys.suspend("alice", by=ADMIN)
        user = await house.keys.restore("alice", by=ADMIN)
        assert user.state is UserState.ACTIVE
        assert not house.verifier.admissions.is_suspended("alice")
        await house.publish(issued)

    async def test_who_is_suspended_is_known_after_a_restart(self, house: KeyHouse) -> None:
        await house.issue()
        await house.keys.suspend("alice", by=ADMIN)
        again = KeyHouse(house.store)
        await again.verifier.start()
        assert again.verifier.admissions.is_suspended("alice")


class TestLimit:
    async def test_it_holds_for_what_runs_and_for_what_comes(self, house: KeyHouse) -> None:
        issued, other = await house.issue(), await house.issue("bob")
        running, others = await house.publish(issued), await house.publish(other)
        user = await house.keys.limit("alice", {"bitrate_kbps_max": 6000}, by=ADMIN, reason="plan")
        assert user.limits == running.limits == PublishLimits(bitrate_kbps_max=6000)
        assert (await house.publish(issued)).limits == user.limits
        assert others.limits == SERVER_LIMITS

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            ({"bitrate_kbps_max": 99}, "bitrate_kbps_max is from 100"),
            ({"picture_pixels_max": 35_651_585}, "picture_pixels_max is from 16384 to 35651584"),
            ({"tracks_max": 1}, "limits are"),
        ],
    )
    async def test_what_cannot_be_is_refused(self, house: KeyHouse, change: dict[str, int | None], what: str) -> None:
        await house.issue()
        with pytest.raises(KeyRequestError, match=what):
            await house.keys.limit("alice", change, by=ADMIN)


class TestList:
    async def test_states_are_those_of_now(self, house: KeyHouse) -> None:
        await house.issue(seconds=10)
        house.clock.advance(10)
        page = await house.keys.list_keys(state=KeyState.EXPIRED)
        assert [house.keys.state_of(record) for record in page.items] == [KeyState.EXPIRED]

    async def test_a_kick_is_in_the_audit_log(self, house: KeyHouse) -> None:
        await house.keys.record_kick("alice", by=ADMIN, reason="test")
        entry = (await house.keys.list_audit()).items[0].entry
        assert (entry.action, entry.stream, entry.reason, entry.address) == (
            "stream.kicked", "alice", "test", "192.0.2.1",
        )  # fmt: skip


async def test_no_secret_reaches_log_or_repr(house: KeyHouse, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        issued = await house.issue()
        admission = await house.publish(issued)
        new = await house.keys.rotate(issued.record.key_id, by=ADMIN, overlap_s=5)
        await house.denial(StreamKey(issued.record.key_id, "b" * 32).reveal())
        await house.keys.revoke(issued.record.key_id, by=ADMIN)
    written = f"{issued!r} {admission!r} {new!r} " + " ".join(
        f"{record.getMessage()} {record.__dict__}" for record in caplog.records
    )
    assert issued.record.key_id in written
    for secret in (issued.stream_key.secret, new.stream_key.secret, "b" * 32):
        assert secret not in written


class TestListing:
    async def test_a_channel_leaves_the_list_and_comes_back_and_each_is_told_once(self, house: KeyHouse) -> None:
        await house.issue("alice")
        for listed, action in ((False, "user.unlisted"), (True, "user.listed")):
            for _ in range(2):
                user = await house.keys.list_channel("alice", listed=listed, by=ADMIN, reason="asked for")
                assert user.listed is listed
                assert house.verifier.admissions.is_listed("alice") is listed
            assert (await house.keys.get_user("alice")).listed is listed
            assert (await house.audited()).count(action) == 1

    async def test_nobody_is_no_user(self, house: KeyHouse) -> None:
        with pytest.raises(UserNotFoundError):
            await house.keys.list_channel("nobody", listed=False, by=ADMIN)

    async def test_the_next_server_knows_it(self, house: KeyHouse) -> None:
        await house.issue("alice")
        await house.keys.list_channel("alice", listed=False, by=ADMIN)
        again = KeyHouse(house.store)
        await again.verifier.start()
        assert not again.verifier.admissions.is_listed("alice")
        await again.verifier.hashes.close()


class TestDeletion:
    async def test_a_key_is_dead_and_gone_and_its_acts_stay(self, house: KeyHouse) -> None:
        issued = await house.issue("alice")
        await house.publish(issued)
        key_id = issued.record.key_id
        deleted = await house.keys.delete_key(key_id, by=ADMIN, reason="asked for")
        assert (deleted.name, deleted.closed) == (key_id, ("alice",))
        assert house.streams.closed == [("alice", "revoked")]
        assert await house.denial(issued.stream_key.reveal()) == Denial.UNKNOWN
        with pytest.raises(KeyNotFoundError):
            await house.keys.get_key(key_id)
        with pytest.raises(KeyNotFoundError):
            await house.keys.delete_key(key_id, by=ADMIN)
        assert await house.audited() == ["user.created", "key.issued", "key.revoked", "stream.closed", "key.deleted"]
        assert (await house.keys.get_user("alice")).name == "alice"

    async def test_the_addresses_that_tried_a_key_are_gone_with_it_written_or_waiting(self, house: KeyHouse) -> None:
        issued = await house.issue("alice")
        other = await house.issue("bob")
        wrong = issued.stream_key.reveal()[:-1] + "!"
        for key in (issued, other):
            await house.keys.revoke(key.record.key_id, by=ADMIN)
            await house.denial(key.stream_key.reveal())
        await house.sweeper.close()
        await house.denial(issued.stream_key.reveal())
        await house.denial(wrong)
        await house.keys.delete_key(issued.record.key_id, by=ADMIN)
        await house.sweeper.close()
        rows = [row.entry for row in (await house.keys.list_audit()).items if row.entry.action == "publish.denied"]
        of_key = {row.key_id: row.address for row in rows}
        assert of_key == {issued.record.key_id: "", other.record.key_id: PEER, None: PEER}
        assert house.verifier.attempts.of(issued.record.key_id) == ()

    async def test_a_user_is_gone_with_all_keys_and_the_channel_too(self, house: KeyHouse) -> None:
        first, second = await house.issue("alice"), await house.issue("alice")
        await house.publish(first)
        deleted = await house.keys.delete_user("alice", by=ADMIN, reason="asked for")
        assert (deleted.keys, deleted.closed) == (
            tuple(sorted((first.record.key_id, second.record.key_id))),
            ("alice",),
        )
        for key in (first, second):
            assert await house.denial(key.stream_key.reveal()) == Denial.UNKNOWN
        with pytest.raises(UserNotFoundError):
            await house.keys.get_user("alice")
        with pytest.raises(UserNotFoundError):
            await house.keys.delete_user("alice", by=ADMIN)
        assert (await house.keys.list_keys()).items == []
        # What is left of the stream is not shown.
        assert house.verifier.admissions.is_suspended("alice")

    async def test_the_name_is_free_for_somebody_else(self, house: KeyHouse) -> None:
        await house.issue("alice")
        await house.keys.list_channel("alice", listed=False, by=ADMIN)
        await house.keys.limit("alice", {"bitrate_kbps_max": 5000}, by=ADMIN)
        await house.keys.delete_user("alice", by=ADMIN)
        issued = await house.issue("alice")
        admission = await house.publish(issued)
        assert admission.limits.bitrate_kbps_max is None
        assert house.verifier.admissions.is_listed("alice")
        assert not house.verifier.admissions.is_suspended("alice")

    async def test_one_who_was_made_again_by_another_process_is_not_taken_for_deleted(self, house: KeyHouse) -> None:
        await house.issue("alice")
        await house.keys.delete_user("alice", by=ADMIN)
        issued = await KeyHouse(house.store).issue("alice")
        await house.publish(issued)
        assert not house.verifier.admissions.is_suspended("alice")

    async def test_a_suspended_user_is_deleted_as_well(self, house: KeyHouse) -> None:
        await house.issue("alice")
        await house.keys.suspend("alice", by=ADMIN)
        assert (await house.keys.delete_user("alice", by=ADMIN)).closed == ()
        assert await house.store.suspended_users() == set()
