"""How much dearer is a locked channel than an open one, and are all its viewers dark when a revocation returns?

Method
------
``request``  In this process, without sockets: 500 connections of a media door, each with its own ticket, ask for the
             newest part of a signed channel, and 500 others for that of an open one; turn by turn, so that the
             machine's other work meets both. The least of 40 turns of each is quoted, and their difference. So for the
             playlist.
``token``    In this process: a token with six claims, from its text to a ticket, by kind of key. The least of 40 turns
             of 50; and of that, what the library takes for the signature.
``flood``    In this process: 100,000 wrong tokens, each with a signature of its own, of one address and of as many
             networks; CPU of each, and how much the process grew.
``llhls``    ``streamd serve`` on core 0 with one 2.5 Mb/s stream, low-latency viewers on core 1 by the generator that
             is named with ``--viewload`` (``bench/delivery.py`` says what it has to understand). The channel is open
             and signed in turn, in one server, with ten generators, each of which has a ticket where one is needed;
             CPU a viewer-second as in ``delivery.py``, and the median of the ratios of neighbours.
``revoke``   ``streamd serve``, and as many viewers as are named, each with a connection and a ticket of its own: half
             follow HTTP-FLV, half wait for a playlist (``tests/support/ticketed_crowd.py``). ``POST /playback/revoke
             {channel}``: reported are the time of the call, what the server wrote to viewers after it had answered, who
             followed on, and who waited and was told something else than 403.

Left out: TLS, fronts, networks. Compiled trees are measured by running this in one.

    python -m bench.locked [--viewload PATH] [request] [token] [flood] [llhls=200] [revoke=500]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import re
import resource
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jwt

from bench.delivery import BITRATE_KBPS, Bench, ramp_s, report_load
from bench.figures import report
from bench.machine import LOAD_CORE, SERVER_CORE, cpu_seconds, pin
from bench.probes import NAME, SETTLE_S, Publisher
from bench.publishing import make_clip
from streamd.clock import SystemClock
from streamd.doors.delivery.door import DoorOptions, MediaDoor
from streamd.doors.delivery.viewer_connection import ViewerConnection
from streamd.errors import PlaybackRefusedError
from streamd.services.metrics import Metrics
from streamd.services.playback.claims import Audience
from streamd.services.playback.countries import Countries
from streamd.services.playback.gate import PlaybackGate
from streamd.services.playback.gate_options import GateOptions
from streamd.services.playback.playback_key import generate
from streamd.services.playback.policy import Policy
from streamd.services.playback.verifying_key import Algorithm
from streamd.services.playback.visitor import Visitor
from tests.support.doors import StandInRegistry, StandInStream, channels_of
from tests.support.server import run_server
from tests.support.ticketed_crowd import TicketedCrowd

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.formats.flv.tag import FlvTag
    from tests.support.server import LiveServer
    from tests.support.ticketed_crowd import Darkness

TURNS = 40
VIEWERS = 500
TOKENS = 50
FLOOD = 100_000
TICKETS = 10
WINDOW_S = 6.0
ROUNDS = 4
AFTERMATH_S = 3.0


def main() -> None:
    """Measure the cases that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--viewload", type=Path, help="the load generator, compiled; see bench/delivery.py")
    parser.add_argument("cases", nargs="*", default=("request", "token", "revoke=500"), metavar="CASE[=VIEWERS]")
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for each in arguments.cases:
        case, _, number = each.partition("=")
        match case:
            case "request":
                measure_requests()
            case "flood":
                measure_flood()
            case "token":
                measure_tokens()
            case "llhls":
                if arguments.viewload is None:
                    parser.error("llhls needs --viewload")
                measure_llhls(arguments.viewload.resolve(), int(number or 200))
            case "revoke":
                measure_revocation(int(number or 500))
            case _:
                parser.error(f"no such case: {case}")


def new_gate(policy: Policy) -> PlaybackGate:
    """A gate with a secret of its own."""
    gate = PlaybackGate(SystemClock(), GateOptions(policy), Countries(None))
    gate.set_secret(bytes(range(32)))
    return gate


