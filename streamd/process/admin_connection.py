"""The admin API of the server on this machine, asked by a command.

A command is over in a moment, and most of that moment goes into loading what it is made of: so the standard library's
client asks, in a thread, where aiohttp takes a third of the time that a command has.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

from pydantic import ValidationError

from streamd.doors.web.models.common import ACCOUNT_FIELD, Problem
from streamd.errors import StreamdError
from streamd.process.account import TOKEN_VARIABLE
from streamd.process.redaction import escape_controls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

# A revocation of many streams is done well within a second; a server that says nothing for this long is stuck.
REQUEST_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 3.0
# A file is fetched in pieces of this size.
FETCHED_BYTES = 256 * 1024


class AdminUnreachableError(StreamdError):
    """The admin address does not answer; nothing was asked."""


class AdminApiError(StreamdError):
    """The admin API refused, or could not do it.

    Args:
        status: HTTP status.
        detail: Its words.
        errors: Each fault, where it lists them.
    """

    def __init__(self, status: int, detail: str, errors: list[str] | tuple[str, ...] = ()) -> None:
        super().__init__("; ".join((detail, *errors)))
        self.status = status
        self.errors = list(errors)


class Call(Protocol):
    """Asks the admin API, and returns the answer's body."""

    def __call__(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, query: Mapping[str, str] | None = None
    ) -> Awaitable[bytes]:
        """Ask."""


class AdminConnection:
    """Asks the admin API, each time over a connection of its own.

    Args:
        host: Where the admin API is bound; brackets around IPv6 do not matter.
        port: Its port.
        token: The admin token, or an operator's.
        account: Whose account the command runs as, beside the admin token; empty beside an operator's, who has a name.
    """

    def __init__(self, host: str, port: int, token: str, account: str = "") -> None:
        host = host.strip("[]")
        # Bound to all interfaces is reached by the loopback one.
        self._host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound
        self._port = port
        self._address = f"[{self._host}]:{port}" if ":" in self._host else f"{self._host}:{port}"
        # As bytes: the token of the environment and an account's name may have letters that are not ASCII's.
        self._fields = {"Authorization": f"Bearer {token}".encode()}
        if account:
            self._fields[ACCOUNT_FIELD] = escape_controls(account).encode()
        self._is_named = not account

    async def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, query: Mapping[str, str] | None = None
    ) -> bytes:
        """Ask, and wait for the whole answer.

        Args:
            method: Of HTTP.
            path: In the admin API.
            body: Sent as JSON.
            query: Sent in the URL.

        Returns:
            The answer's body.

        Raises:
            AdminUnreachableError: Nobody answers; nothing was asked.
            AdminApiError: The server refused, or what answers is not streamd.
        """
        answered = bytearray()
        await self._ask(method, path, body, query, answered.extend)
        return bytes(answered)

    async def send(self, path: str, data: bytes, media_type: str, *, query: Mapping[str, str] | None = None) -> bytes:
        """Post a file, and wait for the whole answer.

        Args:
            path: In the admin API.
            data: The file.
            media_type: What it is.
            query: Sent in the URL.

        Returns:
            The answer's body.

        Raises:
            AdminUnreachableError: Nobody answers; nothing was asked.
            AdminApiError: The server refused, or what answers is not streamd.
        """
        answered = bytearray()
        await self._ask("POST", path, data, query, answered.extend, media_type)
        return bytes(answered)

    async def fetch(self, path: str, write: Callable[[bytes], object]) -> None:
        """Get a file, a piece at a time, however long that takes.

        Args:
            path: In the admin API.
            write: Takes each piece; called in a thread.

        Raises:
            AdminUnreachableError: Nobody answers.
            AdminApiError: The server refused, or stopped before the file's end.
        """
        await self._ask("GET", path, None, None, write)

    async def _ask(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | bytes | None,
        query: Mapping[str, str] | None,
        write: Callable[[bytes], object],
        media_type: str = "application/json",
    ) -> None:
        connection = HTTPConnection(self._host, self._port, timeout=CONNECT_TIMEOUT_S)
        # Characters that are escaped in a path stay so.
        target = quote(path, safe="/%") + (f"?{urlencode(query)}" if query else "")
        opened: list[socket.socket] = []
        try:
            await asyncio.to_thread(self._exchange, connection, opened, method, target, body, write, media_type)
        finally:
            # Ctrl-C ends the wait, and so the thread's.
            for sock in opened:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def _exchange(
        self,
        connection: HTTPConnection,
        opened: list[socket.socket],
        method: str,
        target: str,
        body: dict[str, Any] | bytes | None,
        write: Callable[[bytes], object],
        media_type: str,
    ) -> None:
        with contextlib.closing(connection):
            try:
                connection.connect()
            except OSError as exc:
                raise AdminUnreachableError(f"nobody answers at the admin address {self._address}") from exc
            # A connection forgets its socket with an answer that is its last, and reads on.
            opened.append(connection.sock)
            connection.sock.settimeout(REQUEST_TIMEOUT_S)
            try:
                content = json.dumps(body).encode() if isinstance(body, dict) else body
                fields = self._fields | ({} if content is None else {"Content-Type": media_type.encode()})
                connection.request(method, target, content, fields)
                response = connection.getresponse()
                if not 200 <= response.status < 300:
                    raise self._refusal(response)
            except TimeoutError as exc:
                raise AdminApiError(504, f"no answer from {self._address} within {REQUEST_TIMEOUT_S:g} s") from exc
            except (HTTPException, OSError, ValueError) as exc:
                raise AdminApiError(502, f"what answers at {self._address} is not streamd's admin API") from exc
            while piece := self._read(response):
                write(piece)

    def _read(self, response: HTTPResponse) -> bytes:
        """The next piece of an answer; nothing at its end."""
        try:
            piece = response.read1(FETCHED_BYTES)
        except TimeoutError as exc:
            raise AdminApiError(504, f"no answer from {self._address} within {REQUEST_TIMEOUT_S:g} s") from exc
        except (HTTPException, OSError) as exc:
            raise AdminApiError(502, "the server stopped before the end of its answer") from exc
        if not piece and response.length:
            # Content-Length said more; ``read1`` does not.
            raise AdminApiError(502, "the server stopped before the end of its answer")
        return piece

    def _refusal(self, response: HTTPResponse) -> AdminApiError:
        try:
            problem = Problem.model_validate_json(response.read())
        except ValidationError:
            return AdminApiError(response.status, f"HTTP {response.status} {response.reason}")
        if response.status == 401 and self._is_named:
            return AdminApiError(
                401, f"the server does not accept the token in {TOKEN_VARIABLE}: it was revoked, or expired"
            )
        if response.status == 401:
            return AdminApiError(
                401,
                "the server does not accept this data directory's admin token; "
                "give the command the configuration and the environment of the server",
            )
        return AdminApiError(response.status, problem.detail, problem.errors)
