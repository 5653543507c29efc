"""Files of keys from elsewhere: CSV or JSON lines, each key with the line that it is on. No fault repeats a secret."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from streamd.errors import ImportRefusedError
from streamd.services.keys.foreign_key import ForeignKey

# A hundred thousand keys are 10 MB.
FILE_BYTES_MAX = 64 * 1024 * 1024
COLUMNS = ("user", "secret", "label", "expires")
"""The columns of a CSV file without a line that names them."""
# The names that other services have for them.
_NAMES = {
    "user": "user",
    "name": "user",
    "channel": "user",
    "secret": "secret",
    "key": "secret",
    "stream_key": "secret",
    "secret_sha256": "secret_sha256",
    "sha256": "secret_sha256",
    "label": "label",
    "expires": "expires_at",
    "expires_at": "expires_at",
}
_KNOWN_NAMES = ", ".join(_NAMES)
_HASH_PREFIX = "sha256:"


def read_keys(data: bytes) -> list[ForeignKey]:
    """Read a file.

    Args:
        data: UTF-8; JSON lines where it begins with ``{``, else CSV with commas, semicolons or tabs. The first line of
            a CSV file may name its columns; without, they are ``COLUMNS``.

    Raises:
        ImportRefusedError: Lines that cannot be read, all of them.
    """
    if len(data) > FILE_BYTES_MAX:
        raise ImportRefusedError([f"the file has more than {FILE_BYTES_MAX >> 20} MiB"])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise ImportRefusedError([f"line {line}: this is not UTF-8"]) from exc
    rows = _json_lines(text) if text.lstrip().startswith("{") else _csv(text)
    keys: list[ForeignKey] = []
    faults: list[str] = []
    for line, row in rows:
        try:
            keys.append(_key_of(row, line))
        except ValueError as exc:
            faults.append(f"line {line}: {exc}")
    if not keys and not faults:
        faults.append("the file has no keys in it")
    if faults:
        raise ImportRefusedError(faults)
    return keys


def _json_lines(text: str) -> Iterator[tuple[int, Mapping[str, object] | ValueError]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            yield number, ValueError("this is not JSON")
            continue
        yield number, row if isinstance(row, dict) else ValueError("this is not a JSON object")


def _csv(text: str) -> Iterator[tuple[int, Mapping[str, object] | ValueError]]:
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    while True:
        # A cell in quotes may have line ends in it.
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield line, ValueError("this is not CSV: a quote is open or stands inside a cell")
            return
        if not any(cell.strip() for cell in cells):
            continue
        if names is None:
            names = [cell.strip().lower() for cell in cells]
            if "user" in names or {_NAMES.get(name) for name in names} >= {"user", "secret"}:
                if not set(names) <= set(_NAMES):
                    # Not which: it may be a secret that stands in the wrong place.
                    yield line, ValueError(f"a column is unknown; there are {_KNOWN_NAMES}")
                    return
                continue
            names = list(COLUMNS)
        if len(cells) > len(names):
            yield line, ValueError(f"there are {len(cells)} cells, and {len(names)} columns")
            continue
        yield line, dict(zip(names, cells, strict=False))


def _key_of(row: Mapping[str, object] | ValueError, line: int) -> ForeignKey:
    if isinstance(row, ValueError):
        raise row
    found: dict[str, str] = {}
    for given, value in row.items():
        name = _NAMES.get(given)
        if name is None:
            raise ValueError(f"a name is unknown; there are {_KNOWN_NAMES}")
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{given} is not text")
        if value:
            found[name] = value if name == "secret" else value.strip()
    secret, sha256 = found.get("secret"), found.get("secret_sha256")
    if secret is not None and sha256 is None and secret.startswith(_HASH_PREFIX):
        sha256 = secret.removeprefix(_HASH_PREFIX).strip()
        secret = None
    return ForeignKey(
        user=found.get("user", ""),
        secret=secret,
        secret_sha256=sha256,
        label=found.get("label", ""),
        expires_at=_instant(found["expires_at"]) if "expires_at" in found else None,
        line=line,
    )


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("write the expiry as 2027-01-31 or 2027-01-31T18:00:00Z") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
