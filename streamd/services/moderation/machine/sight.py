"""The messages between the server and the process that looks at pictures, with its findings.

The process is ``process.workers.sight_worker``. It is told once what to compare with, and then given pixels, picture
by picture. Its answer is read as the word of a stranger: its shape is checked, and its length bounded.
"""

from __future__ import annotations

import enum
import json
import math
import re
import struct
from dataclasses import dataclass
from typing import Any, Final

from streamd.services.moderation.categories import Category
from streamd.services.moderation.machine.hash_lists import HASH_BYTES, QUALITY_MIN
from streamd.services.sandbox import Layer

LENGTH: Final = struct.Struct(">I")
"""Before each JSON object, in both directions."""
LOOK: Final = struct.Struct(">B")
"""What is looked for (``Wanted``); what ``pixels.draw_pixels`` says follows, the size and the pixels."""

NUDENET: Final = "nudenet"
"""The classifier that comes with a package, by name."""

# The names of a hundred lists, or fifty lines of text, and all labels of a classifier with their scores.
SAID_BYTES_MAX = 256 * 1024
# Of what a list or a label is called.
NAME_LENGTH_MAX = 128
# Lists that have the same picture are named, and not all of a thousand near it in one.
MATCHES_MAX = 10
SCORES_MAX = 1000
WORDS_MAX = 50
WORD_LENGTH_MAX = 200
FAULT_LENGTH_MAX = 400

_HEX = re.compile(r"[0-9a-f]{64}")


class Wanted(enum.IntFlag):
    """What is looked for beside the fingerprint."""

    SCORES = 1
    WORDS = 2


@dataclass(frozen=True, slots=True)
class SightOptions:
    """What pictures are compared with, and by what they are scored."""

    lists: tuple[str, ...] = ()
    """Files of hashes, absolute paths."""
    hashes: tuple[str, ...] = ()
    """Hashes that are blocked here, 64 hexadecimal digits each."""
    classifier: str = ""
    """``nudenet``, the absolute path of an ONNX file, or empty."""
    words: bool = False
    """Load what reads words."""

    def order(self) -> bytes:
        """As the process reads it."""
        said = {
            "lists": list(self.lists),
            "hashes": list(self.hashes),
            "classifier": self.classifier,
            "words": self.words,
        }
        return packed(said)

    @classmethod
    def parse(cls, order: bytes) -> SightOptions:
        """Read ``order`` without its length."""
        said = json.loads(order)
        return cls(tuple(said["lists"]), tuple(said["hashes"]), said["classifier"], said["words"])


@dataclass(frozen=True, slots=True)
class ListState:
    """A list of hashes as the process has it."""

    name: str
    hashes: int
    bad_lines: int
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """What the process can do; an empty fault is none."""

    layers: Layer
    hash_fault: str
    classifier_fault: str
    words_fault: str
    labels: tuple[str, ...]
    lists: tuple[ListState, ...]

    @classmethod
    def parse(cls, said: bytes) -> Ready:
        """Read what it says when it has begun.

        Raises:
            EOFError: It says something else.
        """
        found = _object(said)
        try:
            return cls(
                layers=Layer(int(found["layers"])),
                hash_fault=_text(found["hash_fault"], FAULT_LENGTH_MAX),
                classifier_fault=_text(found["classifier_fault"], FAULT_LENGTH_MAX),
                words_fault=_text(found["words_fault"], FAULT_LENGTH_MAX),
                labels=_texts(found["labels"], SCORES_MAX, NAME_LENGTH_MAX),
                lists=tuple(
                    ListState(
                        _text(each["name"], NAME_LENGTH_MAX),
                        _count(each["hashes"]),
                        _count(each["bad_lines"]),
                        _texts(each["faults"], 10, FAULT_LENGTH_MAX),
                    )
                    for each in found["lists"]
                ),
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise EOFError("an answer that tells of no sight") from exc


@dataclass(frozen=True, slots=True)
class Match:
    """A hash of a list that is near that of a picture."""

    list_name: str
    category: Category
    hash: str
    """Of the list, 64 hexadecimal digits."""
    distance: int
    """In how many of 256 bits they differ."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen in a picture."""

    hash: str = ""
    """PDQ, 64 hexadecimal digits; empty where it could not be computed."""
    quality: int = 0
    """Of the hash, 0 to 100."""
    matches: tuple[Match, ...] = ()
    """The nearest first; none where the quality is under ``QUALITY_MIN``."""
    scores: tuple[tuple[str, float], ...] = ()
    """Labels of the classifier, 0 to 1, the highest first."""
    words: tuple[str, ...] = ()
    """Lines of text in it, from above."""
    fault: str = ""
    """What could not be looked for, and why; empty where all was."""

    @property
    def is_comparable(self) -> bool:
        """Whether its hash says anything."""
        return bool(self.hash) and self.quality >= QUALITY_MIN

    @classmethod
    def parse(cls, said: bytes) -> Look:
        """Read what the process says of a picture.

        Raises:
            EOFError: It says something else.
        """
        found = _object(said)
        try:
            scores = found["scores"].items()
            return cls(
                hash=_hash(found["hash"]) if found["hash"] else "",
                quality=min(_count(found["quality"]), 100),
                matches=tuple(
                    Match(
                        _text(each["list"], NAME_LENGTH_MAX),
                        Category(each["category"]),
                        _hash(each["hash"]),
                        _count(each["distance"]),
                    )
                    for each in found["matches"][:MATCHES_MAX]
                ),
                scores=tuple(
                    sorted(
                        ((_text(label, NAME_LENGTH_MAX), _score(value)) for label, value in [*scores][:SCORES_MAX]),
                        key=lambda each: (-each[1], each[0]),
                    )
                ),
                words=_texts(found["words"], WORDS_MAX, WORD_LENGTH_MAX),
                fault=_text(found["fault"], FAULT_LENGTH_MAX),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise EOFError("an answer that tells of no picture") from exc


def packed(said: dict[str, Any]) -> bytes:
    """A JSON object with its length before it."""
    text = json.dumps(said, separators=(",", ":")).encode()
    return LENGTH.pack(len(text)) + text


def _object(said: bytes) -> dict[str, Any]:
    try:
        found = json.loads(said)
    except (ValueError, RecursionError) as exc:
        raise EOFError("an answer that is no JSON") from exc
    if not isinstance(found, dict):
        raise EOFError("an answer that is no object")
    return found


def _text(value: object, length_max: int) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    # Half a pair of UTF-16 (JSON can say it) cannot be written to a database.
    return value[:length_max].encode("utf-8", "replace").decode()


def _texts(value: object, count_max: int, length_max: int) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("no list")
    return tuple(_text(each, length_max) for each in value[:count_max])


def _count(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**31:
        raise ValueError("no count")
    return int(value)


def _score(value: object) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= 1:
        raise ValueError("no score")
    return float(value)


def _hash(value: object) -> str:
    if not isinstance(value, str) or _HEX.fullmatch(value) is None:
        raise ValueError(f"no hash of {HASH_BYTES} bytes")
    return value