def least_us(turns: int, per_turn: int, *calls: Callable[[], object]) -> list[list[float]]:
    """Microseconds of each call by turn, turn by turn.

    Args:
        turns: How many turns each has.
        per_turn: What one call does so often.
        calls: What is measured.
    """
    found: list[list[float]] = [[] for _ in calls]
    gc.collect()
    gc.disable()
    try:
        for _ in range(turns):
            for call, times in zip(calls, found, strict=True):
                began = time.perf_counter()
                call()
                times.append((time.perf_counter() - began) / per_turn * 1e6)
    finally:
        gc.enable()
    return found


# -- a request ------------------------------------------------------------------------------------


class Nowhere(asyncio.Transport):
    """A transport that takes everything at once."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes_written = 0

    def get_extra_info(self, name: str, default: object = None) -> object:
        """One address for all."""
        return ("192.0.2.7", 1) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0

    def is_closing(self) -> bool:
        """Never."""
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Count bytes."""
        self.bytes_written += len(data)

    def writelines(self, list_of_data: Any) -> None:
        """Count bytes."""
        for data in list_of_data:
            self.bytes_written += len(data)


class Crowd:
    """Connections of one door, each of whose viewers asks for the same."""

    def __init__(self, *, is_locked: bool) -> None:
        clock = SystemClock()
        self.gate = gate = new_gate(Policy.SIGNED if is_locked else Policy.PUBLIC)
        registry = StandInRegistry({"demo": StandInStream(payload_bytes=100_000)})
        options = DoorOptions(viewer_connections_per_address_max=VIEWERS)
        self.door = MediaDoor(
            channels=channels_of(registry, gate),
            clock=clock,
            metrics=Metrics(),
            web_handler=cast("Any", lambda: None),
            options=options,
        )
        self.word = f"{gate.words.of('demo', StandInStream.live_since)}/" if is_locked else ""
        self.connections = []
        self.tickets = []
        self.transport = Nowhere()
        for _ in range(VIEWERS):
            connection = ViewerConnection(self.door)
            connection.connection_made(self.transport)
            self.connections.append(connection)
            ticket = ""
            if is_locked:
                rule = Visitor("192.0.2.7", user_agent="bench")
                key, secret = _HS256
                gate.keys.set_own({key.kid: (key, None)})
                now = int(clock.now().timestamp())
                token = jwt.encode({"sub": "demo", "exp": now + 3600}, secret, "HS256", headers={"kid": key.kid})
                ticket = f"~{gate.admit('demo', token, Audience.VIDEO, rule).text}/"
            self.tickets.append(ticket)

    def asking(self, path: str) -> Callable[[], None]:
        """Viewers that ask for a path once each."""
        requests = [
            f"GET /live/demo/{ticket}{path} HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\n\r\n".encode()
            for ticket in self.tickets
        ]

        def ask() -> None:
            for connection, request in zip(self.connections, requests, strict=True):
                connection.data_received(request)

        before = self.transport.bytes_written
        ask()
        assert self.transport.bytes_written > before + VIEWERS * 400, "they are answered with what they asked for"
        return ask


_HS256 = generate("bench", Algorithm.HS256)


def measure_requests() -> None:
    """Requests of viewers whose tickets are known, beside those of an open channel."""

    async def measure() -> None:
        is_open, locked = Crowd(is_locked=False), Crowd(is_locked=True)
        for kind, path in (("part", "part10013.m4s"), ("playlist", "")):
            target = f"main/{{word}}{path}" if path else "main.m3u8"
            asks = [each.asking(target.format(word=each.word)) for each in (is_open, locked)]
            plain, signed = least_us(TURNS, VIEWERS, *asks)
            report("locked", f"request.{kind}.public", [min(plain)], "us")
            report("locked", f"request.{kind}.signed", [min(signed)], "us")
            report("locked", f"request.{kind}.more", [min(signed) - min(plain)], "us")

    asyncio.run(measure())


