"""Operators' acts on playback, on SQLite and PostgreSQL: what holds when they return, and after a restart."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import pytest_asyncio
from sqlalchemy import text

from streamd.clock import ManualClock
from streamd.errors import (
    KeyRequestError,
    KeyStateError,
    PlaybackKeyNotFoundError,
    PlaybackRefusedError,
    StoreUnavailableError,
    UserNotFoundError,
)
from streamd.services.audit.records import Actor
from streamd.services.playback.claims import TOKEN_S_MAX, Audience
from streamd.services.playback.countries import Countries
from streamd.services.playback.gate import PlaybackGate
from streamd.services.playback.gate_options import GateOptions
from streamd.services.playback.key_set import RemoteKeySet
from streamd.services.playback.passwords import Passwords
from streamd.services.playback.playback_store import PlaybackStore
from streamd.services.playback.policy import Policy
from streamd.services.playback.refusal import Refusal
from streamd.services.playback.revocations import RevocationKind
from streamd.services.playback.service import RECHECK_S, SERVER_KID, PlaybackService
from streamd.services.playback.verifying_key import Algorithm
from streamd.services.playback.visitor import Visitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from streamd.services.events.sender import ReceiverAnswer
    from streamd.services.keys.key_store import KeyStore
    from streamd.services.playback.viewing import Viewing

pytestmark = pytest.mark.asyncio

ADMIN = Actor("admin", "192.0.2.1")
HOME = Visitor("192.0.2.7")


class Nobody:
    """A sender that reaches nobody."""

    async def get(self, url: str, *, timeout_s: float, answer_bytes_max: int) -> ReceiverAnswer:
        raise AssertionError


class Stream:
    """Something that goes on until it is cut."""

    def __init__(self, cuts: list[Refusal]) -> None:
        self.cut = cuts.append


class House:
    """A server's playback on a store."""

    def __init__(self, store: KeyStore, clock: ManualClock) -> None:
        self.store = store
        self.clock = clock
        self.gate = PlaybackGate(clock, GateOptions(Policy.PUBLIC), Countries(None))
        self.service = PlaybackService(
            PlaybackStore(store.database),
            self.gate,
            clock,
            Passwords(clock.monotonic),
            RemoteKeySet("", Nobody(), clock, self.gate.keys),
        )

    async def again(self) -> House:
        """Another server on the same store."""
        house = House(self.store, self.clock)
        await house.service.start()
        return house

    def admit(self, token: str, channel: str = "alice") -> Viewing:
        return self.gate.admit(channel, token, Audience.VIDEO, HOME)

    def typed(self) -> Viewing:
        """Who has typed the password of Alice's channel."""
        known = self.gate.policies.password_hash("alice")
        return self.gate.admit_by("password", "alice", HOME, password_hash=known)

    def sign(self, key: str, algorithm: str, kid: str, **claims: Any) -> str:
        now = int(self.clock.now().timestamp())
        return jwt.encode(
            {"sub": "alice", "exp": now + 3600, "iat": now, **claims}, key, algorithm=algorithm, headers={"kid": kid}
        )

    def refused(self, token: str, channel: str = "alice") -> str:
        with pytest.raises(PlaybackRefusedError) as refused:
            self.admit(token, channel)
        return refused.value.reason

    async def acts(self) -> list[tuple[str, str]]:
        page = await self.store.audit.page(after=0, limit=100)
        return [(record.entry.action, record.entry.reason) for record in page.items]


@pytest_asyncio.fixture
async def house(store: KeyStore) -> AsyncIterator[House]:
    """One server, with the user alice."""
    house = House(store, ManualClock(datetime(2026, 3, 1, 12, tzinfo=UTC)))
    await store.add_key(
        key_id="k1", secret_hash=bytes(32), user="alice", label="", expires_at=None, now=house.clock.now(), by=ADMIN
    )
    await house.service.start()
    yield house
    await house.service.close()


