"""One attack: a client that says what a row of the corpus says, and notes how the server answers.

Rows stand in ``attacks/*.toml``; README.md says what a step may be.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import re
import socket
import ssl
import struct
import tomllib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from streamd.formats.rtmp.message import MessageType
from tests.support import rtmp_wire
from tests.support.flv_media import h264_aac

FOLDER = Path(__file__).parent / "attacks"
# What is waited for at most: the longest time limit of the server, as the runner sets it, and a loaded machine.
ANSWER_TIMEOUT_S = 30.0
# Read at a time; one that does not read has this in the kernel, and asks to have little more.
READ_BYTES = 65_536
SMALL_BUFFER_BYTES = 4096
DRIP_INTERVAL_S = 0.005
PING = rtmp_wire.control(MessageType.USER_CONTROL, b"\x00\x06ping")
PONG = b"\x00\x07ping"

Step: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Attack:
    """A row of the corpus."""

    name: str
    port: str
    """``rtmp`` or ``http``."""
    steps: tuple[Step, ...]
    answer: str | list[int]
    """``closed``: the server hangs up. ``lives``: it does not, and answers what comes next. ``left``: the attack ended
    its connection itself. A status code of RTMP: it is told, and then closed. A list: HTTP's, in order."""
    connections: int = 1
    """How many do the same, at the same time."""
    limit: str = ""
    """Key of the limit that must have acted, at least once."""
    source: str = ""
    """Whose bug it was."""


def load_attacks() -> list[Attack]:
    """All rows, in the order of their files."""
    attacks = []
    for path in sorted(FOLDER.glob("*.toml")):
        table = tomllib.loads(path.read_text())
        for row in table["attack"]:
            steps = tuple(row.pop("steps"))
            attacks.append(Attack(port=table["port"], steps=steps, **row))
    assert len({attack.name for attack in attacks}) == len(attacks), "two attacks have the same name"
    return attacks


def prepare(attack: Attack) -> Attack:
    """Make the bytes of an attack, so that nobody waits for them in the middle of it."""
    steps = []
    for step in attack.steps:
        if step["do"] == "media":
            h264_aac(step.get("seconds", 1))
        if step["do"] in ("send", "drip"):
            how = {name: value for name, value in step.items() if name in ("do", "times", "size", "interval_s")}
            step = how | {"data": raw(**{name: value for name, value in step.items() if name not in how})}
        steps.append(step)
    return replace(attack, steps=tuple(steps))


@dataclass(frozen=True)
class Target:
    """The server that is attacked."""

    rtmp_port: int
    http_port: int
    issue_key: Callable[[str], str]
    """A good key for a user."""
    channel: str
    """One that is live, for attacks that ask for media."""


