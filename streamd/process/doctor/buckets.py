"""The bucket for recordings: is it there, and may we write, read and delete in it?"""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from streamd.errors import StorageError
from streamd.process.doctor.check_result import CheckResult, failed, ok, warning
from streamd.process.options import storage_options
from streamd.services.storage.bucket import Bucket, BucketTimeouts
from streamd.services.storage.faults import StorageFault
from streamd.services.storage.place import Scheme

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamd.process.config import Config
    from streamd.services.storage.place import StorageOptions

# Nobody waits for a doctor as long as an upload may take.
TIMEOUTS = BucketTimeouts(connect_s=5.0, send_s=10.0, read_s=10.0, file_s=30.0, delete_s=20.0)
_CONTENT = b"written by streamd doctor, which deletes it again\n"

# The setting that is to blame, and what to do.
_ADVICE = {
    StorageFault.WRONG_SECRET: (
        "secret_access_key_file",
        "see that storage.access_key_id and the secret in this file belong together, and that this machine's clock is "
        "right",
    ),
    StorageFault.WRONG_BUCKET: ("url", "see that the bucket's name is right, and make the bucket"),
    StorageFault.MISSING: ("url", "see that the bucket's name and storage.endpoint are right"),
    StorageFault.WRONG_REGION: ("region", "write the region that the bucket was made in, and its endpoint"),
    StorageFault.FORBIDDEN: (
        "access_key_id",
        "let the key list, get, put and delete objects under the prefix: docs/recording.md has a policy",
    ),
    StorageFault.FULL: ("url", "make room in the bucket, or raise its quota"),
    StorageFault.UNREACHABLE: ("endpoint", "see that the service runs, and that this machine may reach it"),
    StorageFault.TIMEOUT: ("endpoint", "see that the service runs, and that this machine may reach it"),
    StorageFault.DAMAGED: ("endpoint", "see that it speaks S3's protocol, and what stands in front of it"),
}


def check_storage(config: Config) -> Iterator[CheckResult]:
    """Put an object, read it and delete it."""
    options = storage_options(config)
    if options is None:
        return
    if options.secret_access_key_file:
        yield from _check_file(Path(options.secret_access_key_file))
    host = urlsplit(options.endpoint).hostname or ""
    if options.endpoint.startswith("http:") and host not in ("localhost", "127.0.0.1", "::1"):
        yield warning(
            "storage.endpoint",
            f"recordings go to {host} in the clear",
            "write https://, unless the network between is yours alone",
        )
    if options.place.scheme is Scheme.FILE:
        yield _check_directory(Path(options.place.prefix))
        return
    try:
        asyncio.run(_try(options))
    except StorageError as exc:
        setting, advice = _ADVICE.get(StorageFault(exc.reason), ("url", "see the settings of [storage]"))
        yield failed(f"storage.{setting}", f"{options.place}: {exc}", advice)
    else:
        yield ok("storage.url", f"{options.place} takes, gives and deletes objects")


async def _try(options: StorageOptions) -> None:
    bucket = Bucket(options, TIMEOUTS)
    folder = f".streamd-doctor-{secrets.token_hex(4)}"
    try:
        await bucket.put(f"{folder}/object", _CONTENT)
        try:
            await bucket.read(f"{folder}/object", 0, len(_CONTENT))
        finally:
            await bucket.delete_under(folder)
    finally:
        bucket.close()


def _check_file(path: Path) -> Iterator[CheckResult]:
    check = "storage.secret_access_key_file"
    try:
        mode = path.stat().st_mode
    except OSError as exc:
        yield failed(check, f"{path}: {exc.strerror}", "let the user that streamd runs as read it")
        return
    if not os.access(path, os.R_OK):
        yield failed(check, f"{path} cannot be read", "let the user that streamd runs as read it")
    elif mode & (stat.S_IROTH | stat.S_IWOTH):
        yield warning(check, f"{path} can be read by every user of this machine", f"chmod 600 {path}")


def _check_directory(path: Path) -> CheckResult:
    nearest = next(each for each in (path, *path.parents) if each.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        return failed("storage.url", f"{nearest} cannot be written", "let the user that streamd runs as write there")
    return ok("storage.url", f"{path} can be written")
