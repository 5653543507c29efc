"""Looks at pictures: fingerprints, known hashes, a classifier's scores, words; confined to that.

It is ``python -m streamd.process.workers.sight_worker``, and ``moderation.sight_process`` starts it. It reads lists and
models, locks itself in, and says what it has; then each order is the pixels of a picture. Those come from
``picture_worker``, where they were decoded: here are only numbers, whose count is known, and nothing that a publisher's
bytes could mislead. So one process looks at all pictures, and a model is not loaded anew for each.

The packages that it needs are of the extra ``moderation``. A missing package is told of, and the rest works.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamd.media.pixels import PIXELS_BYTES_MAX, SIZE, scale
from streamd.services.moderation.categories import Category
from streamd.services.moderation.machine.hash_lists import DISTANCE_MAX, QUALITY_MIN, HashList, read_lists
from streamd.services.moderation.machine.sight import (
    FAULT_LENGTH_MAX,
    LENGTH,
    LOOK,
    MATCHES_MAX,
    NAME_LENGTH_MAX,
    SightOptions,
    Wanted,
    packed,
)
from streamd.services.sandbox import Sandbox

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from streamd.media.sight.classifier import Classifier
    from streamd.media.sight.words import Reader

# Models that read words make it 1.1 GB of addresses, of which 0.5 GB are memory; a classifier of the largest size that
# is taken is there twice while it is loaded.
ADDRESS_SPACE_BYTES_MAX = 4 * 1024**3
# Behind everything that is about live media, and behind posters.
NICENESS = 15
OOM_SCORE_ADJ = Path("/proc/self/oom_score_adj")
OOM_SCORE_ADJ_MAX = "1000"
# The setup: paths, and 10,000 hashes that are blocked here.
SETUP_BYTES_MAX = 4 * 1024 * 1024
# The name, among the lists, of the hashes that are blocked here.
BLOCKS_NAME = "blocks"
READ_BYTES = 64 * 1024

# The answer for a picture in which nothing could be looked for.
NOTHING: dict[str, Any] = {"hash": "", "quality": 0, "matches": [], "scores": {}, "words": [], "fault": ""}

_STDIN, _STDOUT = 0, 1


class Sight:
    """The machine that looks at pictures; each part that cannot be had has a fault in its place.

    Args:
        options: What to compare with and score by.
    """

    def __init__(self, options: SightOptions) -> None:
        self.hash_fault = self.classifier_fault = self.words_fault = ""
        self.classifier: Classifier | None = None
        self.reader: Reader | None = None
        self.lists = read_lists([Path(path) for path in options.lists])
        self._blocked = HashList(BLOCKS_NAME, bytearray().join(bytes.fromhex(each) for each in options.hashes))
        self._all = [*self.lists, self._blocked]
        self._load_fingerprint()
        if options.classifier:
            self._load_classifier(options.classifier)
        if options.words:
            self._load_reader()

    def ready(self, layers: int) -> dict[str, Any]:
        """What it has, as ``sight.Ready`` reads it."""
        return {
            "layers": layers,
            "hash_fault": self.hash_fault[:FAULT_LENGTH_MAX],
            "classifier_fault": self.classifier_fault[:FAULT_LENGTH_MAX],
            "words_fault": self.words_fault[:FAULT_LENGTH_MAX],
            "labels": self.classifier.labels if self.classifier is not None else [],
            "lists": [
                {"name": each.name[:NAME_LENGTH_MAX], "hashes": each.count, "bad_lines": each.bad_lines}
                | {"faults": each.faults}
                for each in self.lists
            ],
        }

    def look(self, picture: NDArray[numpy.uint8], wanted: Wanted) -> dict[str, Any]:
        """Look at a picture.

        Args:
            picture: Rows, columns, and red, green and blue.
            wanted: What is looked for beside its fingerprint.

        Returns:
            As ``sight.Look`` reads it.
        """
        said: dict[str, Any] = {**NOTHING, "fault": self.hash_fault}
        if not self.hash_fault:
            found, quality = self._fingerprint(picture)
            said |= {"hash": found.hex(), "quality": quality}
            if quality >= QUALITY_MIN:
                said["matches"] = self._matches(found)
        if Wanted.SCORES in wanted and self.classifier is not None:
            height, width = picture.shape[:2]
            try:
                said["scores"] = self.classifier.scores(scale(picture, *self.classifier.size_for(width, height)))
            except Exception as exc:  # noqa: BLE001 - a model of the operator's may fail in any way
                said["fault"] = f"classifier: {exc}"[:FAULT_LENGTH_MAX]
        if Wanted.WORDS in wanted and self.reader is not None:
            try:
                said["words"] = self.reader.lines(picture)
            except Exception as exc:  # noqa: BLE001 - three libraries, with errors of their own
                said["fault"] = f"words: {type(exc).__name__}"
        return said

    def warm(self) -> None:
        """Look at a picture of our own, so that every library is loaded before the sandbox is locked."""
        with contextlib.suppress(ImportError):
            import numpy

            picture = numpy.zeros((192, 320, 3), dtype=numpy.uint8)
            self.look(picture, Wanted.SCORES)
            if self.reader is not None:
                self.reader.warm(picture)

    def _load_fingerprint(self) -> None:
        try:
            from streamd.media.sight.fingerprint import HashIndex, fingerprint
        except ImportError as exc:
            self.hash_fault = _missing(exc)
            return
        self._fingerprint = fingerprint
        self._index = HashIndex(b"".join(each.hashes for each in self._all))

    def _load_classifier(self, classifier: str) -> None:
        try:
            from streamd.media.sight.classifier import Classifier, ClassifierError, model_path
        except ImportError as exc:
            self.classifier_fault = _missing(exc)
            return
        try:
            self.classifier = Classifier(model_path(classifier))
        except (ClassifierError, MemoryError) as exc:
            self.classifier_fault = str(exc) or type(exc).__name__

    def _load_reader(self) -> None:
        try:
            from streamd.media.sight.words import Reader

            self.reader = Reader()
        except ImportError as exc:
            self.words_fault = _missing(exc)
        except Exception as exc:  # noqa: BLE001 - what a package does not find of its own files
            self.words_fault = f"{type(exc).__name__}: {exc}"

    def _matches(self, found: bytes) -> list[dict[str, Any]]:
        matches = []
        for number, distance in self._index.near(found, DISTANCE_MAX, MATCHES_MAX):
            hash_list, in_list = self._place(number)
            is_own = hash_list is self._blocked
            matches.append(
                {
                    "list": hash_list.name[:NAME_LENGTH_MAX],
                    "category": Category.OTHER_VIOLATION_TC if is_own else hash_list.category_of(in_list),
                    "hash": bytes(hash_list.hashes[in_list * len(found) : (in_list + 1) * len(found)]).hex(),
                    "distance": distance,
                }
            )
        return matches

    def _place(self, number: int) -> tuple[HashList, int]:
        """The list that a hash of all is in, and its number there."""
        for each in self._all:
            if number < each.count:
                return each, number
            number -= each.count
        raise AssertionError("a hash is in a list")


def main() -> None:
    """Answer orders until there are none."""
    os.chdir("/")
    os.umask(0o077)
    with contextlib.suppress(OSError):
        OOM_SCORE_ADJ.write_text(OOM_SCORE_ADJ_MAX, encoding="ascii")
    os.nice(NICENESS)
    (length,) = LENGTH.unpack(_read(LENGTH.size))
    assert length <= SETUP_BYTES_MAX
    sight = Sight(SightOptions.parse(_read(length)))
    sight.warm()
    layers = Sandbox(memory_bytes=ADDRESS_SPACE_BYTES_MAX).lock()
    _write(packed(sight.ready(layers)))
    while head := _read(LOOK.size + SIZE.size):
        (wanted,) = LOOK.unpack(head[: LOOK.size])
        width, height = SIZE.unpack(head[LOOK.size :])
        assert width * height * 3 <= PIXELS_BYTES_MAX
        _write(packed(_look(sight, Wanted(wanted), width, height, _read(width * height * 3))))


def _look(sight: Sight, wanted: Wanted, width: int, height: int, pixels: bytes) -> dict[str, Any]:
    try:
        import numpy
    except ImportError as exc:
        return {**NOTHING, "fault": _missing(exc)}
    return sight.look(numpy.frombuffer(pixels, dtype=numpy.uint8).reshape(height, width, 3), wanted)


def _missing(exc: ImportError) -> str:
    return f"{exc.name or exc} is not installed: pip install 'streamd[moderation]'"[:FAULT_LENGTH_MAX]


def _read(count: int) -> bytes:
    """``count`` bytes, or fewer where they end before."""
    parts = []
    while count and (part := os.read(_STDIN, min(count, READ_BYTES))):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(_STDOUT, view) :]


if __name__ == "__main__":
    main()
