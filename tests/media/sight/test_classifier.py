"""Classifiers: files of the documented shape, and files of any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.extra import require
from tests.support.onnx_file import INT64, box_model, colour_model

require("numpy", "onnxruntime", "nudenet")

import numpy  # noqa: E402

from streamd.media.sight import classifier as module  # noqa: E402 - of an extra
from streamd.media.sight.classifier import Classifier, ClassifierError, model_path  # noqa: E402 - of an extra


def load(tmp_path: Path, model: bytes) -> Classifier:
    file = tmp_path / "model.onnx"
    file.write_bytes(model)
    return Classifier(file)


def plain(red: int, green: int, blue: int, width: int = 64, height: int = 32) -> Any:
    picture = numpy.empty((height, width, 3), dtype=numpy.uint8)
    picture[:] = (red, green, blue)
    return picture


class TestScores:
    def test_are_those_of_a_list_of_labels(self, tmp_path: Path) -> None:
        classifier = load(tmp_path, colour_model())
        assert classifier.labels == ["red", "green", "blue"]
        assert classifier.scores(plain(255, 0, 51)) == {"red": 1.0, "green": 0.0, "blue": 0.2}

    def test_are_those_of_the_best_box(self, tmp_path: Path) -> None:
        assert load(tmp_path, box_model()).scores(plain(255, 51, 102)) == {"green": 0.2, "blue": 0.4}

    @pytest.mark.parametrize(
        "names", ["{0: 'a', 1: 'b', 2: 'c'}", '{"0": "a", "1": "b", "2": "c"}', "{'2': 'c', '0': 'a', '1': 'b'}"]
    )
    def test_have_labels_however_an_exporter_writes_them(self, names: str, tmp_path: Path) -> None:
        assert load(tmp_path, colour_model(names)).labels == ["a", "b", "c"]


class TestTheSize:
    def test_is_the_models_own_where_it_has_one(self, tmp_path: Path) -> None:
        classifier = load(tmp_path, colour_model(shape=(1, 3, 48, 96)))
        assert classifier.size_for(1920, 1080) == (96, 48)

    @pytest.mark.parametrize(
        ("picture", "size"),
        [((1280, 720), (320, 192)), ((720, 1280), (192, 320)), ((9, 9), (320, 320)), ((900, 1), (320, 32))],
    )
    def test_is_near_the_pictures_shape_where_it_is_open(
        self, picture: tuple[int, int], size: tuple[int, int], tmp_path: Path
    ) -> None:
        assert load(tmp_path, colour_model()).size_for(*picture) == size


class TestAFileThatIsNone:
    @pytest.mark.parametrize(
        ("model", "reason"),
        [
            (b"", "no ONNX model"),
            (b"<html><body>404</body></html>", "no ONNX model"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "no ONNX model"),
            (colour_model()[:40], "no ONNX model"),
            (colour_model(names=""), 'metadata "names"'),
            (colour_model(names="red, green"), 'metadata "names"'),
            (colour_model(names="[1, 2, 3]"), 'metadata "names"'),
            (colour_model(names="{'a': 'b'}"), 'metadata "names"'),
            (colour_model(names="(" * 5000), 'metadata "names"'),
            (colour_model(names='["red", "green"]'), "it has 2 labels"),
            (box_model(names='["a", "b", "c"]'), "it has 3 labels"),
            (colour_model(shape=(1, 1, "height", "width")), r"not \[1, 3, height, width\]"),
            (colour_model(shape=(8, 3, "height", "width")), r"not \[1, 3, height, width\]"),
            (colour_model(shape=(1, 3, 64)), "one input of floats"),
            (colour_model(shape=(1, 3, 20_000, 20_000)), "is the most"),
            (colour_model(kind=INT64), "no ONNX model|one input of floats"),
        ],
    )
    def test_is_refused_with_a_reason(self, model: bytes, reason: str, tmp_path: Path) -> None:
        with pytest.raises(ClassifierError, match=reason):
            load(tmp_path, model)

    def test_is_refused_where_it_is_not_there_or_too_large(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(ClassifierError, match="No such file"):
            Classifier(tmp_path / "none.onnx")
        with pytest.raises(ClassifierError, match="directory"):
            Classifier(tmp_path)
        monkeypatch.setattr(module, "MODEL_BYTES_MAX", 10)
        with pytest.raises(ClassifierError, match="more than 10 bytes"):
            load(tmp_path, colour_model())


def test_nudenet_is_the_model_of_its_package() -> None:
    classifier = Classifier(model_path("nudenet"))
    assert len(classifier.labels) == 18
    assert "MALE_GENITALIA_EXPOSED" in classifier.labels
    scores = classifier.scores(plain(200, 180, 160, *classifier.size_for(1280, 720)))
    assert scores.keys() == set(classifier.labels)
    assert max(scores.values()) < 0.5, "a wall is nothing"


def test_nudenet_that_is_not_there_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ClassifierError, match="streamd\\[moderation\\]"):
        model_path("nudenet")
