from __future__ import annotations

from importlib.metadata import version
from typing import Literal

import pytest

from streamd.doors.web.public import pages
from streamd.formats.rtmp import chunk
from streamd.process.config import Config
from streamd.process.config.sections import IngestConfig
from streamd.process.doctor.check_result import Verdict
from streamd.process.doctor.installation import check_compiled, check_demuxer, check_player


@pytest.mark.parametrize(("has_player", "verdict"), [(True, Verdict.OK), (False, Verdict.WARNING)])
def test_the_player(monkeypatch: pytest.MonkeyPatch, has_player: bool, verdict: Verdict) -> None:
    monkeypatch.setattr(pages.Pages, "has_player", has_player)
    assert check_player().verdict is verdict


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("chunk.cpython-311-x86_64-linux-gnu.so", "the way of a frame is"),
        ("chunk.py", "a publisher costs two thirds more CPU"),
    ],
)
def test_what_is_compiled(monkeypatch: pytest.MonkeyPatch, file: str, said: str) -> None:
    monkeypatch.setattr(chunk, "__file__", file)
    finding = check_compiled()
    assert said in finding.message
    assert finding.verdict is Verdict.OK


@pytest.mark.parametrize(
    ("demuxer", "said"), [("pyav", "libavformat reads every frame"), ("native", "streamd reads frames itself")]
)
def test_which_demuxer_runs(demuxer: Literal["pyav", "native"], said: str) -> None:
    finding = check_demuxer(Config(ingest=IngestConfig(demuxer=demuxer)))
    assert finding.message.startswith(f"{demuxer}: ")
    assert said in finding.message
    assert version("av") in finding.message
    assert finding.verdict is Verdict.OK
