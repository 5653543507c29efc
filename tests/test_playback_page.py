"""The page about who may watch: what it tells a backend to do makes tokens that are let in."""

from __future__ import annotations

import re
import runpy
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from streamd.clock import SystemClock
from streamd.services.playback.claims import Audience
from streamd.services.playback.countries import Countries
from streamd.services.playback.gate import PlaybackGate
from streamd.services.playback.gate_options import GateOptions
from streamd.services.playback.playback_key import generate
from streamd.services.playback.policy import Policy
from streamd.services.playback.verifying_key import Algorithm
from streamd.services.playback.visitor import Visitor

PAGE = (Path(__file__).parents[1] / "docs/playback.md").read_text("utf-8")
KID = "pk_0a1b2c3d4e"


def example(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def gate_with(algorithm: Algorithm) -> tuple[PlaybackGate, str]:
    """A gate with one key, and its private half."""
    gate = PlaybackGate(SystemClock(), GateOptions(Policy.SIGNED), Countries(None))
    key, private = generate(KID, algorithm)
    gate.keys.set_own({KID: (key, None)})
    return gate, private


def test_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, private = gate_with(Algorithm.EDDSA)
    (tmp_path / "key.pem").write_text(private)
    (tmp_path / "sign.py").write_text(example("python").replace('open("key.pem").read()', "KEY"))
    monkeypatch.chdir(tmp_path)
    said = StringIO()
    with redirect_stdout(said):
        runpy.run_path("sign.py", {"KEY": private})
    token = said.getvalue().strip().partition("token=")[2]
    viewing = gate.admit("alice", token, Audience.VIDEO, Visitor("192.0.2.7"))
    assert viewing.ticket.audience == Audience.VIDEO | Audience.THUMBNAIL


@pytest.mark.parametrize("language", ["javascript", "php", "go"])
def test_every_example_names_the_key_the_channel_and_an_end(language: str) -> None:
    text = example(language)
    assert KID in text
    assert "alice" in text
    assert re.search(r"exp\b|ExpirationTime", text)
