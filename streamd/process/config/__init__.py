"""The configuration: one TOML file, the environment over it, every fault at once.

Only the process floor sees the whole of it: every service takes its own small options.
"""

from __future__ import annotations

from streamd.process.config.load import find_config, load_config
from streamd.process.config.report import MASK, config_text, default_config_text, masked_url, secrets_of
from streamd.process.config.sections import Config, HttpConfig, RtmpConfig
from streamd.process.config.values import ListenAddress

__all__ = [
    "MASK",
    "Config",
    "HttpConfig",
    "ListenAddress",
    "RtmpConfig",
    "config_text",
    "default_config_text",
    "find_config",
    "load_config",
    "masked_url",
    "secrets_of",
]