class TestKeys:
    @pytest.mark.parametrize("algorithm", [*Algorithm])
    async def test_a_key_is_shown_once_and_its_tokens_are_good_everywhere(
        self, house: House, algorithm: Algorithm
    ) -> None:
        made = await house.service.add_key(algorithm, by=ADMIN, label="my site")
        token = house.sign(made.private, algorithm, made.record.kid)
        house.admit(token)
        other = await house.again()
        other.admit(token)
        (kept,) = other.service.list_keys()
        assert (kept.kid, kept.algorithm, kept.label, kept.created_by) == (
            made.record.kid,
            algorithm,
            "my site",
            "admin",
        )
        if algorithm is not Algorithm.HS256:
            async with house.store.database.reading() as connection:
                row = (await connection.execute(text("SELECT material FROM playback_keys"))).scalar_one()
            assert b"PRIVATE" not in bytes(row)
        published = [jwk["kid"] for jwk in house.service.published()]
        assert published == ([] if algorithm is Algorithm.HS256 else [kept.kid])

    async def test_the_public_half_of_one_made_elsewhere(self, house: House) -> None:
        made = await house.service.add_key(Algorithm.ES256, by=ADMIN)
        with pytest.raises(KeyRequestError):
            await house.service.add_key(Algorithm.ES256, by=ADMIN, public_key=made.private)

    async def test_a_rotation_with_an_overlap(self, house: House) -> None:
        old = await house.service.add_key(Algorithm.EDDSA, by=ADMIN, label="site")
        old_token = house.sign(old.private, "EdDSA", old.record.kid)
        viewing = house.admit(old_token)
        new = await house.service.rotate_key(old.record.kid, by=ADMIN, overlap_s=60)
        assert (new.record.label, new.record.algorithm) == ("site", Algorithm.EDDSA)
        house.admit(old_token)
        house.admit(house.sign(new.private, "EdDSA", new.record.kid))
        house.clock.advance(60)
        assert house.refused(old_token) == "unknown_key"
        assert viewing.refusal is None
        assert house.service.find_key(old.record.kid).replaced_by == new.record.kid
        with pytest.raises(KeyStateError, match="rotated before"):
            await house.service.rotate_key(old.record.kid, by=ADMIN)
        other = await house.again()
        assert other.refused(old_token) == "unknown_key"

    async def test_a_withdrawn_key_ends_who_watches_by_it(self, house: House) -> None:
        made = await house.service.add_key(Algorithm.EDDSA, by=ADMIN)
        viewing = house.admit(house.sign(made.private, "EdDSA", made.record.kid))
        done = await house.service.revoke(RevocationKind.KID, made.record.kid, by=ADMIN)
        assert done.ended == 1
        assert viewing.refusal is not None
        later = house.sign(made.private, "EdDSA", made.record.kid, iat=int(house.clock.now().timestamp()) + 100)
        assert house.refused(later) == "unknown_key"
        other = await house.again()
        assert other.refused(later) == "unknown_key"
        assert other.service.find_key(made.record.kid).withdrawn_at is not None
        await house.service.delete_key(made.record.kid, by=ADMIN)
        with pytest.raises(PlaybackKeyNotFoundError):
            house.service.find_key(made.record.kid)
        assert (await house.again()).service.list_keys() == []

    async def test_a_key_withdrawn_while_a_thousand_watch(self, house: House) -> None:
        made = await house.service.add_key(Algorithm.HS256, by=ADMIN)
        cut: list[Refusal] = []
        viewings = [house.admit(house.sign(made.private, "HS256", made.record.kid, jti=str(n))) for n in range(1000)]
        for viewing in viewings:
            viewing.hold(Stream(cut))
        done = await house.service.revoke(RevocationKind.KID, made.record.kid, by=ADMIN)
        assert done.ended == 1000
        assert cut == [Refusal.REVOKED] * 1000

    async def test_deleting_withdraws_first(self, house: House) -> None:
        made = await house.service.add_key(Algorithm.EDDSA, by=ADMIN)
        viewing = house.admit(house.sign(made.private, "EdDSA", made.record.kid))
        await house.service.delete_key(made.record.kid, by=ADMIN)
        assert viewing.refusal is not None

    async def test_one_that_there_is_not(self, house: House) -> None:
        for call in (house.service.rotate_key("no", by=ADMIN), house.service.delete_key("no", by=ADMIN)):
            with pytest.raises(PlaybackKeyNotFoundError):
                await call

    @pytest.mark.parametrize("overlap_s", [-1, 1e9, float("nan")])
    async def test_an_overlap_that_cannot_be(self, house: House, overlap_s: float) -> None:
        made = await house.service.add_key(Algorithm.EDDSA, by=ADMIN)
        with pytest.raises(KeyRequestError):
            await house.service.rotate_key(made.record.kid, by=ADMIN, overlap_s=overlap_s)


