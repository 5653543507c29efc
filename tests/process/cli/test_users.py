from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from streamd.process.cli import EXIT_NOT_FOUND
from streamd.process.config.sections import DATABASE_NAME
from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.records import RecordingFilter, RecordingRecord, RecordingState
from streamd.services.store.database import Database
from tests.support.cli import issue, run
from tests.support.live_streams import Streams, summary
from tests.support.recordings import STARTED_AT


class TestUsers:
    @pytest.mark.parametrize("has_server", [True, False])
    def test_they_are_listed_suspended_and_restored(
        self, data_dir: Path, has_server: bool, request: pytest.FixtureRequest
    ) -> None:
        streams = request.getfixturevalue("server") if has_server else None
        key = issue(data_dir)
        issue(data_dir, "bob")
        if streams is not None:
            streams.live["alice"] = summary("alice", key["id"])
        suspended = run("users", "suspend", "alice", "--reason", "abuse", data_dir=data_dir)
        assert (suspended.exit_code, "streamd users restore alice" in suspended.stdout) == (0, True)
        if streams is not None:
            assert streams.live == {}
            assert "Stream alice was closed." in suspended.stdout
        again = run("users", "suspend", "alice", "--reason", "spam", data_dir=data_dir)
        assert 'suspended before; the reason that was given then stays: "abuse".' in again.stdout
        listed = run("users", "list", data_dir=data_dir)
        assert re.search(r"alice +suspended .* abuse\s", listed.stdout)
        assert re.search(r"bob +active", listed.stdout)
        (user,) = json.loads(run("users", "list", "--state", "suspended", "--json", data_dir=data_dir).stdout)
        assert (user["name"], user["suspend_reason"]) == ("alice", "abuse")
        restored = json.loads(run("users", "restore", "alice", "--json", data_dir=data_dir).stdout)
        assert (restored["name"], restored["state"]) == ("alice", "active")

    @pytest.mark.parametrize("has_server", [True, False])
    def test_what_they_may_send_is_said_and_unsaid(
        self, data_dir: Path, has_server: bool, request: pytest.FixtureRequest
    ) -> None:
        if has_server:
            request.getfixturevalue("server")
        issue(data_dir)
        said = run("users", "limit", "alice", "--bitrate-kbps-max", "6000", data_dir=data_dir)
        assert said.stdout == "User alice may send 6000 kb/s and pictures of any size that everybody may.\n"
        assert re.search(r"alice +active +\S+ \S+ +6000\s", run("users", "list", data_dir=data_dir).stdout)
        arguments = ("--bitrate-kbps-max", "0", "--picture-pixels-max", "2088960", "--json")
        user = json.loads(run("users", "limit", "alice", *arguments, data_dir=data_dir).stdout)
        assert user["limits"] == {"bitrate_kbps_max": None, "picture_pixels_max": 2_088_960}

    def test_who_is_not_there_is_said(self, data_dir: Path) -> None:
        issue(data_dir)
        result = run("users", "suspend", "nobody", data_dir=data_dir)
        assert (result.exit_code, "no user is named nobody" in result.stderr) == (EXIT_NOT_FOUND, True)
        listed = run("users", "list", "--state", "suspended", data_dir=data_dir)
        assert (listed.exit_code, "There are no such users" in listed.stderr) == (0, True)

    def test_long_lists_are_fetched_whole(
        self, server: Streams, data_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("streamd.process.remote_keys.PAGE_LIMIT_MAX", 2)
        names = ["alice", "bob", "carol", "dave", "erin"]
        for name in names:
            issue(data_dir, name)
        assert [user["name"] for user in json.loads(run("users", "list", "--json", data_dir=data_dir).stdout)] == names


@pytest.mark.parametrize("has_server", [True, False])
def test_a_channel_is_unlisted_and_relisted(data_dir: Path, has_server: bool, request: pytest.FixtureRequest) -> None:
    if has_server:
        request.getfixturevalue("server")
    issue(data_dir)
    assert "in no list" in run("users", "unlist", "alice", data_dir=data_dir).stdout
    assert json.loads(run("users", "list", "--json", data_dir=data_dir).stdout)[0]["listed"] is False
    assert "is listed" in run("users", "relist", "alice", data_dir=data_dir).stdout
    without = {"STREAMD_HTTP__LIST": "false"}
    assert "this server has no list" in run("users", "relist", "alice", data_dir=data_dir, env=without).stdout
    assert run("users", "unlist", "nobody", data_dir=data_dir).exit_code == EXIT_NOT_FOUND


def test_without_a_server_their_recordings_are_gone_too(data_dir: Path) -> None:
    """Whoever gets the name is not the one whose recordings are found under it."""
    issue(data_dir)
    url = f"sqlite+aiosqlite:///{data_dir / DATABASE_NAME}"
    ids = [f"rec_01kjmg3m00{number:016d}" for number in range(3)]

    async def enter() -> None:
        database = Database(url)
        index = RecordingIndex(database)
        for recording_id, user, size_bytes in zip(ids, ("alice", "alice", "bob"), (1000, 0, 1000), strict=True):
            await index.save(
                RecordingRecord(
                    recording_id, user, RecordingState.READY, STARTED_AT, f"{user}/{recording_id}",
                    size_bytes=size_bytes, title="My own words",
                )
            )  # fmt: skip
        await database.close()

    async def found() -> tuple[list[str], list[str]]:
        database = Database(url)
        index = RecordingIndex(database)
        there = [record.id for record in (await index.page(RecordingFilter(), limit=10)).items]
        deleted = await index.find(ids[0])
        assert deleted is not None
        assert deleted.title == ""
        left = [record.id for record in await index.with_files_left(10)]
        await database.close()
        return there, left

    asyncio.run(enter())
    assert run("users", "delete", "alice", "--yes", "--reason", "asked for", data_dir=data_dir).exit_code == 0
    # The next server removes the files.
    assert asyncio.run(found()) == ([ids[2]], [ids[1], ids[0]])
    rows = json.loads(run("audit", "--json", data_dir=data_dir).stdout)["entries"]
    assert [(row["action"], row["reason"]) for row in rows if row["action"] == "recording.deleted"] == [
        ("recording.deleted", "asked for"),
        ("recording.deleted", "asked for"),
    ]


def test_a_user_is_deleted_with_all_keys(server: Streams, data_dir: Path) -> None:
    key = issue(data_dir)
    issue(data_dir)
    server.live["alice"] = summary("alice", key["id"])
    result = run("users", "delete", "alice", "--yes", data_dir=data_dir)
    assert result.stdout == "User alice is deleted, with 2 keys.\nStream alice was closed.\n"
    assert json.loads(run("users", "list", "--json", data_dir=data_dir).stdout) == []
    assert run("users", "delete", "alice", "--yes", data_dir=data_dir).exit_code == EXIT_NOT_FOUND
