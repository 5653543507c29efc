"""Lists of blocks: CSV, JSON lines, or names alone, one a line; read a line at a time.

A line that cannot be read is told with its number, and the lines behind it are read all the same.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from streamd.errors import ModerationStateError
from streamd.services.moderation.acts.block import BlockKind

if TYPE_CHECKING:
    from collections.abc import Iterator

# 100,000 lines of 160 bytes; it is in memory while it is read.
LIST_BYTES_MAX: Final = 16 * 1024 * 1024
# Of one line: a reason of 500 characters, escaped.
LINE_CHARS_MAX: Final = 8 * 1024
COLUMNS: Final = ("kind", "value", "scope", "countries", "until", "order", "reason")


@dataclass(frozen=True, slots=True)
class GivenBlock:
    """One line of a list."""

    line: int
    """Its number, from 1."""
    value: str = ""
    kind: str = BlockKind.CHANNEL.value
    scope: str = ""
    countries: tuple[str, ...] = ()
    until: datetime | None = None
    order: str = ""
    reason: str = ""
    fault: str = ""
    """Why it cannot be read; empty where it can."""


def read_list(data: bytes) -> Iterator[GivenBlock]:
    """Read a list: JSON lines where its first line is JSON, else CSV, or names alone.

    Args:
        data: UTF-8, with a byte order mark or without.

    Raises:
        ModerationStateError: It is too long, or no text.
    """
    if len(data) > LIST_BYTES_MAX:
        raise ModerationStateError(f"the list has {len(data):,} bytes, {LIST_BYTES_MAX:,} are read: send it in parts")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ModerationStateError(f"the list is not UTF-8 (byte {exc.start})") from None
    is_json = text.lstrip()[:1] in ("{", '"')
    return _read_json(text) if is_json else _read_csv(text)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, with their numbers; nothing of the text is copied but the line."""
    start, number = 0, 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        number += 1
        line = text[start : min(end, start + LINE_CHARS_MAX + 2)].strip()
        start = end + 1
        if line and not line.startswith("#"):
            yield number, line


def _read_json(text: str) -> Iterator[GivenBlock]:
    for number, line in _lines(text):
        yield _of_json(number, line)


def _of_json(number: int, line: str) -> GivenBlock:
    if len(line) > LINE_CHARS_MAX:
        return GivenBlock(number, fault=f"it has more than {LINE_CHARS_MAX} characters")
    try:
        found = json.loads(line, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return GivenBlock(number, fault="this is no JSON object with each name once")
    if isinstance(found, str):
        return GivenBlock(number, found)
    if not isinstance(found, dict) or not found.keys() <= {*COLUMNS}:
        return GivenBlock(number, fault=f"a JSON object has {', '.join(COLUMNS)}")
    countries = found.pop("countries", None) or []
    if isinstance(countries, str):
        countries = countries.replace(",", " ").split()
    texts = {name: "" if value is None else value for name, value in found.items()}
    if not isinstance(countries, list) or not all(isinstance(each, str) for each in (*countries, *texts.values())):
        return GivenBlock(number, fault="countries is a list of texts, and all else a text")
    return _of_texts(number, texts, tuple(countries))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _read_csv(text: str) -> Iterator[GivenBlock]:
    columns: tuple[str, ...] | None = None
    for number, line in _lines(text):
        if len(line) > LINE_CHARS_MAX:
            yield GivenBlock(number, fault=f"it has more than {LINE_CHARS_MAX} characters")
            continue
        try:
            # A field of ours has no line break, so that a line is a row, and a quote that is left open ends with it.
            cells = [cell.strip() for cell in next(csv.reader([line], strict=True))]
        except (csv.Error, StopIteration):
            yield GivenBlock(number, fault="this is no row of CSV")
            continue
        if columns is None:
            heads = tuple(cell.lower() for cell in cells)
            if "value" in heads and set(heads) <= {*COLUMNS}:
                columns = heads
                continue
            # Without a line of names: names of channels alone, or all columns in their order.
            columns = ("value",) if len(cells) == 1 else COLUMNS
        if len(cells) > len(columns):
            yield GivenBlock(number, fault=f"it has {len(cells)} fields, {len(columns)} are named")
            continue
        texts = dict(zip(columns, cells, strict=False))
        countries = tuple(texts.pop("countries", "").replace(",", " ").split())
        yield _of_texts(number, texts, countries)


def _of_texts(number: int, texts: dict[str, str], countries: tuple[str, ...]) -> GivenBlock:
    until: datetime | None = None
    if text := texts.pop("until", ""):
        try:
            until = datetime.fromisoformat(text)
        except ValueError:
            return GivenBlock(number, fault="until is written as 2026-07-28T12:00:00Z")
        if until.tzinfo is None:
            return GivenBlock(number, fault="until needs its zone, such as Z")
        try:
            until = until.astimezone(UTC)
        except OverflowError:
            # No database takes it, and a list is written as a whole.
            return GivenBlock(number, fault="until lies between the years 1 and 9999 in UTC")
    kind = texts.pop("kind", "") or BlockKind.CHANNEL.value
    return GivenBlock(number, kind=kind, countries=countries, until=until, **texts)
