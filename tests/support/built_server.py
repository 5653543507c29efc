"""Configurations for servers that tests put together in their own process, on free loopback ports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamd.process.config import Config

if TYPE_CHECKING:
    from pathlib import Path

ANY_PORT = "127.0.0.1:0"


def config_of(data_dir: Path, **sections: dict[str, Any]) -> Config:
    """A configuration with a data directory of its own, that listens wherever there is room.

    Args:
        data_dir: Where keys are kept.
        sections: Further settings, by section.
    """
    values: dict[str, dict[str, Any]] = {
        "server": {"data_dir": str(data_dir)},
        "rtmp": {"listen": ANY_PORT},
        "http": {"listen": ANY_PORT},
        "admin": {"listen": ANY_PORT},
    }
    for name, settings in sections.items():
        values[name] = values.get(name, {}) | settings
    return Config.model_validate(values)
