"""A configuration that is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamd.config import (
    load_config,
)
from streamd.errors import ConfigError


def faults(path: Path | None = None, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path, environ=environ)
    return caught.value.faults
