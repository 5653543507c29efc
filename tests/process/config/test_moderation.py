"""The files that ``[moderation]`` names."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamd.errors import ConfigError
from streamd.process.config import load_config


def write(directory: Path, text: str) -> Path:
    file = directory / "streamd.toml"
    file.write_text(f"[moderation]\nenabled = true\n{text}\n")
    return file


def test_lists_and_models_are_found_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "known.txt").touch()
    (tmp_path / "model.onnx").touch()
    lists = f'hash_lists = ["known.txt", "{tmp_path}/known.txt"]'
    config = load_config(write(tmp_path, f'{lists}\nclassifier = "model.onnx"'), environ={})
    assert config.moderation.hash_lists == [str(tmp_path / "known.txt")] * 2
    assert config.moderation.classifier == str(tmp_path / "model.onnx")


def test_nudenet_is_a_word_and_no_path(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, 'classifier = "nudenet"'), environ={}).moderation.classifier == "nudenet"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('hash_lists = ["none.txt"]', "there is no such file"),
        ('classifier = "none.onnx"', "there is no such file"),
        ("hash_lists = [1]", "hash_lists"),
        ("classifier = 7", "classifier"),
        ("classifier_score_min = 0.0", "classifier_score_min"),
        ("scan_pictures_per_s = 0", "scan_pictures_per_s"),
        ('scan = "some"', "scan"),
        ('assistant_url = "file:///etc/passwd"', "assistant_url"),
    ],
)
def test_what_cannot_be_is_refused(text: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=fault):
        load_config(write(tmp_path, text), environ={})
