"""The bucket: objects put, read, signed and deleted in it, each in bounded memory and time.

obstore speaks to S3, Google Cloud, Azure and directories; its network is Rust's, in threads of its own. It is imported
where a bucket is opened: a server without one need not have it.
"""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from streamd.errors import StorageError
from streamd.services.storage.faults import StorageFault, failure, failure_of
from streamd.services.storage.place import Scheme

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from obstore.store import ObjectStore

    from streamd.services.storage.place import StorageOptions

T = TypeVar("T")

# A file is sent a piece of this size at a time, two pieces of it at once. S3 takes 10,000 pieces of 5 MiB or more.
PART_BYTES = 8 * 1024 * 1024
PARTS_AT_ONCE = 2
# Threads that read files for the bucket: a disk that hangs holds these, and nobody else's.
THREADS = 2
# A directory, or a bucket, is listed so many objects at a time.
LIST_PAGE = 500
# The secret of an account is a line; a service account's JSON has 2.4 kB.
SECRET_BYTES_MAX = 64 * 1024
# A presigned address holds this long: media is asked for with every segment, so that minutes are enough.
SIGNED_S = 600

_MEDIA_TYPES = {
    "m4s": "video/mp4",
    "mp4": "video/mp4",
    "m3u8": "application/vnd.apple.mpegurl",
    "json": "application/json",
    "jpg": "image/jpeg",
    "vtt": "text/vtt",
}


@dataclass(frozen=True, slots=True)
class BucketTimeouts:
    """How long an answer may take, seconds."""

    connect_s: float = 5.0
    send_s: float = 180.0
    """One piece: eight under way at once then get 3 Mb/s, under which no recording is worth a bucket."""
    read_s: float = 10.0
    """One piece that is read, for which a viewer waits; or a name that is looked up or deleted."""
    file_s: float = 3600.0
    """All of one file: a service that takes a byte a second does not hold a place for ever."""
    delete_s: float = 120.0
    """All objects of a recording; the next look goes on with the rest."""


