"""How fast is a revocation, how much does a verification cost, and how much do guessers cost others?

Method
------
``revoke``   A server on core 0 with 200 live streams and 1,000 LL-HLS viewers that wait for the next part, both from
             one generator on core 1. Keys are revoked one after another over the admin API. Timed from the write of the
             request's last byte to the end of the publisher's connection, to the last of that stream's viewers having
             read a playlist with ENDLIST, and to the answer. Twice: the viewers spread over all streams, and all of
             them on the stream that is revoked.
``verify``   The key service on its store with a million keys, in this process on core 0 (PostgreSQL on core 1): one
             verification after another for latency and for the CPU time of the loop's thread, 32 at once for the rate.
``guess``    One live stream and its viewer, first alone, then while 10,000 publishes a minute with wrong keys come from
             1,000 loopback addresses: when each part reaches the viewer, and the server's memory; then the same from
             addresses and on key ids that are over their budgets.

Left out: TLS, a network, high bit rates (the picture is 160x96, about 0.1 Mb/s: revoking and refusing do not touch
media), OBS's own delays. The generator measures the times of ``revoke`` and ``guess``, its own loop included.

Run: ``python -m bench.keys [revoke] [verify] [guess]``. JSON lines on stdout, a table on stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import random
import re
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from pathlib import Path
from typing import cast

import uvloop
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from bench.figures import report
from bench.machine import LOAD_CORE, SERVER_CORE, cpu_seconds, on_core, resident_bytes, started_on
from streamd.clock import SystemClock
from streamd.errors import KeyRejectedError
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.secret import hash_secret
from streamd.services.keys.stream_key import StreamKey
from streamd.services.keys.verifier import KeyVerifier, VerifierOptions
from tests.support import rtmp_wire
from tests.support.flv_media import h264_aac
from tests.support.postgresql import run_postgresql
from tests.support.server import LiveServer, run_server
from tests.support.socket_publisher import login

STREAMS = 200
VIEWERS = 1_000
# Revocations of a stream that has every viewer: each needs all of them waiting again.
CROWDED_REVOCATIONS = 20
# Until every stream is live and every viewer waits; the slowest part of it is opening 200 demuxers.
SETTLE_S = 6.0
TICK_S = 1 / 30
# Longer than any case takes.
MEDIA_S = 360

KEYS = 1_000_000
USERS = 100_000
PROBED_KEYS = 1_000
VERIFICATIONS = 3_000
AT_ONCE = 32

GUESSES_PER_MINUTE = 10_000
ADDRESSES = 1_000
ALONE_S = 20.0
GUESSING_S = 30.0
ANSWER_TIMEOUT_S = 20.0


# -- the load -----------------------------------------------------------------------------------


def frames() -> list[bytes]:
    """The bytes of a publisher in each thirtieth of a second, for ``MEDIA_S`` seconds."""
    # Three GOPs of a second are encoded and repeated on later timestamps: all begin with a keyframe.
    clip, clip_ms = h264_aac(seconds=3), 3000
    headers = [tag for tag in clip if bytes(tag.payload)[1] == 0]
    media = [tag for tag in clip if bytes(tag.payload)[1] != 0]
    ticks: list[list[bytes]] = [[] for _ in range(MEDIA_S * 30)]
    ticks[0] = [rtmp_wire.message(tag.tag_type, bytes(tag.payload)) for tag in headers]
    for turn in range(MEDIA_S * 1000 // clip_ms):
        for tag in media:
            time_ms = tag.timestamp_ms + turn * clip_ms
            if (tick := time_ms * 30 // 1000) < len(ticks):
                ticks[tick].append(rtmp_wire.message(tag.tag_type, bytes(tag.payload), time_ms=time_ms))
    return [b"".join(messages) for messages in ticks]


class Publisher(asyncio.Protocol):
    """Publishes with a key; remembers when its connection ended."""

    def __init__(self, stream_key: str) -> None:
        self._publish = rtmp_wire.command("publish", 3, None, stream_key, "live", message_stream_id=1)
        self._received = b""
        self.answered = asyncio.get_running_loop().create_future()
        self.closed = asyncio.get_running_loop().create_future()
        self.tick = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Log in and ask to publish, all in one write."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(login("live") + self._publish)

    def data_received(self, data: bytes) -> None:
        """Look for the answer."""
        if self.answered.done():
            return
        self._received += data
        for code in (b"NetStream.Publish.Start", b"NetStream.Publish.Denied"):
            if code in self._received:
                self.answered.set_result(code == b"NetStream.Publish.Start")

    def eof_received(self) -> None:
        """The server has ended it."""
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server has ended it."""
        self._end()

    def _end(self) -> None:
        if not self.closed.done():
            self.closed.set_result(time.perf_counter())
        if not self.answered.done():
            self.answered.set_result(False)

    def send(self, ticks: list[bytes]) -> None:
        """Send the next frame."""
        if not self.closed.done():
            self._transport.write(ticks[self.tick % len(ticks)])
            self.tick += 1

    def close(self) -> None:
        """Drop the connection."""
        self._transport.abort()


