"""A small S3 server on a real socket that answers what a test says: errors, redirects, and a yes that is none."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ERROR = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{}</Code><Message>As a test says.</Message></Error>'


class LyingS3:
    """Answers every request alike; a context manager.

    Attributes:
        status: Of its answers.
        code: Error code in their body; empty for an empty body.
        headers: Of its answers.
        byte_s: Seconds between two bytes of a body.
        requests: The methods and paths that it was asked, in order.
    """

    def __init__(self, status: int = 200, code: str = "", headers: dict[str, str] | None = None) -> None:
        self.status = status
        self.code = code
        self.headers = headers or {}
        self.byte_s = 0.0
        self.requests: list[str] = []
        self.is_over = threading.Event()
        lying = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                lying.requests.append(f"{self.command} {self.path}")
                length = int(self.headers.get("Content-Length", 0))
                while length > 0 and (taken := self.rfile.read(min(length, 65_536))):
                    length -= len(taken)
                body = ERROR.format(lying.code).encode() if lying.code else b""
                self.send_response(lying.status)
                for name, value in lying.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "HEAD":
                    return
                if not lying.byte_s:
                    self.wfile.write(body)
                    return
                for byte in body:
                    if lying.is_over.wait(lying.byte_s):
                        return
                    self.wfile.write(bytes([byte]))

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

            def handle(self) -> None:
                try:
                    super().handle()
                except ConnectionError:
                    # The client has left.
                    self.close_connection = True

        for method in ("GET", "PUT", "POST", "DELETE", "HEAD"):
            setattr(Handler, f"do_{method}", Handler.answer)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> LyingS3:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self._server.shutdown()
        self._server.server_close()
