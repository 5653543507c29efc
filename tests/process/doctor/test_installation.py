from __future__ import annotations

import re
from importlib.metadata import version
from typing import Literal

import pytest

from streamd.doors.web.public import pages
from streamd.process import compiled
from streamd.process.compiled import Compiled
from streamd.process.config import Config
from streamd.process.config.sections import IngestConfig
from streamd.process.doctor.check_result import Verdict
from streamd.process.doctor.installation import check_compiled, check_demuxer, check_player


@pytest.mark.parametrize(("has_player", "verdict"), [(True, Verdict.OK), (False, Verdict.WARNING)])
def test_the_player(monkeypatch: pytest.MonkeyPatch, has_player: bool, verdict: Verdict) -> None:
    monkeypatch.setattr(pages.Pages, "has_player", has_player)
    assert check_player().verdict is verdict


@pytest.mark.parametrize(
    ("found", "said", "verdict"),
    [
        (Compiled(True, (), "", False), "the way of a frame is", Verdict.OK),
        (Compiled(False, ("streamd.a",), "it was chosen", False), "nothing is, .* CPU: it was chosen", Verdict.OK),
        (Compiled(False, ("streamd.a",), "no gcc", True), "nothing is, .* CPU: no gcc", Verdict.WARNING),
        (Compiled("partly", ("streamd.a",), "no gcc", True), "a part of the way", Verdict.WARNING),
    ],
)
def test_what_is_compiled(monkeypatch: pytest.MonkeyPatch, found: Compiled, said: str, verdict: Verdict) -> None:
    monkeypatch.setattr(compiled, "look", lambda: found)
    result = check_compiled()
    assert re.match(said, result.message)
    assert result.verdict is verdict
    assert bool(result.advice) == found.is_fault


@pytest.mark.parametrize(
    ("demuxer", "said"), [("pyav", "libavformat reads every frame"), ("native", "streamd reads frames itself")]
)
def test_which_demuxer_runs(demuxer: Literal["pyav", "native"], said: str) -> None:
    finding = check_demuxer(Config(ingest=IngestConfig(demuxer=demuxer)))
    assert finding.message.startswith(f"{demuxer}: ")
    assert said in finding.message
    assert version("av") in finding.message
    assert finding.verdict is Verdict.OK