# -- a token --------------------------------------------------------------------------------------


def measure_tokens() -> None:
    """From the text of a token to a ticket."""
    gate = new_gate(Policy.SIGNED)
    visitor = Visitor("192.0.2.7", user_agent="bench")
    now = int(SystemClock().now().timestamp())
    claims = {"sub": "demo", "exp": now + 3600, "iat": now, "jti": "order-17", "uid": "bob", "aud": ["v", "t"]}
    for algorithm in Algorithm:
        key, private = generate("bench", algorithm)
        gate.keys.set_own({key.kid: (key, None)})
        token = jwt.encode(claims, private, algorithm.value, headers={"kid": key.kid})
        body, _, signature = token.rpartition(".")
        library = jwt.get_algorithm_by_name(algorithm.value)
        raw = jwt.utils.base64url_decode(signature)

        def admit(token: str = token) -> None:
            for _ in range(TOKENS):
                gate.admit("demo", token, Audience.VIDEO, visitor)

        def verify(
            body: bytes = body.encode(), raw: bytes = raw, key: Any = key.material, library: Any = library
        ) -> None:
            for _ in range(TOKENS):
                assert library.verify(body, key, raw)

        whole, signatures = least_us(TURNS, TOKENS, admit, verify)
        report("locked", f"token.{algorithm}", [min(whole)], "us")
        report("locked", f"token.{algorithm}.signature", [min(signatures)], "us")


def measure_flood() -> None:
    """Wrong tokens, each another one."""
    now = int(SystemClock().now().timestamp())
    key, private = generate("bench", Algorithm.EDDSA)
    token = jwt.encode({"sub": "demo", "exp": now + 3600}, private, "EdDSA", headers={"kid": key.kid})
    body, _, signature = token.rpartition(".")
    for name, sources in (("one", 1), ("many", FLOOD)):
        gate = new_gate(Policy.SIGNED)
        gate.keys.set_own({key.kid: (key, None)})
        visitors = [Visitor(f"2001:db8:{n >> 8:x}:{n & 255:x}::1") for n in range(sources)]
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        for number in range(FLOOD):
            wrong = f"{body}.{number:08}{signature[8:]}"
            with contextlib.suppress(PlaybackRefusedError):
                gate.admit("demo", wrong, Audience.VIDEO, visitors[number % sources])
        cost = (time.process_time() - began) / FLOOD * 1e6
        report("locked", f"flood.{name}", [cost], "us", tokens=FLOOD)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        report("locked", f"flood.{name}.memory", [grown / 1024], "MiB", tokens=FLOOD)


# -- viewers of low latency -----------------------------------------------------------------------


def tickets_of(server: LiveServer, count: int, **claims: object) -> list[str]:
    """Tickets for the stream, each of a token of its own."""
    found = []
    for number in range(count):
        body = {"channel": NAME, "uid": f"viewer{number}", **claims}
        made = server.admin("POST", "/api/v1/playback-tokens", body)
        status, _, playlist = server.get(made["playlist"])
        assert status == 200, playlist
        match = re.search(rb"^(~[^/]+)/", playlist, re.MULTILINE)
        assert match is not None
        found.append(match[1].decode())
    return found


def lock(server: LiveServer, policy: str) -> None:
    """Decide who may watch the stream."""
    server.admin("PATCH", f"/api/v1/users/{NAME}", {"playback": policy})


def measure_llhls(viewload: Path, viewers: int) -> None:
    """Low-latency viewers of an open and a signed channel in turn."""
    os.sched_setaffinity(0, {LOAD_CORE})
    tags = make_clip(BITRATE_KBPS, "1280x720")
    with tempfile.TemporaryDirectory() as directory, run_server(Path(directory)) as server:
        pin(server.process.pid, SERVER_CORE)
        asyncio.run(_watch_in_turn(server, tags, viewload, viewers))


