from __future__ import annotations

import asyncio
import errno
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamd.services.keys.act_journal import RESERVED_BYTES, ActJournal, KeyAct, KeyActKind

AT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
REVOCATION = KeyAct(KeyActKind.REVOCATION, "7k2m9xq4ct", AT, "admin", "192.0.2.1", "утечка", ("alice", "bob"))
SUSPENSION = KeyAct(KeyActKind.SUSPENSION, "alice", AT, "cli", "", "")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "acts"


def save(journal: ActJournal, *acts: KeyAct) -> bool:
    return asyncio.run(journal.save(lambda: acts))


def saved(path: Path, *acts: KeyAct) -> ActJournal:
    journal = ActJournal(path)
    assert journal.open() == []
    assert save(journal, *acts)
    return journal


def test_acts_are_read_as_they_were_saved(path: Path) -> None:
    saved(path, REVOCATION, SUSPENSION)
    assert ActJournal(path).open() == [REVOCATION, SUSPENSION]


def test_fewer_leave_nothing_of_more(path: Path) -> None:
    journal = saved(path, REVOCATION, SUSPENSION)
    assert save(journal, SUSPENSION)
    assert ActJournal(path).open() == [SUSPENSION]
    assert save(journal)
    assert ActJournal(path).open() == []


def test_the_server_after_leaves_nothing_either(path: Path) -> None:
    saved(path, REVOCATION)
    after = ActJournal(path)
    assert after.open() == [REVOCATION]
    assert save(after)
    assert ActJournal(path).open() == []


def test_the_room_is_taken_before_it_is_needed_and_never_given_back(path: Path) -> None:
    journal = saved(path)
    blocks = path.stat().st_blocks
    assert (path.stat().st_size, blocks * 512 >= RESERVED_BYTES) == (RESERVED_BYTES, True)
    save(journal, REVOCATION)
    save(journal)
    assert (path.stat().st_size, path.stat().st_blocks) == (RESERVED_BYTES, blocks)
    assert path.stat().st_mode & 0o077 == 0


def test_more_than_the_room_are_kept_while_the_disk_has_more(path: Path) -> None:
    acts = [SUSPENSION] * (RESERVED_BYTES // 100)
    saved(path, *acts)
    assert ActJournal(path).open() == acts


def test_a_line_that_was_cut_off_takes_no_other_with_it(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    saved(path, REVOCATION, SUSPENSION)
    data = path.read_bytes()
    path.write_bytes(data.rstrip(b"\0")[:-10] + bytes(100))
    with caplog.at_level(logging.WARNING):
        assert ActJournal(path).open() == [REVOCATION]
    assert [record.message for record in caplog.records] == ["acts.unreadable"]


def test_a_disk_that_takes_nothing_is_said(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    journal = saved(path)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.pwrite", full)
    with caplog.at_level(logging.WARNING):
        assert not save(journal, REVOCATION)
    assert [record.message for record in caplog.records] == ["acts.unwritable"]
