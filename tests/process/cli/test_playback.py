"""``streamd playback``, over the admin API of a server; ``integration/test_playback.py`` has it on a real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamd.process.cli import EXIT_USAGE
from streamd.services.playback.passwords import Passwords
from tests.support.cli import issue, run
from tests.support.live_streams import Streams


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that the server was given."""
    found: list[str] = []

    async def note(_: Passwords, password: str) -> str:
        found.append(password)
        return "of no password"

    monkeypatch.setattr(Passwords, "hash", note)
    return found


@pytest.mark.usefixtures("server")
class TestLock:
    def test_a_password_is_what_was_typed(self, data_dir: Path, hashed: list[str]) -> None:
        typed = " open sesame "
        issue(data_dir, "anna")
        done = run("playback", "lock", "anna", "--password", data_dir=data_dir, stdin=f"{typed}\n{typed}\n")
        assert done.exit_code == 0, done.stderr
        assert hashed == [typed]
        assert "sesame" not in done.output
        assert "/watch/anna" in done.stdout

    def test_it_says_what_it_needs(self, server: Streams, data_dir: Path) -> None:
        assert server.live == {}
        assert run("playback", "lock", "anna", data_dir=data_dir).exit_code == EXIT_USAGE
