"""Operators on both databases, and on a database that is gone."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from streamd.clock import ManualClock
from streamd.errors import (
    CodeRefusedError,
    CodesSpentError,
    KeyRequestError,
    OperatorNotFoundError,
    OperatorRequestError,
    OperatorStateError,
    StoreUnavailableError,
)
from streamd.services.audit.records import Actor
from streamd.services.audit.verify import verify_log
from streamd.services.keys.key_store import KeyStore
from streamd.services.operators import operator_store
from streamd.services.operators.authenticators import ENROLMENT_S
from streamd.services.operators.code_tries import TRIES_MAX, TRY_S
from streamd.services.operators.operator_store import OperatorStore
from streamd.services.operators.records import RESERVED_NAMES, OperatorState
from streamd.services.operators.roles import Role
from streamd.services.operators.service import OperatorService
from streamd.services.operators.token_uses import USE_INTERVAL_S
from streamd.services.operators.totp import STEP_S, code_of

pytestmark = pytest.mark.asyncio

BY = Actor("root", "192.0.2.1")


class Office:
    """An operator service and what it tells."""

    def __init__(self, store: KeyStore) -> None:
        self.clock = ManualClock()
        self.store = store
        self.service = OperatorService(store.database, self.clock)
        self.changes = 0
        self.service.on_change = self._note

    def _note(self) -> None:
        self.changes += 1

    def another(self) -> Office:
        """A second server on the same database."""
        other = Office(self.store)
        other.clock = self.clock
        other.service = OperatorService(self.store.database, self.clock)
        return other

    async def add(self, name: str = "carol", role: Role = Role.OPERATOR, seconds: float | None = None) -> str:
        expires_at = None if seconds is None else self.clock.now() + timedelta(seconds=seconds)
        return (await self.service.add(name, role, expires_at=expires_at, by=BY)).token.reveal()

    def who(self, token: str) -> str:
        record = self.service.roster.find(token)
        return "" if record is None else record.name

    async def audited(self) -> list[tuple[str, str, str | None, str]]:
        rows = (await self.store.audit.page(after=0, limit=100)).items
        return [(row.entry.action, row.entry.actor, row.entry.subject, row.entry.reason) for row in rows]

    async def enrol(self, name: str = "carol") -> bytes:
        self.service.authenticators.begin(name)
        secret, _ = self.service.authenticators._enrolments[name]
        await self.service.authenticators.confirm(self.code(secret), by=Actor(name))
        self.clock.advance(2 * STEP_S)
        return secret

    def code(self, secret: bytes, steps: int = 0) -> str:
        return code_of(secret, int(self.clock.now().timestamp()) // STEP_S + steps)

    def break_store(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def fails(*_: Any, **__: Any) -> Any:
            raise StoreUnavailableError("the disk is full")

        for name in ("revoke", "everybody", "append", "take_step", "record_uses"):
            monkeypatch.setattr(OperatorStore, name, fails)


@pytest.fixture
def office(store: KeyStore) -> Office:
    return Office(store)


@pytest_asyncio.fixture
async def full(office: Office) -> Office:
    """With an operator."""
    await office.add("dave", Role.MODERATOR)
    return office


class TestAdding:
    async def test_the_token_that_is_shown_once_is_theirs(self, office: Office) -> None:
        token = await office.add()
        assert office.who(token) == "carol"
        (record,) = await office.service.everybody()
        assert (record.name, record.role, record.created_by) == ("carol", Role.OPERATOR, "root")
        assert office.service.state_of(record) is OperatorState.ACTIVE
        assert office.changes == 1

    async def test_the_store_has_no_token(self, office: Office) -> None:
        token = await office.add()
        (credentials,) = await OperatorStore(office.store.database).everybody()
        assert token.rpartition("_")[2].encode() not in credentials.secret_hash
        assert token.rpartition("_")[2] not in repr(credentials)
        assert credentials.secret_hash.hex() not in repr(credentials)

    async def test_it_is_audited_with_its_role_and_end(self, office: Office) -> None:
        await office.add(seconds=60)
        ((action, actor, subject, reason),) = await office.audited()
        assert (action, actor, subject) == ("operator.added", "root", "carol")
        assert reason.startswith("operator, until 20")

    @pytest.mark.parametrize(
        "name", ["", "a", "Carol", "c rol", "-carol", "c" * 65, "carol\n", *sorted(RESERVED_NAMES)]
    )
    async def test_a_name_that_stands_for_somebody_else_or_cannot_be_is_refused(
        self, office: Office, name: str
    ) -> None:
        with pytest.raises(OperatorRequestError):
            await office.add(name)

    async def test_an_end_in_the_past_is_refused(self, office: Office) -> None:
        with pytest.raises(OperatorRequestError, match="in the past"):
            await office.add(seconds=-1)

    async def test_a_name_that_is_taken_is_refused(self, office: Office) -> None:
        token = await office.add()
        with pytest.raises(OperatorStateError, match="rotate"):
            await office.add()
        assert office.who(token) == "carol"

    async def test_whose_token_was_revoked_is_taken_back_with_another(self, office: Office) -> None:
        old = await office.add()
        await office.service.revoke("carol", by=BY)
        new = await office.add("carol", Role.AUDITOR)
        assert (office.who(old), office.who(new)) == ("", "carol")

    async def test_there_are_only_so_many(self, full: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(operator_store, "OPERATORS_MAX", 1)
        with pytest.raises(OperatorStateError, match="no more"):
            await full.add()


class TestRecognising:
    @pytest.mark.parametrize("shown", ["", "nonsense", "so_7k2m9xq4ct_" + "a" * 32, "Bearer x"])
    async def test_no_other_token_is_anybodys(self, full: Office, shown: str) -> None:
        assert full.who(shown) == ""

    async def test_a_wrong_secret_with_a_right_id_is_nobodys(self, office: Office) -> None:
        token = await office.add()
        assert office.who(token[:-1] + ("a" if token[-1] != "a" else "b")) == ""

    async def test_it_ends_with_its_time_to_the_instant(self, office: Office) -> None:
        token = await office.add(seconds=60)
        office.clock.advance(59.9)
        assert office.who(token) == "carol"
        office.clock.advance(0.2)
        assert office.who(token) == ""

    async def test_another_server_knows_them_at_its_next_look(self, office: Office) -> None:
        other = office.another()
        token = await office.add()
        await other.service.look()
        assert other.who(token) == "carol"
        await office.service.revoke("carol", by=BY)
        await other.service.look()
        assert other.who(token) == ""

    async def test_a_look_that_began_before_an_act_brings_nobody_back(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = await office.add()
        read, go_on = OperatorStore.everybody, asyncio.Event()

        async def slow(store: OperatorStore) -> Any:
            found = await read(store)
            await go_on.wait()
            return found

        monkeypatch.setattr(OperatorStore, "everybody", slow)
        look = asyncio.create_task(office.service.look())
        for _ in range(100):
            await asyncio.sleep(0.001)
        await office.service.revoke("carol", by=BY)
        go_on.set()
        await look
        assert office.who(token) == ""

    async def test_uses_are_written_and_not_each_of_them(self, office: Office) -> None:
        await office.add()
        first = office.clock.now()
        office.service.uses.note("carol")
        office.clock.advance(1)
        office.service.uses.note("carol")
        assert (await office.service.get("carol")).last_used_at == first
        await office.service.look()
        assert (await office.another().service.get("carol")).last_used_at == first
        office.clock.advance(USE_INTERVAL_S)
        office.service.uses.note("carol")
        await office.service.look()
        assert (await office.another().service.get("carol")).last_used_at == office.clock.now()


class TestRotating:
    async def test_the_old_token_is_dead_and_the_new_one_works(self, office: Office) -> None:
        old = await office.add()
        new = (await office.service.rotate("carol", by=BY)).token.reveal()
        assert (office.who(old), office.who(new)) == ("", "carol")
        assert [row[0] for row in await office.audited()] == ["operator.added", "operator.rotated"]

    async def test_an_end_stays(self, office: Office) -> None:
        await office.add(seconds=60)
        new = (await office.service.rotate("carol", by=BY)).token.reveal()
        office.clock.advance(61)
        assert office.who(new) == ""
        with pytest.raises(OperatorStateError, match="expired"):
            await office.service.rotate("carol", by=BY)

    async def test_a_revoked_one_has_none(self, office: Office) -> None:
        await office.add()
        await office.service.revoke("carol", by=BY)
        with pytest.raises(OperatorStateError, match="revoked"):
            await office.service.rotate("carol", by=BY)

    @pytest.mark.parametrize("name", ["nobody", "no/body", "root"])
    async def test_there_has_to_be_one(self, office: Office, name: str) -> None:
        with pytest.raises(OperatorNotFoundError):
            await office.service.rotate(name, by=BY)


class TestChanging:
    async def test_a_role_holds_at_once_and_the_token_stays(self, office: Office) -> None:
        token = await office.add()
        await office.service.change("carol", {"role": Role.AUDITOR}, by=BY, reason="leaves")
        record = office.service.roster.find(token)
        assert record is not None
        assert record.role is Role.AUDITOR
        assert (await office.audited())[-1] == ("operator.changed", "root", "carol", "role auditor: leaves")

    async def test_an_end_can_be_moved_and_taken_away(self, office: Office) -> None:
        token = await office.add(seconds=60)
        office.clock.advance(120)
        await office.service.change("carol", {"expires_at": office.clock.now() + timedelta(seconds=60)}, by=BY)
        assert office.who(token) == "carol"
        await office.service.change("carol", {"expires_at": None}, by=BY)
        office.clock.advance(10 * 86_400)
        assert office.who(token) == "carol"

    async def test_what_is_as_it_was_leaves_no_row(self, office: Office) -> None:
        await office.add()
        await office.service.change("carol", {"role": Role.OPERATOR}, by=BY)
        assert len(await office.audited()) == 1

    async def test_a_reason_with_a_stream_key_in_it_is_refused(self, office: Office) -> None:
        await office.add()
        with pytest.raises(KeyRequestError):
            await office.service.revoke("carol", by=BY, reason="sk_7k2m9xq4ct_" + "a" * 32)


class TestRevoking:
    async def test_the_token_is_dead_when_it_returns(self, office: Office) -> None:
        token = await office.add()
        result = await office.service.revoke("carol", by=BY, reason="left")
        assert (office.who(token), result.unwritten, result.record.revoke_reason) == ("", "", "left")
        assert (await office.audited())[-1] == ("operator.revoked", "root", "carol", "left")

    async def test_again_changes_nothing(self, office: Office) -> None:
        await office.add()
        first = await office.service.revoke("carol", by=BY, reason="left")
        office.clock.advance(60)
        assert await office.service.revoke("carol", by=BY, reason="other") == first
        assert len(await office.audited()) == 2

    async def test_there_has_to_be_one(self, office: Office) -> None:
        with pytest.raises(OperatorNotFoundError):
            await office.service.revoke("nobody", by=BY)
        await office.add("nobody")

    async def test_a_store_that_fails_keeps_nobody_in(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        token = await office.add()
        with monkeypatch.context() as broken:
            office.break_store(broken)
            for _ in range(2):
                result = await office.service.revoke("carol", by=BY, reason="left")
                assert "the disk is full" in result.unwritten
                assert office.who(token) == ""
            with pytest.raises(StoreUnavailableError):
                await office.service.look()
            assert office.who(token) == ""
        await office.service.look()
        assert office.who(token) == ""
        record = await office.another().service.get("carol")
        assert (record.revoked_by, record.revoke_reason) == ("root", "left")

    async def test_a_store_that_fails_before_anybody_was_known_is_an_error(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        office.break_store(monkeypatch)
        with pytest.raises(StoreUnavailableError):
            await office.service.revoke("carol", by=BY)

    async def test_it_is_completed_though_its_caller_leaves(self, office: Office) -> None:
        token = await office.add()
        task = asyncio.create_task(office.service.revoke("carol", by=BY))
        await asyncio.sleep(0)
        task.cancel()
        await office.service.close()
        assert office.who(token) == ""
        assert (await office.audited())[-1][0] == "operator.revoked"

    async def test_operators_act_while_the_database_is_gone(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = await office.add()
        office.break_store(monkeypatch)
        with pytest.raises(StoreUnavailableError):
            await office.service.look()
        assert office.who(token) == "carol"
        await office.service.sign_in(Actor("carol"), "")


class TestDeleting:
    async def test_nothing_is_left_but_the_acts(self, office: Office) -> None:
        token = await office.add()
        await office.service.delete("carol", by=BY, reason="asked")
        assert (office.who(token), await office.service.everybody()) == ("", [])
        assert [row[0] for row in await office.audited()] == ["operator.added", "operator.deleted"]
        with pytest.raises(OperatorNotFoundError):
            await office.service.get("carol")

    async def test_the_name_is_free(self, office: Office) -> None:
        await office.add()
        await office.service.delete("carol", by=BY)
        assert office.who(await office.add()) == "carol"


class TestCodes:
    async def test_without_an_authenticator_none_is_asked(self, office: Office) -> None:
        await office.add()
        await office.service.sign_in(Actor("carol"), "")
        await office.service.sign_in(BY, "")
        assert [row[:2] for row in await office.audited()][1:] == [
            ("session.begun", "carol"),
            ("session.begun", "root"),
        ]

    async def test_with_one_a_right_code_is_needed(self, office: Office) -> None:
        await office.add()
        secret = await office.enrol()
        assert (await office.service.get("carol")).has_totp
        with pytest.raises(CodeRefusedError, match="needed"):
            await office.service.sign_in(Actor("carol"), "")
        with pytest.raises(CodeRefusedError, match="not right"):
            await office.service.sign_in(Actor("carol"), "000000")
        await office.service.sign_in(Actor("carol"), office.code(secret))

    async def test_a_code_is_taken_once_on_whichever_server(self, office: Office) -> None:
        await office.add()
        secret = await office.enrol()
        other = office.another()
        await other.service.look()
        await office.service.sign_in(Actor("carol"), office.code(secret))
        for each in (office, other):
            with pytest.raises(CodeRefusedError):
                await each.service.sign_in(Actor("carol"), office.code(secret))
        await other.service.sign_in(Actor("carol"), office.code(secret, 1))

    async def test_one_that_is_shown_twice_at_once_lets_one_in(self, office: Office) -> None:
        await office.add()
        secret = await office.enrol()
        code = office.code(secret)
        tries = (office.service.sign_in(Actor("carol"), code) for _ in range(8))
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert [type(result) for result in results].count(type(None)) == 1

    async def test_the_one_that_set_it_up_signs_nobody_in(self, office: Office) -> None:
        await office.add()
        office.service.authenticators.begin("carol")
        secret, _ = office.service.authenticators._enrolments["carol"]
        code = office.code(secret)
        await office.service.authenticators.confirm(code, by=Actor("carol"))
        with pytest.raises(CodeRefusedError):
            await office.service.sign_in(Actor("carol"), code)

    async def test_guessing_is_slow_also_for_the_right_one(self, office: Office) -> None:
        await office.add()
        secret = await office.enrol()
        for _ in range(TRIES_MAX):
            with pytest.raises(CodeRefusedError):
                await office.service.sign_in(Actor("carol"), "000000")
        with pytest.raises(CodesSpentError) as caught:
            await office.service.sign_in(Actor("carol"), office.code(secret))
        assert caught.value.wait_s == TRY_S
        office.clock.advance(TRY_S)
        await office.service.sign_in(Actor("carol"), office.code(secret))

    async def test_it_counts_only_when_a_code_has_proved_it(self, office: Office) -> None:
        await office.add()
        office.service.authenticators.begin("carol")
        await office.service.sign_in(Actor("carol"), "")
        with pytest.raises(CodeRefusedError):
            await office.service.authenticators.confirm("000000", by=Actor("carol"))
        assert not (await office.service.get("carol")).has_totp
        office.clock.advance(ENROLMENT_S)
        with pytest.raises(OperatorStateError, match="begin anew"):
            await office.service.authenticators.confirm("000000", by=Actor("carol"))

    async def test_a_second_one_does_not_replace_the_first(self, office: Office) -> None:
        await office.add()
        await office.enrol()
        with pytest.raises(OperatorStateError, match="remove it first"):
            office.service.authenticators.begin("carol")

    async def test_root_has_none(self, office: Office) -> None:
        with pytest.raises(OperatorStateError):
            office.service.authenticators.begin("root")

    async def test_its_owner_removes_it_by_a_code(self, office: Office) -> None:
        await office.add()
        secret = await office.enrol()
        with pytest.raises(CodeRefusedError):
            await office.service.authenticators.remove("carol", by=Actor("carol"), code="")
        await office.service.authenticators.remove("carol", by=Actor("carol"), code=office.code(secret))
        await office.service.sign_in(Actor("carol"), "")
        assert [row[0] for row in await office.audited()][-2:] == ["operator.unsecured", "session.begun"]

    async def test_an_admin_removes_it_without(self, office: Office) -> None:
        await office.add()
        await office.enrol()
        record = await office.service.authenticators.remove("carol", by=BY, reason="telephone lost")
        assert not record.has_totp

    async def test_a_revocation_removes_it(self, office: Office) -> None:
        await office.add()
        await office.enrol()
        await office.service.revoke("carol", by=BY)
        await office.add()
        await office.service.sign_in(Actor("carol"), "")

    async def test_where_the_store_cannot_tell_whether_it_was_used_it_is_not_taken(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await office.add()
        secret = await office.enrol()
        office.break_store(monkeypatch)
        with pytest.raises(StoreUnavailableError):
            await office.service.sign_in(Actor("carol"), office.code(secret))


async def test_all_that_is_done_to_operators_is_in_one_chain(office: Office) -> None:
    await office.add()
    await office.enrol()
    await office.service.change("carol", {"role": Role.ADMIN}, by=BY)
    await office.service.rotate("carol", by=BY)
    await office.service.revoke("carol", by=BY)
    await office.service.delete("carol", by=BY)
    verdict = await verify_log(office.store.database)
    assert (verdict.rows, verdict.faults) == (6, ())


async def test_it_looks_seldom_while_there_is_nobody_and_goes_on_after_a_fault(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            await office.add()
        if len(slept) == 5:
            raise asyncio.CancelledError

    looks = 0

    async def look() -> None:
        nonlocal looks
        looks += 1
        raise StoreUnavailableError("the disk is full") if looks == 3 else ZeroDivisionError

    monkeypatch.setattr(office.service, "look", look)
    with pytest.raises(asyncio.CancelledError):
        await office.service.run(sleep)
    assert (slept, looks) == ([5.0, 5.0, 1.0, 1.0, 1.0], 4)
    assert [record.getMessage() for record in caplog.records] == [
        "sweep.failed", "sweep.failed", "store.failed", "sweep.failed",
    ]  # fmt: skip
