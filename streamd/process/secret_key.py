"""The file with the key under which secrets lie in the database."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from streamd.errors import SecretsError
from streamd.services.restream.secret_box import SecretBox, new_secret_key, read_keys
from streamd.services.whole_file import replace_file

if TYPE_CHECKING:
    from pathlib import Path

# A key has 44 characters.
_FILE_BYTES_MAX = 8192
_HEAD = "# streamd: the key under which secrets lie in the database. Keep a copy apart from that of the database.\n"


def load_secret_box(path: Path) -> SecretBox:
    """Open the box; where there is no file, one is made with a new key.

    Raises:
        SecretsError: The file cannot be read or made, others can read it, or it has no keys.
    """
    return SecretBox(load_keys(path))


def load_keys(path: Path) -> list[str]:
    """Read the keys; where there is no file, one is made with a new key.

    Raises:
        SecretsError: As ``load_secret_box``.
    """
    try:
        if not path.exists():
            keep_keys(path, [new_secret_key()])
        with path.open(encoding="ascii") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise SecretsError(f"{path} can be read by others; run: chmod 600 {path}")
            return read_keys(file.read(_FILE_BYTES_MAX))
    except (OSError, UnicodeDecodeError) as exc:
        raise SecretsError(f"{path} cannot be read or made: {exc}") from exc


def keep_keys(path: Path, keys: list[str]) -> None:
    """Write the file anew, for us alone.

    Raises:
        SecretsError: The disk does not take it; what was there stays.
    """
    try:
        replace_file(path, (_HEAD + "".join(f"{key}\n" for key in keys)).encode())
    except OSError as exc:
        raise SecretsError(f"{path} cannot be written: {exc.strerror}") from exc
