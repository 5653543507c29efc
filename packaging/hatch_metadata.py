"""Metadata hook: where the project is published, as the builder of a release says it.

The source names no address, as it is true wherever it lies. ``packaging/build_release.py`` takes the address from the
repository that a release is built from, and gives it in ``STREAMD_PROJECT_URL``; other builds name none.
"""

from __future__ import annotations

import os
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

VARIABLE = "STREAMD_PROJECT_URL"


class MetadataHook(MetadataHookInterface):
    """Adds ``project.urls``."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Name the address, if the builder does."""
        if url := os.environ.get(VARIABLE):
            metadata["urls"] = {"Source": url}