class Attacker:
    """One connection of an attack.

    Args:
        target: What is attacked.
        attack: The row.
        address: Loopback address to come from; each attack has its own, so that limits per address are not shared.
        user: Whose stream key is used, where one is.
    """

    def __init__(self, target: Target, attack: Attack, address: str, user: str) -> None:
        self._target = target
        self._attack = attack
        self._address = address
        self._user = user
        self._socket = socket.socket()
        self._reader: asyncio.Task[None] | None = None
        self._has_more = asyncio.Event()
        self.received = b""
        self.is_closed = False
        """By the server."""
        self.has_left = False
        """By us."""

    async def run(self) -> str:
        """Say it all.

        Returns:
            How the server answered, in the words of ``Attack.answer``; HTTP's statuses as text.
        """
        try:
            await self._connect()
            for step in self._attack.steps:
                await self._do(step)
            return await self._answer()
        finally:
            if self._reader is not None:
                self._reader.cancel()
                await asyncio.gather(self._reader, return_exceptions=True)
            self._socket.close()

    async def _answer(self) -> str:
        if self.has_left:
            return "left"
        wanted = self._attack.answer
        if isinstance(wanted, list):
            await self._wait_until(lambda: len(self._statuses()) >= len(wanted) or self.is_closed)
            return str(self._statuses())
        if wanted == "lives":
            if self._attack.port == "rtmp":
                await self._send(PING)
                await self._wait_until(lambda: PONG in self.received or self.is_closed)
            return "closed" if self.is_closed else "lives"
        await self._wait_until(lambda: self.is_closed)
        if wanted == "closed" or wanted.encode() in self.received:
            return wanted
        return f"closed without {wanted}"

    def _statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", self.received)]

    # -- the socket -------------------------------------------------------------------------

    async def _connect(self) -> None:
        port = self._target.rtmp_port if self._attack.port == "rtmp" else self._target.http_port
        reads = not any(step["do"] == "deaf" for step in self._attack.steps)
        if not reads:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        self._socket.setblocking(False)
        self._socket.bind((self._address, 0))
        await asyncio.get_running_loop().sock_connect(self._socket, ("127.0.0.1", port))
        if reads:
            self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while data := await loop.sock_recv(self._socket, READ_BYTES):
                self.received += data
                self._has_more.set()
        self.is_closed = True
        self._has_more.set()

    async def _send(self, data: bytes) -> None:
        """Send as long as the server takes it; what it does about it is seen where it is read."""
        if not data or self.has_left:
            return
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await asyncio.get_running_loop().sock_sendall(self._socket, data)
        except OSError:
            self.is_closed = True

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while not condition():
                self._has_more.clear()
                if self._reader is None:
                    # Nothing is read: a reset shows in a write.
                    await asyncio.sleep(0.1)
                    await self._send(b"\0")
                    continue
                await self._has_more.wait()

    # -- steps ------------------------------------------------------------------------------

    async def _do(self, step: Step) -> None:
        """One step; every key of a step but ``do`` is an argument of its method."""
        arguments = {name: value for name, value in step.items() if name != "do"}
        method: Callable[..., Coroutine[Any, Any, None]] = getattr(self, f"do_{step['do']}")
        await method(**arguments)

    async def do_send(self, *, data: bytes, times: int = 1) -> None:
        for _ in range(times):
            if self.is_closed:
                return
            await self._send(self._with_names(data))

    async def do_drip(self, *, data: bytes, size: int = 1, interval_s: float = DRIP_INTERVAL_S) -> None:
        """Send a little at a time until it is said or the server has had enough."""
        for start in range(0, len(data), size):
            if self.is_closed:
                return
            await self._send(data[start : start + size])
            await asyncio.sleep(interval_s)

    async def do_handshake(self) -> None:
        await self._send(rtmp_wire.SIMPLE_HANDSHAKE)
        await self._wait_until(lambda: len(self.received) >= rtmp_wire.HANDSHAKE_BYTES or self.is_closed)

    async def do_login(self) -> None:
        await self.do_handshake()
        await self._send(LOGIN)

    async def do_publish(self, *, user: str = "") -> None:
        """Log in and go live, as a user of our own or as a user named."""
        key = await asyncio.to_thread(self._target.issue_key, user or self._user)
        await self.do_login()
        await self._publish(key)
        await self._wait_until(lambda: b"NetStream.Publish." in self.received or self.is_closed)

    async def do_publish_with(self, *, key: str, times: int = 1) -> None:
        """Ask to publish with this for a key, after a login."""
        await self.do_login()
        await self._publish(key * times)

    async def _publish(self, key: str) -> None:
        await self._send(rtmp_wire.command("publish", 3.0, None, key, "live", message_stream_id=1))

    async def do_media(self, *, seconds: int = 1, start_ms: int = 0, step_ms: int | None = None) -> None:
        """Good frames, all at once; ``step_ms`` apart instead of as they were encoded."""
        for index, tag in enumerate(h264_aac(seconds)):
            time_ms = start_ms + (tag.timestamp_ms if step_ms is None else index * step_ms)
            await self._send(rtmp_wire.message(tag.tag_type, bytes(tag.payload), time_ms=time_ms % 2**32))
            # Others of the attackers have their turn.
            await asyncio.sleep(0)

    async def do_wait(self, *, text: str = "", seconds: float = 0.0) -> None:
        """Wait for a text in what the server says, or for a time."""
        if text:
            await self._wait_until(lambda: text.encode() in self.received or self.is_closed)
        await asyncio.sleep(seconds)

    async def do_deaf(self) -> None:
        """Read nothing, from the start."""

    async def do_finish(self) -> None:
        """FIN, and read on."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    async def do_leave(self) -> None:
        """FIN, and gone."""
        self._stop_reading()
        self._socket.close()

    async def do_reset(self) -> None:
        """RST."""
        self._stop_reading()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _stop_reading(self) -> None:
        self.has_left = True
        if self._reader is not None:
            self._reader.cancel()

    def _with_names(self, data: bytes) -> bytes:
        """Put the channel that is live where a row says CHANNEL."""
        return data.replace(b"CHANNEL", self._target.channel.encode())


# -- bytes --------------------------------------------------------------------------------------


def raw(
    *,
    kind: str = "",
    hex: str = "",  # as rows have it
    text: str = "",
    zeros: int = 0,
    noise: int = 0,
    repeat: int = 1,
    then: str = "",
    **arguments: Any,
) -> bytes:
    """The bytes of a step: one of these, so many times over, and perhaps something after it."""
    if kind:
        if zeros:
            arguments["zeros"] = zeros
        return _KINDS[kind](**arguments) * repeat + then.encode("latin-1")
    once = bytes.fromhex(hex) + text.encode("latin-1") + bytes(zeros) + random.Random(noise).randbytes(noise)
    return once * repeat + then.encode("latin-1")


def login() -> bytes:
    connect = rtmp_wire.command("connect", 1.0, {"app": "live", "tcUrl": "rtmp://host/live", "flashVer": "FMLE/3.0"})
    return connect + rtmp_wire.command("createStream", 2.0, None)


def payload(*, head: str = "", body: str = "", copies: int = 1, tail: str = "", zeros: int = 0) -> bytes:
    """How it begins, a body in hex, repeated, what fills it up, and its end."""
    return bytes.fromhex(head) + bytes.fromhex(body) * copies + bytes(zeros) + bytes.fromhex(tail)


def message(*, type_id: int, time_ms: int = 0, stream_id: int = 1, **body: Any) -> bytes:
    return rtmp_wire.message(type_id, payload(**body), time_ms=time_ms, message_stream_id=stream_id)


def chunk(*, fmt: int = 0, stream: int = 4, declares: int | None = None, **rest: Any) -> bytes:
    names = {"type_id", "time_ms", "extended", "id_bytes"}
    fields = {name: rest.pop(name) for name in names & rest.keys()}
    return rtmp_wire.chunk(fmt, stream, payload(**rest), length=declares, **fields)


def chunks(*, streams: int, first: int = 4, **rest: Any) -> bytes:
    """The same chunk on many chunk streams."""
    return b"".join(chunk(stream=number, **rest) for number in range(first, first + streams))


def command(*, name: str, values: list[Any] | None = None, stream_id: int = 0) -> bytes:
    """TOML has no null, which is what commands have for an object: ``"null"`` stands for it."""
    arguments = [None if value == "null" else value for value in values or []]
    return rtmp_wire.command(name, 7.0, *arguments, message_stream_id=stream_id)


def chunk_size(*, value: int) -> bytes:
    return rtmp_wire.control(MessageType.SET_CHUNK_SIZE, value.to_bytes(4, "big"))


def tls_hello() -> bytes:
    """The first flight of a TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


_KINDS: dict[str, Callable[..., bytes]] = {
    "handshake": lambda: rtmp_wire.SIMPLE_HANDSHAKE,
    "login": login,
    "message": message,
    "chunk": chunk,
    "chunks": chunks,
    "command": command,
    "chunk_size": chunk_size,
    "tls_hello": tls_hello,
}


LOGIN = login()


async def run_attack(target: Target, attack: Attack, number: int) -> list[str]:
    """Let all connections of an attack run at once.

    Returns:
        How each was answered, in short: one that failed says how.
    """

    async def one(index: int) -> str:
        # 127.0.0.1 is everybody else's.
        address = f"127.1.{number}.1"
        try:
            return await Attacker(target, attack, address, f"eve{number}-{index}").run()
        except TimeoutError:
            return f"no answer within {ANSWER_TIMEOUT_S:g} s"

    return await asyncio.gather(*(one(index) for index in range(attack.connections)))


def grouped(attacks: list[Attack], size: int) -> list[list[tuple[int, Attack]]]:
    """Attacks with their numbers, in groups that run together."""
    numbered = iter(enumerate(attacks, 1))
    return [group for _ in attacks if (group := list(itertools.islice(numbered, size)))]
