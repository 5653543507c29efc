from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, cast

import pytest
from prometheus_client import generate_latest

from streamd.clock import ManualClock
from streamd.errors import KeyUsedTooOftenError, StoreUnavailableError
from streamd.process.services import RESTART_RECORD_NAME, Services
from streamd.services.audit.records import Actor
from streamd.services.events.sender import ReceiverAnswer
from streamd.services.moderation.target import Target, TargetKind
from tests.support.built_server import config_of
from tests.support.enforcement import STATEMENT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from streamd.doors.outgoing.http_sender import HttpSender
    from streamd.process.config import Config

pytestmark = pytest.mark.asyncio

PEER = "198.51.100.7"
ADMIN = Actor("admin")


class Receiver:
    """Answers every request, and remembers whom it was for."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float, answer_bytes_max: int = 0
    ) -> ReceiverAnswer:
        self.urls.append(url)
        return ReceiverAnswer(200)


@contextlib.asynccontextmanager
async def opened(config: Config, receiver: Receiver | None = None) -> AsyncIterator[Services]:
    services = Services(config, ManualClock(), cast("HttpSender", receiver or Receiver()))
    config.data_dir.mkdir(exist_ok=True)
    async with contextlib.AsyncExitStack() as resources:
        await services.open(resources)
        yield services


async def test_a_key_that_is_issued_is_verified(tmp_path: Path) -> None:
    async with opened(config_of(tmp_path)) as services:
        issued = await services.keys.issue("alice", by=ADMIN)
        admission = await services.verifier.verify(issued.stream_key.reveal(), PEER)
        assert admission.user == "alice"
        await services.keys.revoke(issued.record.key_id, by=ADMIN)
        assert not services.verifier.admissions.is_admissible(admission)


async def test_a_store_that_cannot_be_opened_leaves_nothing_open(tmp_path: Path) -> None:
    config = config_of(tmp_path / "data", keys={"database_url": f"sqlite+aiosqlite:///{tmp_path}/no/where.db"})
    with pytest.raises(StoreUnavailableError):
        async with opened(config):
            pytest.fail("it was opened")


async def test_other_limits_are_taken_while_they_run(tmp_path: Path) -> None:
    async with opened(config_of(tmp_path)) as services:
        services.configure(config_of(tmp_path, limits={"publishes_per_minute_max": 5}))
        key = (await services.keys.issue("alice", by=ADMIN)).stream_key.reveal()
        for _ in range(5):
            await services.verifier.verify(key, PEER)
        with pytest.raises(KeyUsedTooOftenError):
            await services.verifier.verify(key, PEER)


async def test_a_sweep_keeps_what_the_next_server_needs(tmp_path: Path) -> None:
    async with opened(config_of(tmp_path)) as services:
        await services.sweep()
        assert (tmp_path / RESTART_RECORD_NAME).exists()


async def test_what_was_taken_down_is_shown_where_moderation_is_off_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = Target(TargetKind.CHANNEL, "anna", "anna")
    async with opened(config_of(tmp_path, moderation={"enabled": True})) as services:
        assert services.moderation is not None
        done = await services.moderation.enforcement.takedowns.take_down(target, STATEMENT, actor=ADMIN)
        assert services.verifier.admissions.is_dark("anna")
    for _ in range(2):
        async with opened(config_of(tmp_path)) as services:
            assert not services.verifier.admissions.is_dark("anna")
    assert [vars(record)["takedowns"] for record in caplog.records if record.message == "moderation.off"] == [1, 1]
    caplog.clear()
    async with opened(config_of(tmp_path, moderation={"enabled": True})) as services:
        assert services.moderation is not None
        assert services.verifier.admissions.is_dark("anna")
        await services.moderation.enforcement.takedowns.restore(done.id, actor=ADMIN)
    async with opened(config_of(tmp_path)):
        assert "moderation.off" not in caplog.text


async def test_posters_are_there_unless_they_are_switched_off(tmp_path: Path) -> None:
    async with opened(config_of(tmp_path)) as services:
        assert services.posters is not None
    async with opened(config_of(tmp_path, http={"posters": False})) as services:
        assert services.posters is None


async def test_the_publish_hook_is_asked_where_there_is_one(tmp_path: Path) -> None:
    receiver = Receiver()
    async with opened(config_of(tmp_path)) as services:
        assert services.gate is None
    secret = "whsec_" + "A" * 32
    hook = {"url": "https://hook.example/publish", "secret": secret}
    async with opened(config_of(tmp_path, publish_hook=hook), receiver) as services:
        assert services.gate is not None
        key = (await services.keys.issue("alice", by=ADMIN)).stream_key.reveal()
        await services.gate.decide(await services.verifier.verify(key, PEER), PEER, "OBS")
    assert receiver.urls == ["https://hook.example/publish"]


async def test_what_waits_for_webhooks_is_told_before_they_close(tmp_path: Path) -> None:
    receiver = Receiver()
    endpoint = {"url": "https://events.example/", "secret": "whsec_" + "A" * 32}
    async with opened(config_of(tmp_path, webhooks={"endpoints": [endpoint]}), receiver) as services:
        await services.keys.issue("alice", by=ADMIN)
    assert set(receiver.urls) == {"https://events.example/"}


@pytest.mark.parametrize("is_on", [True, False])
async def test_single_channels_are_in_the_metrics_where_they_are_asked_for(tmp_path: Path, is_on: bool) -> None:
    async with opened(config_of(tmp_path, metrics={"per_channel": is_on})) as services:
        assert (b"streamd_channel_viewers" in generate_latest(services.metrics.registry)) is is_on