class Bucket:
    """A bucket.

    Args:
        options: Which, and who asks.
        timeouts: How long answers may take.
        store: An open store in its place, for tests.

    Every method that speaks to it raises StorageError.
    """

    def __init__(
        self,
        options: StorageOptions,
        timeouts: BucketTimeouts | None = None,
        store: ObjectStore | None = None,
    ) -> None:
        self.options = options
        self.timeouts = timeouts or BucketTimeouts()
        self._given = store
        self._sending: ObjectStore | None = store
        self._asking: ObjectStore | None = store
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="storage")

    def close(self) -> None:
        """Give its threads back."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def reopen(self) -> None:
        """Read the secret's file again with the next request: an operator may have changed it."""
        self._sending = self._asking = self._given

    # -- putting -----------------------------------------------------------------------------------

    async def put_file(self, path: str, file: Path) -> tuple[int, str]:
        """Put a file, and have the bucket say that it has it.

        Args:
            path: Under the prefix.
            file: The file, which nobody writes any more.

        Returns:
            Its size and its SHA-256, of the bytes that were sent.
        """
        name = self.options.place.name(path)
        store = await self._opened(is_sending=True)
        attributes = self._attributes(path)
        import obstore

        try:
            async with asyncio.timeout(self.timeouts.file_s):
                size_bytes = await self._in_thread(lambda: file.stat().st_size)
                if size_bytes <= PART_BYTES:
                    data = await self._in_thread(lambda: _read(file, PART_BYTES))
                    digest = (await self._in_thread(lambda: hashlib.sha256(data))).hexdigest()
                    size_bytes = len(data)
                    await obstore.put_async(store, name, data, use_multipart=False, attributes=attributes)
                else:
                    reading = _Reading(file)
                    await obstore.put_async(
                        store,
                        name,
                        iter(reading),
                        attributes=attributes,
                        chunk_size=PART_BYTES,
                        max_concurrency=PARTS_AT_ONCE,
                    )
                    if reading.fault is not None:
                        raise reading.fault
                    size_bytes, digest = reading.size_bytes, reading.sha256.hexdigest()
        except _FileError as exc:
            raise failure(StorageFault.LOCAL_FILE) from exc
        except Exception as exc:
            raise failure_of(exc) from exc
        # A service, or what stands in front of it, may answer 200 to what it has not kept.
        if await self.size_bytes(path) != size_bytes:
            raise failure(StorageFault.DAMAGED)
        return size_bytes, digest

    async def put(self, path: str, data: bytes) -> None:
        """Put a few bytes."""
        store = await self._opened(is_sending=True)
        import obstore

        try:
            async with asyncio.timeout(self.timeouts.read_s):
                await obstore.put_async(store, self.options.place.name(path), data, use_multipart=False)
        except Exception as exc:
            raise failure_of(exc) from exc

    # -- asking ------------------------------------------------------------------------------------

    async def size_bytes(self, path: str) -> int | None:
        """The size of an object; None where there is none."""
        store = await self._opened()
        import obstore

        try:
            async with asyncio.timeout(self.timeouts.read_s):
                return int((await obstore.head_async(store, self.options.place.name(path)))["size"])
        except Exception as exc:
            error = failure_of(exc)
            if error.reason == StorageFault.MISSING:
                return None
            raise error from exc

    async def read(self, path: str, start: int, stop: int) -> bytes:
        """Bytes of an object, which it must have.

        Args:
            path: Under the prefix.
            start: The first.
            stop: The one behind the last, larger than ``start``; the caller bounds how many these are.
        """
        store = await self._opened()
        import obstore

        try:
            async with asyncio.timeout(self.timeouts.read_s):
                data = await obstore.get_range_async(store, self.options.place.name(path), start=start, end=stop)
        except Exception as exc:
            raise failure_of(exc) from exc
        if len(data) != stop - start:
            raise failure(StorageFault.DAMAGED)
        return bytes(data)

    async def sha256(self, path: str, size_bytes: int, piece_bytes: int = PART_BYTES) -> str:
        """The SHA-256 of an object of a known size, read a piece at a time."""
        digest = hashlib.sha256()
        for start in range(0, size_bytes, piece_bytes):
            piece = await self.read(path, start, min(start + piece_bytes, size_bytes))
            await self._in_thread(partial(digest.update, piece))
        return digest.hexdigest()

    async def paths(self, under: str) -> AsyncIterator[str]:
        """The paths of all objects under a folder, a page in memory at a time.

        Args:
            under: Under the prefix, without a slash at its end; empty for all that is there.
        """
        store = await self._opened()
        import obstore

        place = self.options.place
        inside = f"{place.name(under)}/" if under else place.name("")
        try:
            pages = obstore.list(store, prefix=inside or None, chunk_size=LIST_PAGE)
            while True:
                async with asyncio.timeout(self.timeouts.read_s):
                    page = await anext(pages, None)
                if page is None:
                    return
                for found in page:
                    # Other objects that a service lists are not ours.
                    if found["path"].startswith(inside):
                        rest = found["path"][len(inside) :]
                        yield f"{under}/{rest}" if under else rest
        except Exception as exc:
            raise failure_of(exc) from exc

    async def delete_under(self, folder: str) -> None:
        """Delete all objects of a folder, and nothing beside it.

        Args:
            folder: Under the prefix, without a slash at its end: that of one recording.
        """
        if not folder or folder.strip("/") != folder:
            # Nothing but a recording's folder is ever ours to empty.
            raise failure(StorageFault.OTHER, "this is no folder of a recording")
        store = await self._opened()
        import obstore

        try:
            async with asyncio.timeout(self.timeouts.delete_s):
                names: list[str] = []
                async for path in self.paths(folder):
                    names.append(self.options.place.name(path))
                    if len(names) == LIST_PAGE:
                        await obstore.delete_async(store, names)
                        names.clear()
                if names:
                    await obstore.delete_async(store, names)
        except Exception as exc:
            error = failure_of(exc)
            if error.reason != StorageFault.MISSING:
                raise error from exc

    async def signed_url(self, path: str) -> str:
        """An address that lets everyone who has it read an object for ``SIGNED_S`` seconds."""
        # The configuration refuses this for a directory, which signs nothing.
        store: Any = await self._opened()
        import obstore

        try:
            signed: str = await obstore.sign_async(
                store, "GET", self.options.place.name(path), expires_in=timedelta(seconds=SIGNED_S)
            )
        except Exception as exc:
            raise failure_of(exc) from exc
        return signed

    # -- inside ------------------------------------------------------------------------------------

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as exc:
            raise _FileError from exc

    def _attributes(self, path: str) -> Any:
        if self._given is not None or self.options.place.scheme is Scheme.FILE:
            return None
        attributes = {"Content-Type": _MEDIA_TYPES.get(path.rpartition(".")[2], "application/octet-stream")}
        if self.options.storage_class:
            attributes["Storage-Class"] = self.options.storage_class
        return attributes

    async def _opened(self, *, is_sending: bool = False) -> ObjectStore:
        store = self._sending if is_sending else self._asking
        if store is not None:
            return store
        seconds = self.timeouts.send_s if is_sending else self.timeouts.read_s
        try:
            store = await self._in_thread(lambda: open_store(self.options, self.timeouts.connect_s, seconds))
        except _FileError as exc:
            raise failure(StorageFault.WRONG_SECRET, "storage.secret_access_key_file cannot be read") from exc
        except ImportError as exc:
            raise failure(StorageFault.OTHER, "obstore is not installed: pip install 'streamd[storage]'") from exc
        except StorageError:
            raise
        except Exception as exc:
            raise failure(StorageFault.OTHER, "the bucket's settings do not go together") from exc
        if is_sending:
            self._sending = store
        else:
            self._asking = store
        return store


