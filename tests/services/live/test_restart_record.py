from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamd.media.packager.timing import PlaylistTiming
from streamd.services.live.channel_numbers import ChannelAhead
from streamd.services.live.restart_record import (
    SAVES_PER_SIGN_OF_LIFE,
    RestartRecord,
    RestartRecordFile,
    StreamRecord,
)

pytestmark = pytest.mark.asyncio

STREAM = StreamRecord(
    name="alice",
    key_id="abc",
    live_since=datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC),
    timing=PlaylistTiming(2, 500),
    variants=("main", "video1"),
    audio=("audio0",),
    discontinuity_sequence=3,
    timeline_from=datetime(2026, 1, 2, 3, 3, 55, 678_000, tzinfo=UTC),
)
RECORD = RestartRecord(
    (STREAM,), numbers_used_until_s=200_000_000, channels_ahead=(ChannelAhead("alice", 200_040_000),)
)


async def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "live-streams.json"
    await RestartRecordFile(path).save(RECORD)
    assert RestartRecordFile(path).load() == RECORD
    await RestartRecordFile(path).save(RestartRecord())
    assert RestartRecordFile(path).load() == RestartRecord()


async def test_it_is_for_nobody_but_us_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "live-streams.json"
    (tmp_path / "live-streams.new").write_text("left by a server that was killed while it wrote")
    await RestartRecordFile(path).save(RECORD)
    assert os.listdir(tmp_path) == [path.name]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_the_same_again_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "live-streams.json"
    file = RestartRecordFile(path)
    await file.save(RECORD)
    path.unlink()
    await file.save(RestartRecord((STREAM,), 200_000_000, (ChannelAhead("alice", 200_040_000),)))
    assert not path.exists()


async def test_before_the_first_server_there_is_nothing(tmp_path: Path) -> None:
    assert RestartRecordFile(tmp_path / "live-streams.json").load() == RestartRecord()


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"streams": [{}]}', '{"streams": [], "numbers_used_until_s": "x"}'),
        '{"streams": [], "numbers_used_until_s": 1e30}',
        '{"channels_ahead": [{"name": "alice", "until_s": 1000000000000}]}',
    ],
)
async def test_a_file_that_is_of_no_use_is_passed_over(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "live-streams.json"
    path.write_text(text)
    assert RestartRecordFile(path).load() == RestartRecord()
    assert [record.message for record in caplog.records] == ["restart_record.unreadable"]


async def test_a_disk_that_does_not_take_it_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "none" / "live-streams.json"
    file = RestartRecordFile(path)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await file.save(RECORD)
    assert [record.message for record in caplog.records] == ["restart_record.unwritable"]
    path.parent.mkdir()
    await file.save(RECORD)
    assert RestartRecordFile(path).load() == RECORD


async def test_what_a_server_before_wrote_is_read(tmp_path: Path) -> None:
    path = tmp_path / "live-streams.json"
    path.write_text('{"streams": [], "numbers_used_until_s": 200000000}')
    assert RestartRecordFile(path).load() == RestartRecord((), 200_000_000)


class TestSignOfLife:
    async def test_the_files_time_follows_while_streams_are_live(self, tmp_path: Path) -> None:
        path = tmp_path / "live-streams.json"
        file = RestartRecordFile(path)
        for record, is_followed in ((RECORD, True), (RestartRecord((), 200_000_000), False)):
            await file.save(record)
            os.utime(path, (1_700_000_000, 1_700_000_000))
            for _ in range(SAVES_PER_SIGN_OF_LIFE):
                await file.save(record)
            alive_at = RestartRecordFile(path).last_alive_at()
            assert (alive_at != datetime.fromtimestamp(1_700_000_000, UTC)) is is_followed

    async def test_there_is_none_without_a_file(self, tmp_path: Path) -> None:
        assert RestartRecordFile(tmp_path / "live-streams.json").last_alive_at() is None

    async def test_a_file_that_is_gone_stops_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "live-streams.json"
        file = RestartRecordFile(path)
        await file.save(RECORD)
        path.unlink()
        for _ in range(SAVES_PER_SIGN_OF_LIFE):
            await file.save(RECORD)
        assert not path.exists()