class TestTokens:
    async def test_of_the_server(self, house: House) -> None:
        token = house.service.sign({"sub": "alice", "jti": "j", "aud": ["v", "t"]}, ttl_s=60)
        assert jwt.get_unverified_header(token)["kid"] == SERVER_KID
        assert house.admit(token).ticket.audience == Audience.VIDEO | Audience.THUMBNAIL
        (await house.again()).admit(token)
        assert house.refused(token, "bob") == "subject"

    @pytest.mark.parametrize("ttl_s", [0, -1, TOKEN_S_MAX + 1])
    async def test_a_time_that_cannot_be(self, house: House, ttl_s: int) -> None:
        with pytest.raises(KeyRequestError):
            house.service.sign({"sub": "alice"}, ttl_s=ttl_s)

    async def test_those_given_out_so_far_are_withdrawn_by_the_servers_own_key(self, house: House) -> None:
        token = house.service.sign({"sub": "alice"}, ttl_s=60)
        await house.service.revoke(RevocationKind.KID, SERVER_KID, by=ADMIN)
        assert house.refused(token) == "revoked"
        house.clock.advance(1)
        house.admit(house.service.sign({"sub": "alice"}, ttl_s=60))


class TestRevocation:
    @pytest.mark.parametrize(("kind", "value"), [("jti", "j"), ("uid", "u"), ("channel", "alice")])
    async def test_is_dark_here_audited_and_holds_after_a_restart(self, house: House, kind: str, value: str) -> None:
        token = house.service.sign({"sub": "alice", "jti": "j", "uid": "u"}, ttl_s=3600)
        viewing = house.admit(token)
        done = await house.service.revoke(RevocationKind(kind), value, by=ADMIN, reason="abuse")
        assert (done.ended, done.unwritten) == (1, "")
        assert viewing.refusal is not None
        assert ("playback.revoked", f"{kind} {value}. abuse") in await house.acts()
        assert (await house.again()).refused(token) == "revoked"

    async def test_again_is_no_second_row(self, house: House) -> None:
        for _ in range(3):
            await house.service.revoke(RevocationKind.JTI, "j", by=ADMIN)
        async with house.store.database.reading() as connection:
            rows = (await connection.execute(text("SELECT count(*) FROM playback_revocations"))).scalar_one()
        assert rows == 1

    @pytest.mark.parametrize("value", ["", "x" * 129, "a\nb"])
    async def test_a_name_that_cannot_be(self, house: House, value: str) -> None:
        with pytest.raises(KeyRequestError):
            await house.service.revoke(RevocationKind.UID, value, by=ADMIN)

    async def test_holds_where_the_store_cannot_be_written(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        viewing = house.admit(house.service.sign({"sub": "alice", "jti": "j"}, ttl_s=3600))

        async def fail(*_: object) -> None:
            raise StoreUnavailableError("the disk is full")

        with monkeypatch.context() as patched:
            patched.setattr(PlaybackStore, "revoke", fail)
            done = await house.service.revoke(RevocationKind.JTI, "j", by=ADMIN)
        assert "the disk is full" in done.unwritten
        assert viewing.refusal is not None
        house.clock.advance(RECHECK_S)
        await house.service._look()
        assert ("playback.revoked", "jti j") in await house.acts()

    async def test_what_another_server_did_is_known_soon(self, house: House) -> None:
        other = await house.again()
        viewing = other.admit(house.service.sign({"sub": "alice", "jti": "j"}, ttl_s=3600))
        await house.service.revoke(RevocationKind.JTI, "j", by=ADMIN)
        other.clock.advance(RECHECK_S)
        await other.service._look()
        assert viewing.refusal is not None


class TestRules:
    async def test_hold_here_and_elsewhere(self, house: House) -> None:
        await house.service.set_rule("alice", Policy.SIGNED, by=ADMIN)
        assert house.gate.is_locked("alice")
        assert (await house.again()).gate.is_locked("alice")
        await house.service.set_rule("alice", None, by=ADMIN)
        assert house.gate.is_open
        assert (await house.again()).gate.is_open
        assert [reason for action, reason in await house.acts() if action == "playback.policy"] == [
            "signed",
            "as the configuration says",
        ]

    async def test_of_nobody(self, house: House) -> None:
        with pytest.raises(UserNotFoundError):
            await house.service.set_rule("nobody", Policy.SIGNED, by=ADMIN)
        assert house.gate.is_open

    async def test_of_a_recording(self, house: House) -> None:
        await house.service.set_rule("rec_1", Policy.SIGNED, by=ADMIN, of_recording=True)
        assert house.gate.is_locked("rec_1", "alice")
        assert not house.gate.is_locked("alice")
        assert (await house.again()).gate.is_locked("rec_1", "alice")
        await house.service.set_rule("rec_1", None, by=ADMIN, of_recording=True)
        assert house.gate.is_open
        assert ("playback.policy", "rec_1 as its channel") in await house.acts()

    async def test_of_a_recording_that_is_deleted(self, house: House) -> None:
        await house.service.set_rule("rec_1", Policy.SIGNED, by=ADMIN, of_recording=True)
        for each in ("rec_1", "rec_2"):
            house.service.forget_soon(each)
        house.clock.advance(RECHECK_S)
        await house.service._look()
        assert house.gate.is_open
        assert (await house.again()).gate.is_open

    async def test_a_password_is_kept_as_a_hash(self, house: House) -> None:
        with pytest.raises(KeyRequestError, match="needs a password"):
            await house.service.set_rule("alice", Policy.PASSWORD, by=ADMIN)
        for password in ("abc", "x" * 129):
            with pytest.raises(KeyRequestError):
                await house.service.set_rule("alice", Policy.PASSWORD, by=ADMIN, password=password)
        await house.service.set_rule("alice", Policy.PASSWORD, by=ADMIN, password="open sesame")
        hashed = house.gate.policies.password_hash("alice")
        assert hashed.startswith("$argon2id$")
        assert "sesame" not in str(await house.acts())
        passwords = Passwords(house.clock.monotonic)
        assert await passwords.is_right("open sesame", hashed, "192.0.2.7")
        for wrong in ("open sesam", "", "x" * 10_000, "open sesame\0"):
            assert not await passwords.is_right(wrong, hashed, "192.0.2.7")
        assert not await passwords.is_right("open sesame", "", "192.0.2.7")
        assert not await passwords.is_right("open sesame", "no hash", "192.0.2.7")
        passwords.close()

    async def test_a_new_password_ends_who_watches_by_the_old_one(self, house: House) -> None:
        await house.service.set_rule("alice", Policy.PASSWORD, by=ADMIN, password="first one")
        viewing = house.typed()
        await house.service.set_rule("alice", Policy.PASSWORD, by=ADMIN, password="second one")
        assert viewing.refusal is not None

    async def test_a_new_password_ends_them_also_where_there_was_none_in_between(self, house: House) -> None:
        await house.service.set_rule("alice", Policy.PASSWORD, by=ADMIN, password="first one")
        viewing = house.typed()
        await house.service.set_rule("alice", Policy.PUBLIC, by=ADMIN)
        assert viewing.lasts()
        await house.service.set_rule("alice", Policy.PASSWORD, by=ADMIN, password="second one")
        assert viewing.refusal is not None
        # A server that has never seen the ticket reads it, and refuses it as well.
        with pytest.raises(PlaybackRefusedError):
            (await house.again()).gate.enter("alice", viewing.text, Audience.VIDEO, HOME.address, watches=True)

    async def test_a_password_that_was_typed_while_it_became_another_opens_nothing(self, house: House) -> None:
        await house.service.set_rule("alice", Policy.PASSWORD, by=ADMIN, password="first one")
        known = house.gate.policies.password_hash("alice")
        await house.service.set_rule("alice", Policy.PASSWORD, by=ADMIN, password="second one")
        house.clock.advance(2)
        with pytest.raises(PlaybackRefusedError):
            house.gate.admit_by("password", "alice", HOME, password_hash=known)

    async def test_of_a_user_who_is_deleted(self, house: House) -> None:
        await house.service.set_rule("alice", Policy.SIGNED, by=ADMIN)
        await house.service.forget("alice")
        assert house.gate.is_open
        assert (await house.again()).gate.is_open