class _FileError(Exception):
    """A file on this machine cannot be read."""


class _Reading:
    """Reads a file a piece at a time, and hashes what it gives away; obstore asks for pieces from threads of its own.

    Args:
        file: The file.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.size_bytes = 0
        self.sha256 = hashlib.sha256()
        self.fault: _FileError | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            with self._file.open("rb", buffering=0) as opened:
                while piece := opened.read(PART_BYTES):
                    self.sha256.update(piece)
                    self.size_bytes += len(piece)
                    yield piece
        except OSError as exc:
            self.fault = _FileError()
            raise self.fault from exc


def open_store(options: StorageOptions, connect_s: float, request_s: float) -> ObjectStore:
    """Open the store of a place; nothing is sent.

    Args:
        options: Which, and who asks.
        connect_s: How long a connection may take to be made.
        request_s: How long a request may take.

    Raises:
        OSError: The file of the secret cannot be read.
        ImportError: obstore is not installed.
        Exception: obstore does not take the settings.
    """
    from obstore import store as stores

    place = options.place
    if place.scheme is Scheme.FILE:
        return stores.LocalStore(place.prefix, mkdir=True)
    client: Any = {
        "connect_timeout": timedelta(seconds=connect_s),
        "timeout": timedelta(seconds=request_s),
        # Its loopback and its own network are the operator's to trust; the word http is theirs.
        "allow_http": options.endpoint.startswith("http://"),
    }
    # A moment's fault is tried again at once; what lasts longer is told, and waits for ``uploads.Uploads``.
    retry: Any = {
        "max_retries": 2,
        "retry_timeout": timedelta(seconds=request_s),
        "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=2), "base": 2},
    }
    secret = _secret(options)
    if place.scheme is Scheme.GCS:
        google: dict[str, Any] = {"service_account": options.secret_access_key_file} if secret else {}
        if options.endpoint:
            google["base_url"] = options.endpoint
        return stores.GCSStore(place.bucket, client_options=client, retry_config=retry, **google)
    if place.scheme is Scheme.AZURE:
        azure: Any = {"account_name": options.access_key_id, "account_key": secret, "endpoint": options.endpoint}
        azure = {key: value for key, value in azure.items() if value}
        return stores.AzureStore(container_name=place.bucket, client_options=client, retry_config=retry, **azure)
    amazon: Any = {
        "endpoint": options.endpoint,
        "region": options.region,
        "access_key_id": options.access_key_id,
        "secret_access_key": secret,
    }
    amazon = {key: value for key, value in amazon.items() if value}
    return stores.S3Store(
        place.bucket,
        client_options=client,
        retry_config=retry,
        virtual_hosted_style_request=not options.path_style,
        # Of what speaks S3's protocol, not everything knows how to delete many objects at once.
        disable_bulk_delete=bool(options.endpoint),
        **amazon,
    )


def _secret(options: StorageOptions) -> str:
    if not options.secret_access_key_file:
        return ""
    with open(options.secret_access_key_file, "rb") as file:
        return file.read(SECRET_BYTES_MAX).decode(errors="replace").strip()


def _read(file: Path, bytes_max: int) -> bytes:
    with file.open("rb") as opened:
        return opened.read(bytes_max)
