"""NATS: the buckets of the directory in JetStream's key-value store, and the messages of the bus.

Its client connects again by itself. What it cannot promise is looked at here: a watch that has come over a restart of
the server may be silent, so watches are made anew, and less and less often while that does not help.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.api import KeyValueConfig

from streamd.errors import ClusterUnavailableError, ConflictError
from streamd.services.cluster.entries import ENTRY_BYTES_MAX
from streamd.services.cluster.key_value import Kept

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from nats.aio.msg import Msg
    from nats.js import JetStreamContext
    from nats.js.kv import KeyValue

log = logging.getLogger(__name__)

NODES_BUCKET = "streamd_nodes"
STREAMS_BUCKET = "streamd_streams"
# Watches that are made anew: as seldom as this in the end, seconds. A loop without a pause left 587 consumers behind.
WATCH_BACK_OFF_S = (1.0, 2.0, 5.0, 10.0, 30.0)
# The server forgets a watch of a node that is gone.
WATCH_FORGOTTEN_S = 60.0
# What a node of a dead process says of itself is kept for as many leases.
NODE_TTL_LEASES = 10
NODE_TTL_S_MIN = 60
# NATS' own default is 1 MB; an entry and its headers fit in a quarter of that of the smallest servers.
PAYLOAD_BYTES_MIN = 2 * ENTRY_BYTES_MAX
CONNECT_TIMEOUT_S = 2
RECONNECT_WAIT_S = 1
# Two pings without an answer: a server that hangs is left for the next.
PING_INTERVAL_S = 2
PINGS_UNANSWERED_MAX = 2
# Messages that are handled at once; one more waits in the client's own queue.
HANDLED_MAX = 256
# The client keeps what is sent while it is not connected: acts and renewals are of no use later.
PENDING_BYTES_MAX = 1024 * 1024


class NatsUnfitError(ClusterUnavailableError):
    """NATS is not as it has to be; the text says what the operator is to do."""


class NatsLink:
    """The connection to NATS.

    Args:
        urls: Of its servers.
        credentials_file: Of a user's credentials; empty for none.
        node: This node's name, for NATS' monitoring.
        lease_s: Calls wait for a third of it.
        on_deaf: Called when messages may have been missed.
    """

    def __init__(
        self, urls: list[str], credentials_file: str, node: str, lease_s: float, on_deaf: Callable[[], None]
    ) -> None:
        self._urls = urls
        self._credentials_file = credentials_file
        self._node = node
        self._lease_s = lease_s
        self._timeout_s = lease_s / 3
        self._on_deaf = on_deaf
        self._client = Client()
        self._js: JetStreamContext | None = None
        self._subscriptions: list[tuple[str, Callable[[str, bytes], Awaitable[None]]]] = []
        self._handling: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(HANDLED_MAX)
        self._is_closing = False
        self.nodes = NatsBucket(self, NODES_BUCKET, max(NODE_TTL_S_MIN, NODE_TTL_LEASES * lease_s))
        self.streams = NatsBucket(self, STREAMS_BUCKET, None)

    async def open(self) -> None:
        """Connect, and make the buckets where there are none.

        Raises:
            NatsUnfitError: The servers let nobody in, have no JetStream, or take too little.
            ClusterUnavailableError: None of them answers.
        """
        # A client that is to connect again for ever says nothing of why it cannot connect at first.
        await look_at(self._urls, self._credentials_file)
        options: dict[str, Any] = {"user_credentials": self._credentials_file} if self._credentials_file else {}
        try:
            await self._client.connect(
                servers=self._urls,
                name=f"streamd {self._node}",
                error_cb=self._note_error,
                disconnected_cb=self._note_disconnected,
                reconnected_cb=self._note_reconnected,
                connect_timeout=CONNECT_TIMEOUT_S,
                reconnect_time_wait=RECONNECT_WAIT_S,
                max_reconnect_attempts=-1,
                ping_interval=PING_INTERVAL_S,
                max_outstanding_pings=PINGS_UNANSWERED_MAX,
                pending_size=PENDING_BYTES_MAX,
                allow_reconnect=True,
                **options,
            )
        except Exception as exc:
            await self.close()
            raise _fault_of(exc) from exc
        self._js = self._client.jetstream(timeout=self._timeout_s)
        try:
            for bucket in (self.nodes, self.streams):
                await bucket.make(self._js, replicas=3 if len(self._urls) >= 3 else 1)
            for subject, on_message in self._subscriptions:
                await self._subscribe(subject, on_message)
        except Exception as exc:
            await self.close()
            raise _fault_of(exc) from exc

    async def close(self) -> None:
        """Close the connection."""
        self._is_closing = True
        for bucket in (self.nodes, self.streams):
            await bucket.close()
        with contextlib.suppress(Exception):
            await self._client.close()
        for task in self._handling:
            task.cancel()

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._client.is_connected

    # -- messages (``Wire``) ------------------------------------------------------------------------

    async def publish(self, subject: str, data: bytes) -> None:
        """Send a message to whoever listens."""
        if not self._client.is_connected:
            raise ClusterUnavailableError("NATS is not connected")
        try:
            await self._client.publish(subject, data)
        except (nats.errors.Error, OSError) as exc:
            raise ClusterUnavailableError(str(exc)) from exc

    def subscribe(self, subject: str, on_message: Callable[[str, bytes], Awaitable[None]]) -> None:
        """Be told of messages; before ``open``."""
        self._subscriptions.append((subject, on_message))

    async def _subscribe(self, subject: str, on_message: Callable[[str, bytes], Awaitable[None]]) -> None:
        async def handle(message: Msg) -> None:
            await self._room.acquire()
            task = asyncio.create_task(self._handle(on_message, message.subject, message.data))
            self._handling.add(task)
            task.add_done_callback(self._handling.discard)

        await self._client.subscribe(subject, cb=handle)

    async def _handle(self, on_message: Callable[[str, bytes], Awaitable[None]], subject: str, data: bytes) -> None:
        try:
            await on_message(subject, data)
        except Exception:
            log.exception("message.failed")
        finally:
            self._room.release()

    # -- what the client tells ----------------------------------------------------------------------

    async def _note_error(self, exc: Exception) -> None:
        log.debug("nats.error", extra={"reason": str(exc) or type(exc).__name__})

    async def _note_disconnected(self) -> None:
        if not self._is_closing:
            log.warning("nats.disconnected")
            self._on_deaf()

    async def _note_reconnected(self) -> None:
        log.info("nats.reconnected")
        self._on_deaf()
        for bucket in (self.nodes, self.streams):
            bucket.watch_anew()


class NatsBucket:
    """One bucket (``KeyValue``).

    Args:
        link: Whose it is.
        name: Of the bucket.
        ttl_s: Values that are older are forgotten, seconds; None for none.
    """

    def __init__(self, link: NatsLink, name: str, ttl_s: float | None) -> None:
        self._link = link
        self._name = name
        self._ttl_s = ttl_s
        self._kv: KeyValue | None = None
        self._on_change: Callable[[str, Kept | None], None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._is_stale = asyncio.Event()

    async def make(self, js: JetStreamContext, replicas: int) -> None:
        """Make the bucket, or find it as it is."""
        config = KeyValueConfig(bucket=self._name, ttl=self._ttl_s, history=1, replicas=replicas)
        try:
            self._kv = await js.key_value(self._name)
        except nats.js.errors.NotFoundError:
            self._kv = await js.create_key_value(config)

    async def get(self, key: str) -> Kept | None:
        """Read a value."""
        with _translated():
            try:
                entry = await self._bucket.get(key)
            except nats.js.errors.KeyNotFoundError:
                return None
            return Kept(entry.value or b"", entry.revision or 0)

    async def all(self) -> Mapping[str, Kept]:
        """Read all of them."""
        found: dict[str, Kept] = {}
        with _translated():
            watcher = await self._bucket.watchall(inactive_threshold=WATCH_FORGOTTEN_S)
            try:
                async with asyncio.timeout(READ_ALL_TIMEOUT_S):
                    async for entry in watcher:
                        if entry is None:
                            break
                        if entry.operation is None:
                            found[entry.key] = Kept(entry.value or b"", entry.revision or 0)
            finally:
                await _drop(watcher)
        return found

    async def create(self, key: str, value: bytes) -> int:
        """Write a value where there is none."""
        with _translated():
            return int(await self._bucket.create(key, value))

    async def update(self, key: str, value: bytes, last: int) -> int:
        """Write a value in place of one."""
        with _translated():
            return int(await self._bucket.update(key, value, last))

    async def delete(self, key: str, last: int) -> None:
        """Remove a value."""
        with _translated():
            await self._bucket.delete(key, last)

    def watch(self, on_change: Callable[[str, Kept | None], None]) -> None:
        """Be told of changes from now on."""
        self._on_change = on_change
        self._watching = asyncio.create_task(self._watch())

    def watch_anew(self) -> None:
        """Make the watch anew: the server that it was made at may have been started again."""
        self._is_stale.set()

    async def close(self) -> None:
        """Watch no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    @property
    def _bucket(self) -> KeyValue:
        if self._kv is None:
            raise ClusterUnavailableError("NATS is not connected yet")
        return self._kv

    async def _watch(self) -> None:
        failures = 0
        while True:
            self._is_stale.clear()
            try:
                await self._watch_once()
                failures = 0
            except (ClusterUnavailableError, nats.errors.Error, TimeoutError, OSError) as exc:
                log.info("watch.failed", extra={"bucket": self._name, "reason": str(exc) or type(exc).__name__})
                pause_s = WATCH_BACK_OFF_S[min(failures, len(WATCH_BACK_OFF_S) - 1)]
                failures += 1
                await asyncio.sleep(pause_s)

    async def _watch_once(self) -> None:
        """Watch until the watch is stale."""
        watcher = await self._bucket.watchall(inactive_threshold=WATCH_FORGOTTEN_S)
        stale = asyncio.ensure_future(self._is_stale.wait())
        reading = asyncio.ensure_future(self._read(watcher))
        try:
            await asyncio.wait({stale, reading}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
        finally:
            for task in (stale, reading):
                task.cancel()
            await asyncio.gather(stale, reading, return_exceptions=True)
            await _drop(watcher)

    async def _read(self, watcher: KeyValue.KeyWatcher) -> None:
        assert self._on_change is not None
        async for entry in watcher:
            if entry is None:
                continue
            is_gone = entry.operation is not None
            self._on_change(entry.key, None if is_gone else Kept(entry.value or b"", entry.revision or 0))


# A bucket of 50,000 channels is 25 MB.
READ_ALL_TIMEOUT_S = 10.0


async def _drop(watcher: KeyValue.KeyWatcher) -> None:
    """End a watch, at the server too, which keeps it for a minute otherwise."""
    subscription: Any = watcher._sub
    with contextlib.suppress(Exception):
        await watcher.stop()  # type: ignore[no-untyped-call]
    with contextlib.suppress(Exception):
        await subscription._js.delete_consumer(subscription._stream, subscription._consumer)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Raise our errors for the client's."""
    try:
        yield
    except nats.js.errors.KeyWrongLastSequenceError as exc:
        raise ConflictError(str(exc)) from exc
    except nats.js.errors.BadRequestError as exc:
        if exc.err_code in (10071, 10164):
            raise ConflictError(str(exc)) from exc
        raise ClusterUnavailableError(str(exc)) from exc
    except (nats.errors.Error, TimeoutError, OSError) as exc:
        raise ClusterUnavailableError(str(exc) or type(exc).__name__) from exc


def _fault_of(exc: Exception) -> ClusterUnavailableError:
    """The words for an operator about why NATS cannot be used."""
    text = str(exc) or type(exc).__name__
    if isinstance(exc, nats.errors.AuthorizationError) or "Authorization" in text or "authorization" in text.lower():
        return NatsUnfitError(
            "NATS lets this node not in: nats_credentials_file, or user and password in nats_url, are wrong"
        )
    if isinstance(exc, nats.js.errors.ServiceUnavailableError | nats.errors.NoRespondersError):
        return NatsUnfitError(
            "NATS runs without JetStream: switch it on in its configuration (jetstream {}), or start it with -js"
        )
    if isinstance(exc, FileNotFoundError):
        return NatsUnfitError("nats_credentials_file: there is no such file")
    return ClusterUnavailableError(f"NATS does not answer: {text}")


async def look_at(urls: list[str], credentials_file: str) -> set[str]:
    """Look whether NATS can be used, for the doctor; nothing is made or changed there.

    Returns:
        The names of the nodes that stand in the directory.

    Raises:
        ClusterUnavailableError: It cannot; the text says why.
    """
    client = Client()
    options: dict[str, Any] = {"user_credentials": credentials_file} if credentials_file else {}
    try:
        await client.connect(
            urls,
            connect_timeout=CONNECT_TIMEOUT_S,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            error_cb=_ignore,
            **options,
        )
        if client.max_payload < PAYLOAD_BYTES_MIN:
            raise _too_small(client.max_payload)
        js = client.jetstream(timeout=CONNECT_TIMEOUT_S)
        await js.account_info()
        try:
            return set(await (await js.key_value(NODES_BUCKET)).keys())
        except (nats.js.errors.NotFoundError, nats.js.errors.NoKeysError):
            return set()
    except ClusterUnavailableError:
        raise
    except Exception as exc:
        raise _fault_of(exc) from exc
    finally:
        with contextlib.suppress(Exception):
            await client.close()


async def _ignore(_: Exception) -> None:
    """What is wrong is raised as well."""


def _too_small(payload_bytes: int) -> NatsUnfitError:
    return NatsUnfitError(
        f"NATS takes messages of {payload_bytes} bytes; set max_payload to {PAYLOAD_BYTES_MIN} or more"
    )


def parse_urls(text: str) -> list[str]:
    """The servers of ``nats_url``, comma separated.

    Raises:
        ValueError: One is none.
    """
    urls = [url.strip() for url in text.split(",")]
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("nats", "tls") or not parts.hostname:
            raise ValueError("write nats://host:port or tls://host:port, several separated by commas")
    return urls
