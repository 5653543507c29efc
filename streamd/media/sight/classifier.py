"""A classifier: an ONNX model that says of a picture how much of each of its labels is in it.

Its shape, which ``docs/moderation.md`` tells operators:

- one input of 32-bit floats, ``[1, 3, height, width]``: red, green and blue, 0 to 1. Height and width are fixed
  numbers, or left open, and then as near to the picture's shape as ``SIDE`` and steps of ``STEP`` allow;
- one output of 32-bit floats: ``[1, labels]`` with a score each, 0 to 1, or ``[1, 4 + labels, boxes]`` as the YOLO
  family of detectors has it, where a label's score is that of its best box;
- metadata ``names``: a JSON object, a Python dictionary or a list of the labels, in the output's order.

``nudenet`` is such a file, in the package of this name. Its code is not used.
"""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy
import onnxruntime

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUDENET: Final = "nudenet"
"""The name by which the model of that package is asked for."""
_NUDENET_FILE = "320n.onnx"
# The longer side where a model leaves its size open: nudenet was made with it. A picture of 16 : 9 has 320 x 192, and
# takes 13 ms of a processor in place of the 22 of a square.
SIDE = 320
# YOLO's stride.
STEP = 32
SIDE_MAX = 1280
# A model of a classifier has 5 to 100 MB; it is loaded whole.
MODEL_BYTES_MAX = 512 * 1024 * 1024
LABELS_MAX = 1000
LABEL_LENGTH_MAX = 64
_BOX_VALUES = 4


class ClassifierError(Exception):
    """A file that is no classifier; the text says why, in words for the operator."""


def model_path(classifier: str) -> Path:
    """The file of a classifier.

    Args:
        classifier: ``nudenet``, or a path.

    Raises:
        ClassifierError: The package is not there.
    """
    if classifier != NUDENET:
        return Path(classifier)
    spec = importlib.util.find_spec(NUDENET)
    if spec is None or spec.origin is None:
        raise ClassifierError("the package nudenet is not installed: pip install 'streamd[moderation]'")
    return Path(spec.origin).parent / _NUDENET_FILE


class Classifier:
    """A model that is loaded.

    Args:
        file: Where it is.

    Attributes:
        labels: In the order of the scores.

    Raises:
        ClassifierError: It cannot be read, is no model, or has another shape.
    """

    def __init__(self, file: Path) -> None:
        try:
            if file.stat().st_size > MODEL_BYTES_MAX:
                raise ClassifierError(f"{file.name} has more than {MODEL_BYTES_MAX} bytes")
            model = file.read_bytes()
        except OSError as exc:
            raise ClassifierError(f"{file.name}: {exc.strerror or type(exc).__name__}") from exc
        options = onnxruntime.SessionOptions()
        # A sandbox refuses threads, and streams need the other processors.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            # From bytes: a model that keeps its weights in files beside it has no business on the disk.
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # its errors have no class in common
            raise ClassifierError(f"{file.name} is no ONNX model that onnxruntime reads: {_line(exc)}") from exc
        self.labels = _labels(self._session.get_modelmeta().custom_metadata_map.get("names", ""), file.name)
        self._input, self._size = self._check_input(file.name)
        # A verdict on a model by its output's shape alone may be wrong: the model has to look at something.
        width, height = self._size or (SIDE, SIDE)
        try:
            self.scores(numpy.zeros((height, width, 3), dtype=numpy.uint8))
        except ClassifierError as exc:
            raise ClassifierError(f"{file.name}: {exc}") from exc

    def size_for(self, width: int, height: int) -> tuple[int, int]:
        """The width and the height in which a picture is looked at.

        Args:
            width: Of the picture.
            height: Likewise.
        """
        if self._size is not None:
            return self._size
        longer = max(width, height, 1)
        fitted = (max(STEP, round(side * SIDE / longer / STEP) * STEP) for side in (width, height))
        return next(fitted), next(fitted)

    def scores(self, picture: NDArray[numpy.uint8]) -> dict[str, float]:
        """Look at a picture.

        Args:
            picture: Rows, columns, and red, green and blue, in a size of ``size_for``.

        Returns:
            The score of each label, 0 to 1.

        Raises:
            ClassifierError: The model fails, or answers something else.
        """
        values = numpy.ascontiguousarray(picture.transpose(2, 0, 1)[None], dtype=numpy.float32) / numpy.float32(255)
        try:
            output = self._session.run(None, {self._input: values})[0]
        except Exception as exc:
            raise ClassifierError(f"the model fails: {_line(exc)}") from exc
        count = len(self.labels)
        if output.shape == (1, count):
            scores = output[0]
        elif output.ndim == 3 and output.shape[:2] == (1, _BOX_VALUES + count):
            scores = output[0, _BOX_VALUES:].max(axis=1, initial=0.0)
        else:
            raise ClassifierError(f"its output is {list(output.shape)}, and it has {count} labels")
        # A score is a number: NaN is none.
        bounded = numpy.clip(numpy.nan_to_num(scores.astype(numpy.float64), nan=0.0), 0.0, 1.0)
        return {label: round(float(score), 4) for label, score in zip(self.labels, bounded, strict=True)}

    def _check_input(self, name: str) -> tuple[str, tuple[int, int] | None]:
        """The name of the model's input, and its width and height where they are fixed."""
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
            raise ClassifierError(f"{name}: it has to have one input of floats, [1, 3, height, width]")
        batch, planes, height, width = inputs[0].shape
        if planes != 3 or (isinstance(batch, int) and batch != 1):
            raise ClassifierError(f"{name}: its input is {inputs[0].shape}, and not [1, 3, height, width]")
        if not isinstance(height, int) or not isinstance(width, int):
            return inputs[0].name, None
        if not 0 < height <= SIDE_MAX or not 0 < width <= SIDE_MAX:
            raise ClassifierError(f"{name}: pictures of {width} x {height}, and {SIDE_MAX} a side is the most")
        return inputs[0].name, (width, height)


def _labels(names: str, file_name: str) -> list[str]:
    """Read the labels, as exporters write them: JSON, or what Python prints of a dictionary."""
    try:
        found = ast.literal_eval(names[: LABELS_MAX * 2 * LABEL_LENGTH_MAX])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if isinstance(found, dict):
        try:
            found = [found[key] for key in sorted(found, key=int)]
        except (TypeError, ValueError):
            found = None
    if not isinstance(found, list) or not 0 < len(found) <= LABELS_MAX or not all(isinstance(e, str) for e in found):
        raise ClassifierError(f'{file_name}: its metadata "names" has to have the labels')
    return [label[:LABEL_LENGTH_MAX] for label in found]


def _line(exc: Exception) -> str:
    """The first line of what an error says, without the half that is C++."""
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0][:200]
