"""The country of an address, by the operator's own database.

MaxMind's format, which DB-IP Lite and GeoLite2 Country come in. A file that is missing or broken makes every country an
unknown one, and is told of.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)


class Countries:
    """Tells countries; ``open`` and ``close`` it.

    Args:
        path: The file; None for none.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._reader: Any = None

    def open(self) -> None:
        """Open the file, and say so where that fails."""
        if self._path is None:
            return
        try:
            import maxminddb
        except ImportError:
            log.error("countries.unknown", extra={"detail": "pip install 'streamd[geoip]' reads [playback] geoip_file"})
            return
        try:
            # Mapped into memory: a look-up is a few pages, and copies nothing.
            self._reader = maxminddb.open_database(str(self._path))
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as exc:
            log.error("countries.unknown", extra={"file": str(self._path), "reason": str(exc)})

    def close(self) -> None:
        """Close the file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    @property
    def is_known(self) -> bool:
        """Whether there is a database that tells them."""
        return self._reader is not None

    def of(self, address: str) -> str:
        """The country of an address, two capital letters; empty where it is not known."""
        if self._reader is None:
            return ""
        try:
            found = self._reader.get(address)
        except (ValueError, TypeError, OSError, KeyError, IndexError):
            return ""
        if isinstance(found, dict):
            for name in ("country", "registered_country"):
                country = found.get(name)
                code = country.get("iso_code") if isinstance(country, dict) else None
                if isinstance(code, str):
                    return code.upper()
        return ""
