"""NATS that is not as it has to be: each time one clear line, for the start and for the doctor."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from streamd.doors.cluster.nats_link import NatsLink, look_at
from streamd.errors import ClusterUnavailableError, ConflictError
from streamd.services.cluster.key_value import Kept
from tests.support.nats import free_port, run_nats

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]


def link(url: str) -> NatsLink:
    return NatsLink([url], "", "a", 3.0, lambda: None)


async def told(url: str) -> tuple[str, str]:
    """What the server's start says, and the doctor."""
    with pytest.raises(ClusterUnavailableError) as start:
        await link(url).open()
    with pytest.raises(ClusterUnavailableError) as doctor:
        await look_at([url], "")
    return str(start.value), str(doctor.value)


async def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    cases = {
        "without_jetstream": ("", False, "without JetStream"),
        "small": ("max_payload: 16384", True, "set max_payload to"),
        "closed": ('authorization { user: "streamd", password: "right" }', True, "lets this node not in"),
    }
    for name, (settings, jetstream, text) in cases.items():
        directory = tmp_path / name
        directory.mkdir()
        with run_nats(directory, settings, jetstream=jetstream) as nats:
            for line in await told(nats.url):
                assert text in line, name
    for line in await told(f"nats://127.0.0.1:{free_port()}"):
        assert "does not answer" in line


async def test_a_bucket_is_what_the_directory_rests_on(tmp_path: Path) -> None:
    # 64 kB a message are enough.
    with run_nats(tmp_path, "max_payload: 65536") as nats:
        assert await look_at([nats.url], "") == set()
        first, second = link(nats.url), link(nats.url)
        await first.open()
        await second.open()
        heard: asyncio.Queue[tuple[str, Kept | None]] = asyncio.Queue()
        second.nodes.watch(lambda key, kept: heard.put_nowait((key, kept)))
        try:
            revision = await first.nodes.create("a", b"one")
            with pytest.raises(ConflictError):
                await second.nodes.create("a", b"two")
            later = await second.nodes.update("a", b"two", revision)
            with pytest.raises(ConflictError):
                await first.nodes.update("a", b"three", revision)
            with pytest.raises(ConflictError):
                await first.nodes.delete("a", revision)
            assert await first.nodes.get("a") == Kept(b"two", later)
            assert await first.nodes.all() == {"a": Kept(b"two", later)}
            await first.nodes.delete("a", later)
            assert await first.nodes.get("a") is None
            assert await first.nodes.all() == {}
            again = await first.nodes.create("a", b"four")
            assert again > later
            assert await look_at([nats.url], "") == {"a"}
            seen: list[tuple[str, Kept | None]] = []
            while not seen or seen[-1] != ("a", Kept(b"four", again)):
                seen.append(await asyncio.wait_for(heard.get(), 20))
            assert ("a", None) in seen
            # The server is started again: the watch is made anew.
            nats.stop()
            with pytest.raises(ClusterUnavailableError):
                await first.nodes.update("a", b"five", again)
            nats.start()

            async def write() -> int:
                while True:
                    try:
                        return await first.nodes.update(
                            "a", b"six", (await first.nodes.get("a") or Kept(b"", 0)).revision
                        )
                    except ClusterUnavailableError:
                        await asyncio.sleep(0.1)

            last = await asyncio.wait_for(write(), 30)
            while seen[-1] != ("a", Kept(b"six", last)):
                seen.append(await asyncio.wait_for(heard.get(), 30))
        finally:
            await first.close()
            await second.close()
