"""Receivers of webhooks: a real one on the loopback interface, and one that answers by a script without a socket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from standardwebhooks.webhooks import Webhook

from streamd.services.events.sender import ReceiverAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER_SECRET = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()


@dataclass
class Request:
    """One that arrived."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    def verified(self, secret: str = SECRET) -> dict[str, Any]:
        """Its content, after the reference library's judgement."""
        content: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return content


@dataclass
class Receiver:
    """A real HTTP server, in a thread of its own."""

    port: int
    requests: list[Request] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """What it answers next, in turn; then 204."""
    headers: dict[str, str] = field(default_factory=dict)
    """Of every answer."""
    bodies: list[bytes] = field(default_factory=list)
    """Of the next answers, in turn; then empty ones."""
    silence: threading.Event = field(default_factory=threading.Event)
    """It answers while this is set."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def told(self, secret: str = SECRET) -> list[dict[str, Any]]:
        return [request.verified(secret) for request in self.requests]

    def types(self) -> list[str]:
        return [json.loads(request.body)["type"] for request in self.requests]


@contextlib.contextmanager
def run_receiver() -> Iterator[Receiver]:
    """Run a receiver until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.requests.append(Request(self.path, headers, body))
            receiver.silence.wait(30)
            self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            answer = receiver.bodies.pop(0) if receiver.bodies else b""
            self.send_header("Content-Length", str(len(answer)))
            with contextlib.suppress(BrokenPipeError):
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(server.server_address[1])
    receiver.silence.set()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.silence.set()
        server.shutdown()
        thread.join()
        server.server_close()


class ScriptedPoster:
    """Answers by a script: a status, an answer, or an error; then 204. ``hold`` keeps answers back."""

    def __init__(self, *script: int | ReceiverAnswer | Exception) -> None:
        self.script = [*script]
        self.requests: list[Request] = []
        self.timeouts: list[float] = []
        self.hold: asyncio.Event | None = None

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float, answer_bytes_max: int = 0
    ) -> ReceiverAnswer:
        self.requests.append(Request(url, dict(headers), body))
        self.timeouts.append(timeout_s)
        if self.hold is not None:
            await self.hold.wait()
        step = self.script.pop(0) if self.script else 204
        if isinstance(step, Exception):
            raise step
        return ReceiverAnswer(step) if isinstance(step, int) else step
