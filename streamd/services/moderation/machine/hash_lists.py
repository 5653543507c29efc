"""Lists of hashes of pictures that are known: text files, as those who keep such lists exchange them.

A line is a PDQ hash, 64 hexadecimal digits; what stands behind a comma or a space (threatexchange's quality, say) is
left out. ``#`` begins a comment. A comment ``# category: PROTECTION_OF_MINORS`` names the category of the Digital
Services Act for the lines behind it.

A line that is no hash is left out and told of, and the others stand: a list of a million with one torn line has to go
on working.

Spec: PDQ (Meta, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", 2019), section 5.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from streamd.services.moderation.categories import Category

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

HASH_BYTES: Final = 32
"""256 bits."""
DISTANCE_MAX: Final = 31
"""Hashes that differ in so many bits or fewer are of one picture, as threatexchange counts them."""
QUALITY_MIN: Final = 50
"""Of 100: the hash of a picture with less in it (a blank wall, a fade) says nothing, and is compared with none."""
# 32 MB, of which a search reads all, in 25 ms of a processor. The largest lists that are exchanged have some hundred
# thousand.
HASHES_MAX = 1_000_000
# A million lines with what some lists have behind the hashes.
LIST_BYTES_MAX = 512 * 1024 * 1024
# A line of a list that somebody exchanges is under 200; a longer one is no hash, and is not kept whole.
LINE_LENGTH_MAX = 1024
# Of a line that does not end; what comes behind counts as further lines.
READ_BYTES = 64 * 1024
# How many lines of a list that are none are told of by number.
FAULTS_TOLD_MAX = 5

_HASH = re.compile(rb"([0-9A-Fa-f]{64})(?![0-9A-Fa-f])")
_CATEGORY = re.compile(rb"#\s*category\s*:\s*([A-Z_]+)\s*", re.ASCII)


@dataclass(slots=True)
class HashList:
    """The hashes of one file."""

    name: str
    """Of the file, without its folder."""
    hashes: bytearray = field(default_factory=bytearray)
    """``HASH_BYTES`` each, big-endian as the digits are."""
    categories: list[tuple[int, Category]] = field(default_factory=list)
    """From which hash on they are of a category, by its number in this list."""
    faults: list[str] = field(default_factory=list)
    """What is wrong with it, at most ``FAULTS_TOLD_MAX`` and one more; in words for the operator."""
    bad_lines: int = 0
    """How many lines are no hash."""

    @property
    def count(self) -> int:
        """How many hashes it has."""
        return len(self.hashes) // HASH_BYTES

    def category_of(self, number: int) -> Category:
        """The category of a hash.

        Args:
            number: Of the hash, from 0.
        """
        found = Category.NOT_SPECIFIED_NOTICE
        for first, category in self.categories:
            if first > number:
                break
            found = category
        return found


def parse_hash(text: str) -> bytes:
    """Read one hash.

    Raises:
        ValueError: It is none; the text says what is wrong with it.
    """
    digits = text.strip()
    if len(digits) % 2:
        raise ValueError(f"a hash of {len(digits)} hexadecimal digits: an odd number, where PDQ has 64")
    if not re.fullmatch(r"[0-9A-Fa-f]*", digits):
        raise ValueError("a hash has hexadecimal digits alone")
    if len(digits) != 2 * HASH_BYTES:
        raise ValueError(f"a hash of {len(digits)} hexadecimal digits, where PDQ has 64")
    return bytes.fromhex(digits)


def distance(one: bytes, other: bytes) -> int:
    """In how many bits two hashes differ (Hamming)."""
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def read_list(name: str, lines: Iterable[bytes], room: int = HASHES_MAX) -> HashList:
    """Read a list.

    Args:
        name: Of the file.
        lines: Of it; at most ``LINE_LENGTH_MAX`` bytes of each are looked at.
        room: How many hashes are taken at most.
    """
    found = HashList(name)
    for number, line in enumerate(lines, 1):
        # Some lists begin with a byte order mark.
        text = line[:LINE_LENGTH_MAX].strip().removeprefix(b"\xef\xbb\xbf")
        if (match := _HASH.match(text)) is not None:
            if found.count >= room:
                found.faults.append(f"line {number}: more than {HASHES_MAX} hashes in all, the rest is left out")
                break
            found.hashes += bytes.fromhex(match[1].decode())
        elif text.startswith(b"#"):
            _note_category(found, number, text)
        elif text:
            found.bad_lines += 1
            _note_fault(found, f"line {number}: {_what_is_wrong(text)}")
    return found


def read_lists(paths: Sequence[Path]) -> list[HashList]:
    """Read all lists; blocks for some 2 s where they have a million hashes.

    Returns:
        One for each path; one without hashes and with a fault for a file that cannot be read.
    """
    lists: list[HashList] = []
    for path in paths:
        room = HASHES_MAX - sum(each.count for each in lists)
        try:
            lists.append(_read_file(path, room))
        except OSError as exc:
            lists.append(HashList(path.name, faults=[exc.strerror or type(exc).__name__]))
    return lists


def _read_file(path: Path, room: int) -> HashList:
    # A pipe that nobody writes to is waited for until the end of time.
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        return HashList(path.name, faults=["it is no file"])
    if status.st_size > LIST_BYTES_MAX:
        return HashList(path.name, faults=[f"it has {status.st_size} bytes, and {LIST_BYTES_MAX} is the most"])
    with path.open("rb") as file:
        return read_list(path.name, iter(partial(file.readline, READ_BYTES), b""), room)


def _note_category(found: HashList, number: int, text: bytes) -> None:
    if (match := _CATEGORY.fullmatch(text)) is None:
        return
    try:
        found.categories.append((found.count, Category(match[1].decode())))
    except ValueError:
        _note_fault(found, f"line {number}: {match[1].decode()} is no category of the Digital Services Act")


def _note_fault(found: HashList, fault: str) -> None:
    if len(found.faults) < FAULTS_TOLD_MAX:
        found.faults.append(fault)


def _what_is_wrong(text: bytes) -> str:
    try:
        parse_hash(re.split(rb"[,\s]", text, maxsplit=1)[0].decode("ascii", "replace"))
    except ValueError as exc:
        return str(exc)
    return "no hash"
