"""Objects put, read and deleted, in a directory and in memory."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import threading
from typing import TYPE_CHECKING

import obstore
import pytest
from obstore.store import AzureStore, GCSStore, LocalStore, MemoryStore, S3Store

from streamd.errors import StorageError
from streamd.services.storage.bucket import LIST_PAGE, PART_BYTES, Bucket, BucketTimeouts, open_store
from streamd.services.storage.faults import StorageFault
from streamd.services.storage.place import Place, StorageOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio

FOLDER = "alice/2026/03/01/rec_a"


@pytest.fixture(params=["directory", "memory"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bucket]:
    if request.param == "memory":
        bucket = Bucket(StorageOptions(Place.parse("s3://bucket/prefix")), store=MemoryStore())
    else:
        bucket = Bucket(StorageOptions(Place.parse(f"file://{tmp_path}/bucket")))
    yield bucket
    bucket.close()


@pytest.mark.parametrize("size_bytes", [0, 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES + 5])
async def test_a_file_is_put_and_read(bucket: Bucket, tmp_path: Path, size_bytes: int) -> None:
    file = tmp_path / "000000.m4s"
    data = bytes(range(251)) * (size_bytes // 251 + 1)
    file.write_bytes(data[:size_bytes])
    sha256 = hashlib.sha256(data[:size_bytes]).hexdigest()
    assert await bucket.put_file(f"{FOLDER}/000000.m4s", file) == (size_bytes, sha256)
    assert await bucket.size_bytes(f"{FOLDER}/000000.m4s") == size_bytes
    assert await bucket.sha256(f"{FOLDER}/000000.m4s", size_bytes) == sha256
    if size_bytes > 10:
        assert await bucket.read(f"{FOLDER}/000000.m4s", 3, 10) == data[3:10]


async def test_a_file_that_is_gone_is_no_fault_of_the_bucket(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        await bucket.put_file(f"{FOLDER}/000000.m4s", tmp_path / "missing")
    assert caught.value.reason == StorageFault.LOCAL_FILE
    assert await bucket.size_bytes(f"{FOLDER}/000000.m4s") is None


async def test_an_object_that_is_missing_or_short_is_told_of(bucket: Bucket) -> None:
    with pytest.raises(StorageError) as caught:
        await bucket.read("nothing", 0, 5)
    assert caught.value.reason == StorageFault.MISSING
    await bucket.put("short", b"123")
    with pytest.raises(StorageError) as caught:
        await bucket.read("short", 0, 5)
    assert caught.value.reason in (StorageFault.DAMAGED, StorageFault.OTHER)


async def test_the_objects_of_a_folder_go_and_no_others(bucket: Bucket) -> None:
    mine = [f"{FOLDER}/media/{number}" for number in range(LIST_PAGE + 3)]
    others = [f"{FOLDER}b/x", "alice/2026/03/01/y", "z"]
    for path in (*mine, *others):
        await bucket.put(path, b"x")
    assert [path async for path in bucket.paths(FOLDER)] == sorted(mine) or {
        path async for path in bucket.paths(FOLDER)
    } == set(mine)
    await bucket.delete_under(FOLDER)
    assert [path async for path in bucket.paths(FOLDER)] == []
    for path in others:
        assert await bucket.size_bytes(path) == 1
    # Nothing is left to delete.
    await bucket.delete_under(FOLDER)


async def test_no_folder_is_no_folder_to_delete(bucket: Bucket) -> None:
    for path in ("", "/", "alice/"):
        with pytest.raises(StorageError, match="no folder of a recording"):
            await bucket.delete_under(path)


async def test_a_service_that_keeps_less_than_it_says_is_not_believed(tmp_path: Path) -> None:
    class Liar(Bucket):
        async def size_bytes(self, path: str) -> int | None:
            kept = await super().size_bytes(path)
            return kept - 1 if kept else kept

    liar = Liar(StorageOptions(Place.parse("s3://bucket")), store=MemoryStore())
    file = tmp_path / "a"
    file.write_bytes(b"12345")
    with pytest.raises(StorageError) as caught:
        await liar.put_file("a", file)
    assert caught.value.reason == StorageFault.DAMAGED
    liar.close()


async def test_a_secret_that_cannot_be_read_is_told_of_and_read_again(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    options = StorageOptions(
        Place.parse("s3://bucket"),
        endpoint="http://127.0.0.1:9",
        access_key_id="id",
        secret_access_key_file=str(secret),
    )
    bucket = Bucket(options, BucketTimeouts(connect_s=1, read_s=5))
    with pytest.raises(StorageError, match="secret_access_key_file cannot be read") as caught:
        await bucket.read("a", 0, 1)
    assert caught.value.reason == StorageFault.WRONG_SECRET
    secret.write_text("a secret\n")
    with pytest.raises(StorageError) as caught:
        await bucket.read("a", 0, 1)
    assert caught.value.reason == StorageFault.UNREACHABLE
    bucket.close()


async def test_files_are_not_read_on_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamd.services.storage import bucket as module

    bucket = Bucket(StorageOptions(Place.parse("s3://bucket")), store=MemoryStore())
    monkeypatch.setattr(module, "PART_BYTES", 1024)
    seen: set[str] = set()
    original = module._Reading.__iter__

    def watched(reading: module._Reading) -> Iterator[bytes]:
        for piece in original(reading):
            seen.add(threading.current_thread().name)
            yield piece

    monkeypatch.setattr(module._Reading, "__iter__", watched)
    file = tmp_path / "a"
    file.write_bytes(bytes(10_000))
    async with asyncio.timeout(30):
        await bucket.put_file("a", file)
    assert bytes(obstore.get(bucket._given, "a").bytes()) == bytes(10_000)  # type: ignore[arg-type]
    assert seen
    assert threading.main_thread().name not in seen
    bucket.close()


async def test_each_service_is_opened_by_its_own_settings(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(base64.b64encode(bytes(64)).decode() + "\n")
    azure = StorageOptions(
        Place.parse("az://container/live"), access_key_id="account", secret_access_key_file=str(secret)
    )
    assert isinstance(open_store(azure, 1, 1), AzureStore)
    account = tmp_path / "account.json"
    # One that signs nothing: a key is not needed to read what is public.
    unsigned = {"gcs_base_url": "https://localhost:1", "disable_oauth": True}
    account.write_text(json.dumps(unsigned | {"client_email": "", "private_key": "", "private_key_id": ""}))
    google = StorageOptions(Place.parse("gs://bucket/live"), secret_access_key_file=str(account))
    assert isinstance(open_store(google, 1, 1), GCSStore)
    assert isinstance(open_store(StorageOptions(Place.parse("gs://bucket")), 1, 1), GCSStore)
    amazon = StorageOptions(Place.parse("s3://bucket/live"), region="eu-central-1", storage_class="STANDARD_IA")
    assert isinstance(open_store(amazon, 1, 1), S3Store)
    assert isinstance(open_store(StorageOptions(Place.parse(f"file://{tmp_path}/made")), 1, 1), LocalStore)
