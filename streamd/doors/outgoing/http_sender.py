"""Requests over aiohttp, to checked addresses alone.

A name is looked up here, every address of it is checked, and the connection goes to those very addresses: a name that
answers differently the second time (DNS rebinding) gains nothing. Redirects are not followed, cookies not kept,
proxies of the environment not used, and bodies of answers read only as far as the caller wants.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from streamd.errors import ReceiverUnreachableError
from streamd.services.events.sender import ReceiverAnswer

if TYPE_CHECKING:
    from streamd.doors.outgoing.address_guard import AddressGuard

# A look-up blocks its thread for as long as the resolver likes. Threads of its own, because in the loop's they would
# keep streams from being opened.
LOOKUPS_AT_ONCE_MAX = 4
CONNECTIONS_MAX = 100


class AddressForbiddenError(OSError):
    """A name leads to an address that may not be reached."""


class _CheckedResolver(AbstractResolver):
    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        self._threads = ThreadPoolExecutor(LOOKUPS_AT_ONCE_MAX, "lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        )
        results = []
        for address_family, _, protocol, _, sockaddr in found:
            address = str(sockaddr[0])
            check_address(self._guard, host, address)
            results.append(
                ResolveResult(
                    hostname=host,
                    host=address,
                    port=port,
                    family=address_family,
                    proto=protocol,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
            )
        return results

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def check_address(guard: AddressGuard, host: str, address: str, *, setting: str = "webhooks.allow_networks") -> None:
    """Check that a host's address may be reached.

    Args:
        guard: Judges it.
        host: As it was asked for.
        address: Of the host.
        setting: The key that allows networks beside the internet, for the message.

    Raises:
        AddressForbiddenError: It may not.
    """
    if not guard.allows(address):
        where = host if host == address else f"{host} is {address}, which"
        raise AddressForbiddenError(f"{where} is not on the internet, nor in {setting}")


class HttpSender:
    """Makes the requests; ``start`` and ``close`` it.

    Args:
        guard: Judges the addresses.
        user_agent: Our name in requests.
    """

    def __init__(self, guard: AddressGuard, user_agent: str) -> None:
        self._guard = guard
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Get ready, on the running loop."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_CheckedResolver(self._guard), use_dns_cache=False, limit=CONNECTIONS_MAX
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._user_agent, "Content-Type": "application/json"},
        )

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float, answer_bytes_max: int = 0
    ) -> ReceiverAnswer:
        """POST ``body`` (``Sender``)."""
        return await self._ask("POST", url, body, headers, timeout_s, answer_bytes_max)

    async def get(self, url: str, *, timeout_s: float, answer_bytes_max: int) -> ReceiverAnswer:
        """GET what is there (``Getter``)."""
        return await self._ask("GET", url, None, {"Accept": "application/json"}, timeout_s, answer_bytes_max)

    async def tell(self, method: str, url: str, *, timeout_s: float) -> ReceiverAnswer:
        """Make a request without a body (``services.moderation.purge.PurgeSender``)."""
        return await self._ask(method, url, None, {}, timeout_s, 0)

    async def _ask(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_s: float,
        answer_bytes_max: int,
    ) -> ReceiverAnswer:
        assert self._session is not None, "started"
        try:
            # A host that is an address is not looked up, and so not checked by the resolver.
            if (host := URL(url).host) is not None and _is_address(host):
                check_address(self._guard, host, host)
            timeout = aiohttp.ClientTimeout(total=timeout_s)
            async with self._session.request(
                method, url, data=body, headers=headers, allow_redirects=False, timeout=timeout
            ) as response:
                return ReceiverAnswer(
                    response.status,
                    _retry_after_s(response.headers.get("Retry-After", "")),
                    response.headers.get("Location", ""),
                    await _read(response, answer_bytes_max),
                )
        except TimeoutError as exc:
            raise ReceiverUnreachableError(f"no answer within {timeout_s:g} s") from exc
        except aiohttp.ClientConnectorError as exc:
            raise ReceiverUnreachableError(str(exc.os_error)) from exc
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise ReceiverUnreachableError(str(exc) or type(exc).__name__) from exc


async def _read(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """The body, or its beginning."""
    body = b""
    while len(body) < bytes_max and (more := await response.content.read(bytes_max - len(body))):
        body += more
    return body


def _is_address(host: str) -> bool:
    # The same test by which aiohttp decides whether to ask its resolver.
    return aiohttp.helpers.is_ip_address(host)


def _retry_after_s(text: str) -> float:
    """RFC 9110 section 10.2.3, seconds; a date is left to the back-off."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0
