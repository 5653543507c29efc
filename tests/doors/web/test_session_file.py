from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from streamd.clock import ManualClock
from streamd.doors.web.session_file import WRITE_INTERVAL_S, SessionFile
from streamd.doors.web.sessions import SessionLimits, SessionRecord, Sessions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

pytestmark = pytest.mark.asyncio

LIMITS = SessionLimits(lifetime_s=10_000, idle_s=1000, sessions_max=4, per_name_max=2)


class Page:
    def __init__(self, clock: ManualClock) -> None:
        self.sessions: Sessions[str] = Sessions(clock, LIMITS)

    def restore(self, records: Iterable[SessionRecord]) -> None:
        self.sessions.restore(records, str)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.json"


def begin(path: Path, clock: ManualClock) -> tuple[SessionFile, Page]:
    """What a server that starts makes."""
    file, page = SessionFile(path, clock), Page(clock)
    file.keep("page", page)
    return file, page


def kept(path: Path) -> str:
    return path.read_text()


def keep(path: Path, text: str) -> None:
    path.write_text(text)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_a_session_goes_on_in_the_next_server_also_after_a_crash(path: Path, clock: ManualClock) -> None:
    file, page = begin(path, clock)
    token = page.sessions.begin("alice", "")
    await file.save()
    _, after = begin(path, clock)
    assert after.sessions.find(token) == "alice"
    page.sessions.end(token)
    await file.save()
    assert begin(path, clock)[1].sessions.find(token) is None


async def test_each_page_has_its_own(path: Path, clock: ManualClock) -> None:
    file, page = begin(path, clock)
    token = page.sessions.begin("alice", "")
    await file.save()
    other = Page(clock)
    SessionFile(path, clock).keep("other page", other)
    assert other.sessions.find(token) is None


async def test_it_is_for_nobody_else_and_holds_no_token(path: Path, clock: ManualClock) -> None:
    file, page = begin(path, clock)
    token = page.sessions.begin("alice", "")
    await file.save()
    assert mode(path) == 0o600
    assert token not in kept(path)


async def test_use_is_written_once_a_minute_and_at_the_end(path: Path, clock: ManualClock) -> None:
    clock.advance(-clock.monotonic() % WRITE_INTERVAL_S)
    file, page = begin(path, clock)
    token = page.sessions.begin("alice", "")
    await file.save()
    written = kept(path)
    clock.advance(WRITE_INTERVAL_S / 2)
    page.sessions.find(token)
    await file.save()
    assert kept(path) == written
    await file.save(is_last=True)
    assert kept(path) != written
    written = kept(path)
    clock.advance(WRITE_INTERVAL_S)
    page.sessions.find(token)
    await file.save()
    assert kept(path) != written


async def test_a_file_of_no_use_is_none(path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    for text in ("", "{", '{"page": [{"mark": "no", "name": "alice"}]}', "[]"):
        keep(path, text)
        assert len(begin(path, clock)[1].sessions) == 0
    assert [record.message for record in caplog.records] == ["sessions.unreadable"] * 4


async def test_a_disk_that_does_not_take_it_is_said_once(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    file, page = begin(tmp_path / "nowhere" / "sessions.json", clock)
    token = page.sessions.begin("alice", "")
    await file.save()
    await file.save()
    assert page.sessions.find(token) == ""
    assert [record.message for record in caplog.records] == ["sessions.unwritable"]
