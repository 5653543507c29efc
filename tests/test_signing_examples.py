"""The examples of ``docs/playback.md`` that sign tokens, run as they stand there, in the languages that are here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest

from streamd.clock import SystemClock
from streamd.services.playback.claims import Audience
from streamd.services.playback.countries import Countries
from streamd.services.playback.gate import PlaybackGate
from streamd.services.playback.gate_options import GateOptions
from streamd.services.playback.playback_key import generate
from streamd.services.playback.policy import Policy
from streamd.services.playback.ticket import digest
from streamd.services.playback.verifying_key import Algorithm
from streamd.services.playback.visitor import Visitor
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[1] / "docs" / "playback.md"
KID = "pk_0a1b2c3d4e"
# Each with the name of its file, and how that is run.
LANGUAGES = {
    "python": ("sign.py", [sys.executable]),
    "javascript": ("sign.mjs", ["node"]),
    "php": ("sign.php", ["php"]),
    "go": ("sign.go", ["go", "run"]),
}


def examples() -> dict[str, str]:
    """The programs of the page, by language."""
    section = PAGE.read_text("utf-8").partition("## Sign from your backend")[2].partition("\n## ")[0]
    return dict(re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", section))


def test_all_of_them_are_run() -> None:
    assert set(examples()) == set(LANGUAGES)


@pytest.mark.parametrize("language", [each for each, (_, command) in LANGUAGES.items() if shutil.which(command[0])])
def test_it_makes_a_token_that_is_good(language: str, tmp_path: Path) -> None:
    name, command = LANGUAGES[language]
    key, private = generate(KID, Algorithm.EDDSA)
    (tmp_path / "key.pem").write_text(private)
    (tmp_path / name).write_text(examples()[language])
    done = subprocess.run(
        [*command, name], cwd=tmp_path, timeout=4 * PATIENCE_S, capture_output=True, check=True, encoding="utf-8"
    )
    link = urllib.parse.urlsplit(done.stdout.strip())
    assert (link.netloc, link.path) == ("live.example.org", "/watch/alice")
    gate = PlaybackGate(SystemClock(), GateOptions(Policy.SIGNED), Countries(None))
    gate.keys.set_own({KID: (key, None)})
    (token,) = urllib.parse.parse_qs(link.query)["token"]
    ticket = gate.admit("alice", token, Audience.THUMBNAIL, Visitor("192.0.2.7")).ticket
    assert ticket.viewer == digest("uid", "bob")
    assert 3 * 3600 - 60 < ticket.expires_at - SystemClock().now().timestamp() <= 3 * 3600