async def _watch_in_turn(server: LiveServer, tags: list[FlvTag], viewload: Path, viewers: int) -> None:
    publisher = Publisher(server.rtmp_port, server.issue_key(NAME), tags)
    async with publisher.running():
        bench = Bench(server, viewload, publisher)
        await bench.settle(20)
        costs: dict[str, list[float]] = {"public": [], "signed": []}
        for turn in range(ROUNDS):
            for policy in ("public", "signed") if turn % 2 == 0 else ("signed", "public"):
                lock(server, policy)
                # As many generators for both: each that sleeps is woken by the server, at the server's expense.
                tickets = tickets_of(server, TICKETS) if policy == "signed" else [""] * TICKETS
                paths = [f"/live/{NAME}/{ticket + '/' if ticket else ''}main.m3u8" for ticket in tickets]
                costs[policy].append(await _under_load(bench, paths, viewers, policy))
                await bench.settle(2)
        for policy, found in costs.items():
            report("locked", f"llhls.{policy}.cpu", found, "ms/viewer-second", viewers=viewers)
        ratios = [signed / public for public, signed in zip(costs["public"], costs["signed"], strict=True)]
        report("locked", "llhls.ratio", ratios, "signed/public", viewers=viewers)


async def _under_load(bench: Bench, paths: list[str], viewers: int, policy: str) -> float:
    """Milliseconds of CPU a second of watching."""
    server, count = bench.server, viewers // len(paths)
    command = [str(bench.viewload), "-q", "-H", "127.0.0.1", "-p", str(server.http_port), "-m", "llhls"]
    command += ["-V", str(count), "-r", f"{ramp_s(viewers):g}", "-d", f"{ramp_s(viewers) + SETTLE_S + WINDOW_S + 1:g}"]
    loads = [
        await asyncio.create_subprocess_exec(*command, "-P", path, stdout=asyncio.subprocess.PIPE) for path in paths
    ]
    await bench.settle(ramp_s(viewers) + SETTLE_S)
    pid = server.process.pid
    before, began = cpu_seconds(pid), time.monotonic()
    await bench.settle(WINDOW_S)
    cost = (cpu_seconds(pid) - before) * 1000 / (time.monotonic() - began) / (count * len(paths))
    lines = [json.loads((await load.communicate())[0].splitlines()[-1]) for load in loads]
    whole = lines[0] | {name: sum(line[name] for line in lines) for name in ("stalls", "errors", "skipped")}
    report_load(f"llhls.{policy}", viewers, [cost], whole)
    return cost


# -- a revocation ---------------------------------------------------------------------------------


def measure_revocation(viewers: int) -> None:
    """Withdraw a channel that as many watch, and see that all are dark when the call returns."""
    tags = make_clip(BITRATE_KBPS, "1280x720")
    options = {"limits__viewer_connections_per_address_max": viewers + 100}
    with tempfile.TemporaryDirectory() as directory, run_server(Path(directory), **options) as server:
        asyncio.run(_revoke(server, tags, viewers))


async def _revoke(server: LiveServer, tags: list[FlvTag], viewers: int) -> None:
    publisher = Publisher(server.rtmp_port, server.issue_key(NAME), tags)
    async with publisher.running():
        await asyncio.sleep(8)
        lock(server, "signed")
        seen = await asyncio.to_thread(_watch_and_revoke, server, viewers)
    found = {
        "call": (seen.act_s * 1000, "ms"),
        "ended": (seen.done["ended"], "viewings"),
        "late": (seen.late_bytes, "bytes after the call"),
        "followed_on": (seen.followed_on, "viewers after the call"),
        "unrefused": (seen.unrefused, "viewers after the call"),
    }
    for name, (value, unit) in found.items():
        report("locked", f"revoke.{name}", [float(value)], unit, viewers=viewers)


def _watch_and_revoke(server: LiveServer, viewers: int) -> Darkness:
    with TicketedCrowd(server, NAME).watching(tickets_of(server, viewers)) as crowd:
        return crowd.see(
            lambda: server.admin("POST", "/api/v1/playback/revoke", {"channel": NAME}), aftermath_s=AFTERMATH_S
        )


if __name__ == "__main__":
    main()
