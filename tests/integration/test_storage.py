"""Recordings in a real S3 server: sent, served, deleted; over crashes of either, slow lines, and lies."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import shutil
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from streamd.errors import StorageError
from streamd.process.config import load_config
from streamd.process.doctor import Verdict
from streamd.process.doctor.buckets import check_storage
from streamd.services.recording.folder import RecordingFolder
from streamd.services.recording.verify import verify
from streamd.services.storage.bucket import PART_BYTES, Bucket, BucketTimeouts
from streamd.services.storage.faults import StorageFault
from streamd.services.storage.place import Place, StorageOptions
from tests.support.changing_broadcast import ChangingBroadcast
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.lying_s3 import LyingS3
from tests.support.patience import PATIENCE_S
from tests.support.seaweed import SECRET, SeaweedServer, SlowWay, get_unsigned, run_seaweed
from tests.support.server import run_server, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streamd.process.doctor import CheckResult
    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

MEDIA_S = 2
H264 = encoded((VideoTrack(keyframe_interval=60),), (AudioTrack(),), MEDIA_S)
NAME = "demo"
# The shortest files that there are.
RECORDED = {"recording__mode": "all", "recording__min_free_bytes": 0, "recording__file_s": 10}


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    with run_seaweed(tmp_path_factory.mktemp("s3") / "seaweed") as server:
        yield server


def recordings(server: LiveServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.admin("GET", "/api/v1/recordings")["recordings"]
    return found


def newest(server: LiveServer, state: str, at_least_s: float = 0) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = next(iter(recordings(server)), None)
        return found if found and found["state"] == state and found["duration_s"] >= at_least_s else None

    answer: dict[str, Any] = wait_until(look, PATIENCE_S, f"a recording that is {state}")
    return answer


def record(server: LiveServer, seconds: float = 3) -> dict[str, Any]:
    """Broadcast for so long; the recording when the broadcast is over."""
    key = server.issue_key(NAME)
    with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
        running = newest(server, "recording", seconds)
        server.admin("POST", f"/api/v1/streams/{NAME}/kick")
        server.wait_for_log("recording.ended", recording_id=running["id"])
    return running


def folder_of(server: LiveServer, recording: dict[str, Any]) -> RecordingFolder:
    return RecordingFolder(server.data_dir / "recordings" / recording["path"])


def media(folder: RecordingFolder) -> list[Path]:
    return sorted(folder.path.rglob("*.m4s"))


def assert_stored(seaweed: SeaweedServer, recording: dict[str, Any]) -> dict[str, Any]:
    """The bucket has what the document of the end says, byte for byte; that document."""
    prefix = f"live/{recording['path']}/"
    sizes = seaweed.sizes(prefix)
    document: dict[str, Any] = json.loads(seaweed.content(f"{prefix}events/recording-ended.json"))
    for file in document["files"]:
        data = seaweed.content(prefix + file["path"])
        assert hashlib.sha256(data).hexdigest() == file["sha256"], file["path"]
    named = {prefix + file["path"] for file in document["files"]}
    # Pictures may be there before the document that names them is sent anew.
    unnamed = {name for name in set(sizes) - named if "/thumbnails/" not in name}
    assert unnamed == {f"{prefix}events/recording-{which}.json" for which in ("started", "ended")}
    return document


def ranged(url: str, text: str) -> tuple[int, Any, bytes]:
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Range": text}), timeout=PATIENCE_S) as response:
        return response.status, response.headers, response.read()


def doctor(tmp_path: Path, settings: dict[str, object]) -> dict[str, CheckResult]:
    """What the doctor finds of the bucket, by the setting."""
    if secret := settings.pop("secret", None):
        (tmp_path / "storage-secret").write_text(str(secret))
    environ = {f"STREAMD_{name.upper()}": str(value) for name, value in settings.items()}
    config = load_config(None, environ=environ, data_dir=tmp_path / "data")
    return {found.check: found for found in check_storage(config)}


def test_a_recording_goes_to_the_bucket_and_is_served_from_there(tmp_path: Path, seaweed: SeaweedServer) -> None:
    for name in (*(f"live/stranger/{number}" for number in range(100)), "other/x"):
        seaweed.put(name)
    with run_server(tmp_path, **RECORDED, **seaweed.settings(tmp_path, storage__keep_local="always")) as server:
        before = record(server)
        done = newest(server, "ready", 3)
        assert done["id"] == before["id"]
        server.wait_for_log("recording.uploaded", recording_id=done["id"])
        folder = folder_of(server, done)
        assert_stored(seaweed, done)
        assert verify(folder) == []
        url = f"{server.http_url}/vod/{done['id']}"
        local_mp4 = server.get(f"/vod/{done['id']}.mp4")[2]
        playlist = server.get(f"/vod/{done['id']}/main.m3u8")[2]
        # The disk loses its media, and then all of it.
        for file in media(folder):
            file.unlink()
        for _ in range(2):
            assert server.get(f"/vod/{done['id']}.mp4")[2] == local_mp4
            status, headers, body = ranged(f"{url}.mp4", "bytes=1000-70000")
            assert (status, headers["Content-Range"]) == (206, f"bytes 1000-70000/{len(local_mp4)}")
            assert body == local_mp4[1000:70001]
            assert ranged(f"{url}.mp4", "bytes=-10")[2] == local_mp4[-10:]
            assert server.get(f"/vod/{done['id']}/main.m3u8")[2] == playlist
            assert b"main.m3u8" in server.get(f"/vod/{done['id']}/index.m3u8")[2]
            assert server.get(f"/vod/{done['id']}/main/init0.mp4")[0] == 200
            assert ranged(f"{url}/main/000000.m4s", "bytes=5-9")[0] == 206
            for path in ("main/000999.m4s", "main/..%2fplaylist.m3u8", "other/000000.m4s"):
                assert server.get(f"/vod/{done['id']}/{path}")[0] == 404, path
            shutil.rmtree(folder.path, ignore_errors=True)
        server.admin("DELETE", f"/api/v1/recordings/{done['id']}?reason=unwanted")
        assert seaweed.sizes(f"live/{done['path']}/") == {}
        assert len(seaweed.sizes("live/stranger/")) == 100
        assert "other/x" in seaweed.sizes("other/")
        assert server.get(f"/vod/{done['id']}.mp4")[0] == 410


@pytest.mark.parametrize("serve", ["redirect", "public"])
def test_viewers_are_sent_to_the_bucket(tmp_path: Path, seaweed: SeaweedServer, serve: str) -> None:
    address = "redirect" if serve == "redirect" else f"{seaweed.endpoint}/recordings/live"
    with run_server(tmp_path, **RECORDED, **seaweed.settings(tmp_path, storage__serve=address)) as server:
        record(server)
        done = newest(server, "ready")
        folder = folder_of(server, done)
        wait_until(lambda: not media(folder), PATIENCE_S, "media that went from the disk")

        class Stay(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_: Any) -> None:
                return None

        opener = urllib.request.build_opener(Stay)
        with pytest.raises(urllib.error.HTTPError) as caught:
            opener.open(f"{server.http_url}/vod/{done['id']}/main/000000.m4s", timeout=PATIENCE_S)
        with caught.value as answer:
            assert answer.code == 302
            location = answer.headers["Location"]
        assert location.startswith(f"{seaweed.endpoint}/recordings/live/{done['path']}/media/hls/main/000000.m4s")
        if serve == "redirect":
            assert SECRET not in location
            assert int(re.search(r"X-Amz-Expires=(\d+)", location)[1]) <= 3600  # type: ignore[index]
            status, _, body = get_unsigned(location)
            assert (status, body) == (200, seaweed.content(f"live/{done['path']}/media/hls/main/000000.m4s"))
        # All of it as one file has no address of its own.
        assert server.get(f"/vod/{done['id']}.mp4")[0] == 200


def test_a_bucket_that_hangs_holds_nobody(tmp_path: Path) -> None:
    with (
        run_seaweed(tmp_path / "seaweed") as seaweed,
        run_server(tmp_path, **RECORDED, **seaweed.settings(tmp_path)) as server,
    ):
        record(server)
        done = newest(server, "ready")
        wait_until(lambda: not media(folder_of(server, done)), PATIENCE_S, "media that went from the disk")
        key = server.issue_key("other")
        with seaweed.paused():
            status, headers, _ = server.get(f"/vod/{done['id']}.mp4")
            assert (status, headers["retry-after"]) == (503, "5")
            # Broadcasts begin, are recorded and are played meanwhile.
            with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
                server.wait_until_playable("other")
                running = newest(server, "recording", 3)
                assert server.get(running["playlist"])[0] == 200
            assert server.get(f"/vod/{done['id']}/main.m3u8")[0] == 200
        wait_until(lambda: server.get(f"/vod/{done['id']}.mp4")[0] == 200, PATIENCE_S, "the bucket's return")


def test_the_bucket_is_compared_with_what_was_written(tmp_path: Path, seaweed: SeaweedServer) -> None:
    with run_server(tmp_path, **RECORDED, **seaweed.settings(tmp_path)) as server:
        record(server)
        done = newest(server, "ready")
        folder = folder_of(server, done)
        wait_until(lambda: not media(folder), PATIENCE_S, "media that went from the disk")
        assert "its media is in the bucket" in server.command("recordings", "verify", done["id"])
        assert f"{done['id']}  whole" in server.command("recordings", "verify", "--bucket", done["id"])
        # A disk that was lost with its index: the bucket knows.
        shutil.rmtree(server.data_dir / "recordings")
        assert f"{done['id']}  whole" in server.command(
            "recordings", "verify", "--bucket", "--rebuild-index", done["id"]
        )
        name = f"live/{done['path']}/media/hls/main/000000.m4s"
        whole = seaweed.content(name)
        for damaged, fault in (
            (whole[:-1] + b"x", "has other bytes in the bucket"),
            (whole[:-1], "bytes in the bucket"),
        ):
            seaweed.put(name, damaged)
            with pytest.raises(AssertionError, match=fault):
                server.command("recordings", "verify", "--bucket", done["id"])


@pytest.mark.parametrize(
    ("change", "setting", "told"),
    [
        ({}, "storage.url", "takes, gives and deletes objects"),
        ({"storage__access_key_id": "AKIDNOBODY"}, "storage.secret_access_key_file", "does not take the access key"),
        ({"secret": "another-secret"}, "storage.secret_access_key_file", "does not take the access key"),
        ({"storage__endpoint": "http://127.0.0.1:9"}, "storage.endpoint", "cannot be reached"),
        ({"storage__endpoint": "http://bucket.invalid"}, "storage.endpoint", "cannot be reached"),
    ],
)
def test_the_doctor_names_what_is_wrong(
    tmp_path: Path, seaweed: SeaweedServer, change: dict[str, object], setting: str, told: str
) -> None:
    found = doctor(tmp_path, seaweed.settings(tmp_path) | change)
    assert told in found[setting].message
    assert (found[setting].verdict is Verdict.OK) is (not change)
    assert SECRET not in repr(found)
    assert not [name for name in seaweed.sizes("live/") if "doctor" in name]


@pytest.mark.parametrize(
    ("status", "code", "setting", "told"),
    [
        (404, "NoSuchBucket", "storage.url", "there is no such bucket"),
        (301, "PermanentRedirect", "storage.region", "another region"),
        (400, "AuthorizationHeaderMalformed", "storage.region", "another region"),
        (403, "AccessDenied", "storage.access_key_id", "may not do this"),
        (507, "", "storage.url", "is full"),
        (200, "", "storage.endpoint", "says yes"),
    ],
)
def test_the_doctor_understands_what_it_is_answered(
    tmp_path: Path, status: int, code: str, setting: str, told: str
) -> None:
    with LyingS3(status, code) as lying:
        seaweed = SeaweedServer(tmp_path, (0, 0, 0, 0))
        found = doctor(tmp_path, seaweed.settings(tmp_path, lying.endpoint))
    assert told in found[setting].message
    assert found[setting].verdict is Verdict.FAILED


def test_a_server_that_is_killed_is_followed_by_one_that_goes_on(tmp_path: Path, seaweed: SeaweedServer) -> None:
    with SlowWay(seaweed.port, 50_000) as slow:
        settings = seaweed.settings(tmp_path, slow.endpoint)
        with run_server(tmp_path, **RECORDED, **settings) as server:
            running = record(server, 12)
            uploading = newest(server, "uploading", 12)
            assert uploading["id"] == running["id"]
            prefix = f"live/{running['path']}/"
            wait_until(lambda: seaweed.sizes(prefix), PATIENCE_S, "the first object")
            server.kill()
        assert f"{prefix}events/recording-ended.json" not in seaweed.sizes(prefix)
        slow.bytes_per_second = 50_000_000
        with run_server(tmp_path, **RECORDED, **settings) as server:
            done = newest(server, "ready", 12)
            assert_stored(seaweed, done)
            wait_until(lambda: not media(folder_of(server, done)), PATIENCE_S, "media that went from the disk")
            assert server.get(f"/vod/{done['id']}.mp4")[0] == 200


def test_a_server_that_is_killed_while_it_records_goes_on_in_the_bucket(tmp_path: Path, seaweed: SeaweedServer) -> None:
    settings = seaweed.settings(tmp_path, storage__keep_local="always")
    with run_server(tmp_path, **RECORDED, **settings) as server:
        key = server.issue_key(NAME)
        with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
            running = newest(server, "recording", 12)
            prefix = f"live/{running['path']}/"
            first = f"{prefix}media/hls/main/000000.m4s"
            # The first file is closed, and follows the broadcast.
            wait_until(lambda: first in seaweed.sizes(prefix), PATIENCE_S, "the first media file")
            server.kill()
        listening = server.listening()
    with run_server(tmp_path, **RECORDED, **settings, **listening) as server:
        with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
            before_s = running["duration_s"]
            assert newest(server, "recording", before_s + 3)["id"] == running["id"]
            server.admin("POST", f"/api/v1/streams/{NAME}/kick")
        done = newest(server, "ready")
        assert done["id"] == running["id"]
        server.wait_for_log("recording.uploaded", recording_id=done["id"])
        document = assert_stored(seaweed, done)
        assert len([file for file in document["files"] if file["path"].endswith(".m4s")]) >= 2
        assert verify(folder_of(server, done)) == []


def test_a_bucket_that_is_killed_and_comes_back_loses_nothing(tmp_path: Path) -> None:
    with run_seaweed(tmp_path / "seaweed") as seaweed:
        settings = seaweed.settings(tmp_path, storage__keep_local="always")
        with run_server(tmp_path, **RECORDED, **settings) as server:
            key = server.issue_key(NAME)
            with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
                running = newest(server, "recording", 3)
                seaweed.kill()
                newest(server, "recording", 12)
                server.admin("POST", f"/api/v1/streams/{NAME}/kick")
                server.wait_for_log("recording.ended", recording_id=running["id"])
            failed = server.wait_for_log("storage.upload_failed", recording_id=running["id"])
            assert failed["reason"] == "unreachable"
            # What the disk has is served all the while.
            assert newest(server, "uploading")["id"] == running["id"]
            assert server.get(f"/vod/{running['id']}.mp4")[0] == 200
            metrics = server.admin_get("/metrics")
            assert re.search(r"^streamd_storage_backlog_bytes [1-9]", metrics, re.MULTILINE)
            assert re.search(r'^streamd_storage_failures_total\{reason="unreachable"\} [1-9]', metrics, re.MULTILINE)
            seaweed.start()
            done = newest(server, "ready")
            document = assert_stored(seaweed, done)
            assert document["recording_id"] == running["id"]
            assert re.search(r"^streamd_storage_backlog_bytes 0", server.admin_get("/metrics"), re.MULTILINE)


LIES = [
    (503, "SlowDown", {}, StorageFault.BUSY),
    (500, "InternalError", {}, StorageFault.BUSY),
    (507, "", {}, StorageFault.FULL),
    (307, "TemporaryRedirect", {"Location": "http://127.0.0.1:9/elsewhere"}, StorageFault.WRONG_REGION),
    (301, "PermanentRedirect", {}, StorageFault.WRONG_REGION),
    (400, "AuthorizationHeaderMalformed", {}, StorageFault.WRONG_REGION),
    (403, "SignatureDoesNotMatch", {}, StorageFault.WRONG_SECRET),
    (403, "AccessDenied", {}, StorageFault.FORBIDDEN),
    (404, "NoSuchBucket", {}, StorageFault.WRONG_BUCKET),
    # A yes that is none: the error stands in the body.
    (200, "InternalError", {}, StorageFault.DAMAGED),
    (200, "InternalError", {"ETag": '"0"'}, StorageFault.DAMAGED),
    (204, "", {"ETag": '"0"'}, StorageFault.DAMAGED),
]


@pytest.mark.asyncio
@pytest.mark.parametrize(("status", "code", "headers", "fault"), LIES)
async def test_what_the_service_says_is_understood(
    tmp_path: Path, status: int, code: str, headers: dict[str, str], fault: StorageFault
) -> None:
    small, large, secret = tmp_path / "small", tmp_path / "large", tmp_path / "secret"
    small.write_bytes(b"12345")
    large.write_bytes(bytes(PART_BYTES + 1))
    secret.write_text(SECRET)
    with LyingS3(status, code, headers) as lying:
        options = StorageOptions(
            Place.parse("s3://recordings/live"),
            endpoint=lying.endpoint,
            region="us-east-1",
            access_key_id="AKIDSTREAMDTEST",
            secret_access_key_file=str(secret),
        )
        bucket = Bucket(options, BucketTimeouts(send_s=10, read_s=10))
        with pytest.raises(StorageError) as caught:
            await bucket.put_file("a/small", small)
        assert caught.value.reason == fault
        for asked in (bucket.put_file("a/large", large), bucket.read("a/small", 0, 5)):
            with pytest.raises(StorageError) as caught:
                await asked
            # A redirect of what has no body is followed, and leads nowhere.
            assert caught.value.reason in (fault, StorageFault.UNREACHABLE)
        bucket.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "code", "fault"),
    [
        (403, "AuthenticationFailed", StorageFault.WRONG_SECRET),
        (404, "ContainerNotFound", StorageFault.WRONG_BUCKET),
        (503, "ServerBusy", StorageFault.BUSY),
        (200, "", StorageFault.DAMAGED),
    ],
)
async def test_what_azure_says_is_understood(tmp_path: Path, status: int, code: str, fault: StorageFault) -> None:
    small, secret = tmp_path / "small", tmp_path / "secret"
    small.write_bytes(b"12345")
    secret.write_text(base64.b64encode(bytes(64)).decode())
    with LyingS3(status, code) as lying:
        options = StorageOptions(
            Place.parse("az://recordings/live"),
            endpoint=lying.endpoint,
            access_key_id="account",
            secret_access_key_file=str(secret),
        )
        bucket = Bucket(options, BucketTimeouts(send_s=10, read_s=10))
        for asked in (bucket.put_file("a/small", small), bucket.read("a/small", 0, 5)):
            with pytest.raises(StorageError) as caught:
                await asked
            assert caught.value.reason == fault
        assert (await bucket.signed_url("a/small")).startswith(f"{lying.endpoint}/recordings/live/a/small?")
        assert "PUT /recordings/live/a/small" in lying.requests
        bucket.close()


@pytest.mark.asyncio
async def test_a_service_that_answers_a_byte_a_second_holds_nobody(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(b"12345")
    with LyingS3(503, "SlowDown") as lying:
        lying.byte_s = 1.0
        options = StorageOptions(Place.parse("s3://recordings"), endpoint=lying.endpoint, region="us-east-1")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", "AKIDSTREAMDTEST")
            patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
            bucket = Bucket(options, BucketTimeouts(send_s=1, read_s=1))
            for asked in (bucket.put_file("a", small), bucket.read("a", 0, 5), bucket.delete_under("a")):
                with pytest.raises(StorageError) as caught:
                    await asked
                assert caught.value.reason == StorageFault.TIMEOUT
        bucket.close()


def test_a_bucket_that_lies_costs_no_recording(tmp_path: Path) -> None:
    lies = [(200, "InternalError"), (507, "")]
    with contextlib.ExitStack() as stack:
        servers: list[tuple[LiveServer, str]] = []
        for number, (status, code) in enumerate(lies):
            folder = tmp_path / str(number)
            folder.mkdir()
            lying = stack.enter_context(LyingS3(status, code, {"ETag": '"0"'}))
            settings = SeaweedServer(folder, (0, 0, 0, 0)).settings(folder, lying.endpoint)
            server = stack.enter_context(run_server(folder, **RECORDED, **settings))
            servers.append((server, assert_recorded_all_the_same(server)))
        # A deletion is one here, and is tried again there: all of them within the same minute.
        for server, recording_id in servers:
            server.wait_for_log("storage.delete_failed", recording_id=recording_id)


def assert_recorded_all_the_same(server: LiveServer) -> str:
    """The disk has a recording that the bucket does not take, and loses it where it is deleted; its id."""
    running = record(server)
    recording_id: str = running["id"]
    server.wait_for_log("storage.upload_failed", recording_id=recording_id)
    assert newest(server, "uploading")["id"] == recording_id
    recorded = folder_of(server, running)
    assert media(recorded)
    assert verify(recorded) == []
    assert server.get(f"/vod/{recording_id}.mp4")[0] == 200
    assert SECRET not in server.log_text()
    assert not server.log_events("recording.uploaded")
    server.admin("DELETE", f"/api/v1/recordings/{recording_id}?reason=unwanted")
    assert not media(recorded)
    return recording_id
