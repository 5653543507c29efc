"""The doctor's look at the machine that looks at pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamd.process.config import Config
from streamd.process.config.sections import ModerationConfig
from streamd.process.doctor import sight
from streamd.process.doctor.check_result import Verdict
from streamd.process.doctor.sight import check_sight, describe
from streamd.services.moderation.machine.sight import ListState, Ready
from streamd.services.sandbox import Layer
from tests.support.extra import needs_moderation


def config_of(**moderation: object) -> Config:
    return Config(moderation=ModerationConfig.model_validate({"enabled": True, "read_words": False} | moderation))


def test_nothing_is_started_where_nothing_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sight, "SIGHT_COMMAND", ("/nonexistent/python",))
    assert list(check_sight(Config())) == []
    assert list(check_sight(config_of(scan="off"))) == []
    (result,) = check_sight(config_of())
    assert result.verdict is Verdict.WARNING
    assert "does not work here" in result.message


@needs_moderation
def test_lists_and_models_are_loaded_as_the_server_would(tmp_path: Path) -> None:
    (tmp_path / "known.txt").write_text(f"{'a' * 64}\n{'b' * 63}\n")
    (tmp_path / "model.onnx").write_text("<html>404</html>")
    files = {"hash_lists": [str(tmp_path / "known.txt")], "classifier": str(tmp_path / "model.onnx")}
    known, classifier = check_sight(config_of(**files))
    assert known.verdict is classifier.verdict is Verdict.WARNING
    assert known.message.startswith("1 hashes, 1 lines that are none: line 2: a hash of 63 hexadecimal digits")
    assert "no ONNX model" in classifier.message
    (found,) = check_sight(config_of(classifier="nudenet"))
    assert (found.verdict, found.message) == (Verdict.OK, "scores 18 labels")


def test_every_part_has_a_word() -> None:
    lists = (ListState("good.txt", 7, 0, ()), ListState("gone.txt", 0, 0, ("No such file or directory",)))
    ready = Ready(Layer(0), "pdqhash is not installed", "", "rapidocr is not installed", ("a",), lists)
    results = list(describe(ready, has_classifier=True))
    assert [(result.check, result.verdict) for result in results] == [
        ("moderation: known pictures", Verdict.WARNING),
        ("moderation: good.txt", Verdict.OK),
        ("moderation: gone.txt", Verdict.WARNING),
        ("moderation: classifier", Verdict.OK),
        ("moderation: words", Verdict.WARNING),
    ]