class Viewer(asyncio.Protocol):
    """An LL-HLS viewer: waits for each next part in a blocking playlist request."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._received = bytearray()
        self.ended: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.watching = asyncio.Event()
        self.part_times: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the playlist as it is."""
        self._transport = cast("asyncio.Transport", transport)
        self._ask("")

    def data_received(self, data: bytes) -> None:
        """Read an answer, and ask for the next part."""
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        length = re.search(rb"content-length: (\d+)", self._received[:end], re.IGNORECASE)
        size = end + 4 + (int(length[1]) if length else 0)
        if len(self._received) < size:
            return
        body = bytes(self._received[end + 4 : size])
        del self._received[:size]
        now = time.perf_counter()
        if b"#EXT-X-ENDLIST" in body:
            self.ended.set_result(now)
        elif (first := re.search(rb"#EXT-X-MEDIA-SEQUENCE:(\d+)", body)) is None:
            # Not live yet.
            asyncio.get_running_loop().call_later(0.2, self._ask, "")
        else:
            self.part_times.append(now)
            self.watching.set()
            parts = body.rpartition(b"#EXTINF")[2].count(b"#EXT-X-PART:")
            self._ask(f"?_HLS_msn={int(first[1]) + body.count(b'#EXTINF')}&_HLS_part={parts}")

    def connection_lost(self, exc: Exception | None) -> None:
        """A stream that is revoked ends with ENDLIST, and not like this."""
        if not self.ended.done():
            self.ended.set_exception(ConnectionResetError("a viewer lost its connection"))

    def _ask(self, query: str) -> None:
        self._transport.write(f"GET /live/{self._name}/main.m3u8{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def close(self) -> None:
        """Drop the connection."""
        self.ended.cancel()
        self._transport.abort()


class Load:
    """Publishers in real time and waiting viewers on one server."""

    def __init__(self, server: LiveServer) -> None:
        self._server = server
        self._ticks = frames()
        self.publishers: dict[str, Publisher] = {}
        self._pace = asyncio.create_task(self._send())

    async def publish(self, name: str, stream_key: str) -> None:
        """Begin a stream."""
        loop = asyncio.get_running_loop()
        # One address may have 64 connections.
        address = f"127.0.1.{1 + len(self.publishers) % 250}"
        _, publisher = await loop.create_connection(
            lambda: Publisher(stream_key), "127.0.0.1", self._server.rtmp_port, local_addr=(address, 0)
        )
        assert await asyncio.wait_for(publisher.answered, ANSWER_TIMEOUT_S), f"{name} was refused"
        self.publishers[name] = publisher

    async def watch(self, name: str) -> Viewer:
        """Begin to watch a stream."""
        _, viewer = await asyncio.get_running_loop().create_connection(
            lambda: Viewer(name), "127.0.0.1", self._server.http_port
        )
        return viewer

    async def close(self) -> None:
        """Drop every publisher."""
        self._pace.cancel()
        for publisher in self.publishers.values():
            publisher.close()
        await asyncio.sleep(0)

    async def _send(self) -> None:
        """One frame of each publisher a tick, the publishers spread over the tick as encoders are."""
        loop = asyncio.get_running_loop()
        slices, next_at = 10, loop.time()
        for count in itertools.count():
            for publisher in [*self.publishers.values()][count % slices :: slices]:
                publisher.send(self._ticks)
            next_at += TICK_S / slices
            await asyncio.sleep(max(next_at - loop.time(), 0))


async def post(port: int, path: str, token: str) -> tuple[float, float, bytes]:
    """One admin call: when its last byte was written, when its answer was there, and the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    sent_at = time.perf_counter()
    writer.write(head.encode())
    answer = await asyncio.wait_for(reader.read(), ANSWER_TIMEOUT_S)
    answered_at = time.perf_counter()
    writer.close()
    assert b" 200 OK" in answer.partition(b"\r\n")[0], answer.partition(b"\r\n")[0]
    return sent_at, answered_at, answer


def key_id_of(stream_key: str) -> str:
    """The public part of a stream key."""
    return stream_key.split("_")[1]


# -- revoke -------------------------------------------------------------------------------------


async def measure_revoke(server: LiveServer) -> None:
    """``revoke``."""
    load = Load(server)
    names = [f"user{number}" for number in range(STREAMS)]
    keys = {name: await asyncio.to_thread(server.issue_key, name) for name in names}
    for name in names:
        await load.publish(name, keys[name])
    token = server.admin_token

    async def revoke(name: str, viewers: list[Viewer]) -> tuple[float, float, float]:
        sent_at, answered_at, _ = await post(server.admin_port, f"/api/v1/keys/{key_id_of(keys[name])}/revoke", token)
        publisher = load.publishers.pop(name)
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            closed_at = await publisher.closed
            last_at = max([await viewer.ended for viewer in viewers])
        publisher.close()
        for viewer in viewers:
            viewer.close()
        return (closed_at - sent_at) * 1e3, (last_at - sent_at) * 1e3, (answered_at - sent_at) * 1e3

    def tell(title: str, samples: list[tuple[float, float, float]]) -> None:
        for what, values in zip(
            ("publisher's socket closed", "last viewer answered", "call answered"), zip(*samples, strict=True),
            strict=True,
        ):  # fmt: skip
            report("keys", f"revoke, {title}: {what}", list(values), "ms")

    await asyncio.sleep(SETTLE_S)
    # All viewers on the stream that is revoked; it comes back with a new key, so that 200 stay live.
    samples = []
    for name in names[:CROWDED_REVOCATIONS]:
        viewers = await asyncio.gather(*(load.watch(name) for _ in range(VIEWERS)))
        await asyncio.gather(*(viewer.watching.wait() for viewer in viewers))
        # At any moment between two parts.
        await asyncio.sleep(1 + random.random())
        samples.append(await revoke(name, viewers))
        keys[name] = await asyncio.to_thread(server.issue_key, name)
        await load.publish(name, keys[name])
    tell(f"{VIEWERS} viewers on it", samples)

    await asyncio.sleep(SETTLE_S)
    watching = {name: [await load.watch(name) for _ in range(VIEWERS // STREAMS)] for name in names}
    await asyncio.gather(*(viewer.watching.wait() for viewers in watching.values() for viewer in viewers))
    samples = []
    for name in names:
        await asyncio.sleep(random.random() * 0.1)
        samples.append(await revoke(name, watching[name]))
    tell(f"{VIEWERS // STREAMS} viewers on each", samples)
    await load.close()


# -- verify -------------------------------------------------------------------------------------

FILL = {
    "sqlite": [
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :users) "
        "INSERT INTO users (name, created_at) SELECT 'user' || i, '2026-01-01 00:00:00.000000' FROM n",
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :keys) "
        'INSERT INTO keys (key_id, "user", secret_hash, label, created_at, created_by) '
        "SELECT printf('%010x', i * 1099), 'user' || (i % :users), randomblob(32), '', "
        "'2026-01-01 00:00:00.000000', 'bench' FROM n",
    ],
    "postgresql": [
        "INSERT INTO users (name, created_at) SELECT 'user' || i, now() FROM generate_series(0, :users - 1) i",
        'INSERT INTO keys (key_id, "user", secret_hash, label, created_at, created_by) '
        "SELECT lpad(to_hex(i * 1099), 10, '0'), 'user' || (i % :users), sha256(i::text::bytea), '', now(), 'bench' "
        "FROM generate_series(0, :keys - 1) i",
    ],
}


async def fill(url: str) -> list[StreamKey]:
    """Put ``KEYS`` keys into a store's database, and return some with their secrets."""
    known = [
        StreamKey(f"{number * 1099:010x}", StreamKey.generate().secret)
        for number in random.sample(range(KEYS), PROBED_KEYS)
    ]
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        values = {"users": USERS, "keys": KEYS}
        for statement in FILL[engine.dialect.name]:
            await connection.execute(text(statement), {k: v for k, v in values.items() if f":{k}" in statement})
        await connection.execute(
            text("UPDATE keys SET secret_hash = :hash WHERE key_id = :key_id"),
            [{"hash": hash_secret(key.key_id, key.secret), "key_id": key.key_id} for key in known],
        )
        await connection.execute(text("ANALYZE"))
    await engine.dispose()
    return known


async def measure_verify(dialect: str, url: str) -> None:
    """``verify`` on one database."""
    store = KeyStore(url)
    await store.start()
    known = await fill(url)
    # Some hundred keys are shown thousands of times a second.
    verifier = KeyVerifier(store, SystemClock(), VerifierOptions(publishes_per_minute_max=1_000_000_000))
    await verifier.start()
    await verifier.hashes.close()

    # Drawn before the clock runs: drawing a key takes longer than refusing one.
    good_keys = itertools.cycle([key.reveal() for key in random.sample(known, len(known))])
    unknown_keys = itertools.cycle([StreamKey.generate().reveal() for _ in range(VERIFICATIONS)])
    addresses = itertools.cycle([f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(VERIFICATIONS * 6)])

    async def good() -> None:
        await verifier.verify(next(good_keys), "192.0.2.1")

    async def unknown() -> None:
        with contextlib.suppress(KeyRejectedError):
            await verifier.verify(next(unknown_keys), next(addresses))

    async def over_budget() -> None:
        with contextlib.suppress(KeyRejectedError):
            await verifier.verify(next(unknown_keys), "192.0.2.9")

    for _ in range(200):
        await over_budget()
    for what, verify in (("good key", good), ("unknown key", unknown), ("over budget, no look-up", over_budget)):
        await measure_calls(f"verify, {dialect}, {KEYS:,} keys, {what}", verify)
    await store.close()


async def measure_calls(title: str, call: Callable[[], Awaitable[None]]) -> None:
    """One kind of verification: its loop time, its latency, its rate."""
    for _ in range(VERIFICATIONS // 10):
        await call()
    latencies, loop_times = [], []
    for _ in range(VERIFICATIONS):
        began, cpu_began = time.perf_counter(), time.thread_time()
        await call()
        loop_times.append((time.thread_time() - cpu_began) * 1e3)
        latencies.append((time.perf_counter() - began) * 1e3)
    report("keys", f"{title}: loop time", loop_times, "ms", value=round(statistics.fmean(loop_times), 4))
    report("keys", f"{title}: latency", latencies, "ms")

    async def many(count: int) -> None:
        for _ in range(count):
            await call()

    rates = []
    for _ in range(3):
        began = time.perf_counter()
        await asyncio.gather(*(many(VERIFICATIONS // AT_ONCE) for _ in range(AT_ONCE)))
        rates.append(VERIFICATIONS // AT_ONCE * AT_ONCE / (time.perf_counter() - began))
    report("keys", f"{title}: rate, {AT_ONCE} at once", rates, "1/s")


# -- guess --------------------------------------------------------------------------------------


def delays_ms(part_times: Iterable[float]) -> list[float]:
    """Lateness of each part, against the earliest one on a clock of one part each half second."""
    offsets = [at - number * 0.5 for number, at in enumerate(part_times)]
    return [(offset - min(offsets)) * 1e3 for offset in offsets]


async def guess(server: LiveServer, stream_key: str, address: str) -> float:
    """One publish that is refused; milliseconds from the connection to the refusal."""
    began = time.perf_counter()
    _, publisher = await asyncio.get_running_loop().create_connection(
        lambda: Publisher(stream_key), "127.0.0.1", server.rtmp_port, local_addr=(address, 0)
    )
    assert not await asyncio.wait_for(publisher.answered, ANSWER_TIMEOUT_S)
    taken = time.perf_counter() - began
    publisher.close()
    return taken * 1e3


async def measure_guess(server: LiveServer) -> None:
    """``guess``."""
    load = Load(server)
    await load.publish("alice", await asyncio.to_thread(server.issue_key, "alice"))
    await asyncio.sleep(SETTLE_S)
    viewer = await load.watch("alice")
    pid = server.process.pid
    addresses = [f"127.0.{1 + number // 250}.{1 + number % 250}" for number in range(ADDRESSES)]
    known_id = key_id_of(await asyncio.to_thread(server.issue_key, "bob"))

    async def during(title: str, seconds: float, shown: Callable[[], tuple[str, str]] | None) -> None:
        """Watch the parts for a while, with publishes of ``shown`` key and address at the named rate."""
        viewer.part_times.clear()
        refusals, memory = [], [resident_bytes(pid)]
        tasks: set[asyncio.Task[float]] = set()
        used, began = cpu_seconds(pid), time.perf_counter()
        count = int(seconds * GUESSES_PER_MINUTE / 60) if shown else int(seconds)
        for number in range(count):
            if shown:
                task = asyncio.create_task(guess(server, *shown()))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                task.add_done_callback(lambda done: refusals.append(done.result()))
            await asyncio.sleep(max(began + (number + 1) * seconds / count - time.perf_counter(), 0))
            if number % (count // 10) == 0:
                memory.append(resident_bytes(pid))
        await asyncio.gather(*tasks)
        elapsed = time.perf_counter() - began
        report("keys", f"guess, {title}: delay of a part", delays_ms(viewer.part_times), "ms")
        report("keys", f"guess, {title}: server CPU", [100 * (cpu_seconds(pid) - used) / elapsed], "%")
        report(
            "keys",
            f"guess, {title}: memory grown",
            [(m - memory[1]) / 2**20 for m in memory[1:]],
            "MiB",
            value=round((memory[-1] - memory[1]) / 2**20, 4),
        )
        if refusals:
            report("keys", f"guess, {title}: connect to refusal", refusals, "ms")

    turn = itertools.cycle(addresses)
    await during("nobody", ALONE_S, None)
    rate = f"{GUESSES_PER_MINUTE:,} a minute"
    await during(f"{rate}, {ADDRESSES:,} addresses", GUESSING_S, lambda: (StreamKey.generate().reveal(), next(turn)))
    # Once more: everything that the first minute filled is full now.
    await during(f"{rate}, again", GUESSING_S, lambda: (StreamKey.generate().reveal(), next(turn)))
    await during(
        f"{rate}, one key id",
        GUESSING_S,
        lambda: (StreamKey(known_id, StreamKey.generate().secret).reveal(), next(turn)),
    )
    await during(
        f"{rate}, ten addresses", GUESSING_S, lambda: (StreamKey.generate().reveal(), random.choice(addresses[:10]))
    )
    viewer.close()
    await load.close()


# -- all of it ----------------------------------------------------------------------------------


def with_server(measure: Callable[[LiveServer], Coroutine[None, None, None]]) -> None:
    """Measure a server on its core from the other."""
    with (
        tempfile.TemporaryDirectory() as directory,
        started_on(SERVER_CORE, run_server(Path(directory))) as server,
        on_core(LOAD_CORE),
    ):
        uvloop.run(measure(server))


def verify_on_each() -> None:
    """``verify`` on both databases."""
    with tempfile.TemporaryDirectory() as directory, on_core(SERVER_CORE):
        uvloop.run(measure_verify("sqlite", f"sqlite+aiosqlite:///{directory}/streamd.db"))
    with started_on(LOAD_CORE, run_postgresql()) as database, on_core(SERVER_CORE):
        uvloop.run(measure_verify("postgresql", database.url))


CASES: dict[str, Callable[[], None]] = {
    "revoke": lambda: with_server(measure_revoke),
    "verify": verify_on_each,
    "guess": lambda: with_server(measure_guess),
}


def main() -> None:
    """Measure the cases that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[*CASES], help="without: all")
    for case in parser.parse_args().cases or CASES:
        CASES[case]()


if __name__ == "__main__":
    main()
