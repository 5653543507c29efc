"""Build hook: brings the player, and for a wheel compiles the way of a frame.

A build without a network still succeeds, with a warning: the watch page then plays in browsers that play HLS by
themselves, and names the missing player in the others. ``STREAMD_REQUIRE_PLAYER=1`` turns the warning into an error,
for builds that are to be published.

A build without a C compiler, or without Python's headers, is a wheel of Python alone, with a warning: it does the same
and a publisher costs it two thirds more CPU. ``STREAMD_COMPILE=1`` turns the warning into an error, and
``STREAMD_COMPILE=0`` leaves it at Python. An editable install runs the ``.py``.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Hatch loads this file by its path, which tells Python nothing of the files beside it.
sys.path.insert(0, str(Path(__file__).parent))

from compile_modules import CompileError, compile_modules
from fetch_player import FetchError, fetch_player, find_npm, is_current


class BuildHook(BuildHookInterface[BuilderConfig]):
    """Makes the files that sdist, wheel and editable install contain beside the sources."""

    PLUGIN_NAME = "custom"

    _build_dir: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fill the vendor directory where it is not current; for a wheel, compile. Or warn."""
        self._bring_player()
        if self.target_name == "wheel" and version == "standard" and os.environ.get("STREAMD_COMPILE", "") != "0":
            self._compile(build_data)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Forget the directory that was compiled in."""
        if self._build_dir is not None:
            self._build_dir.cleanup()

    def _bring_player(self) -> None:
        root = Path(self.root)
        if is_current(root):
            return
        try:
            fetch_player(root, find_npm())
        except FetchError as exc:
            if os.environ.get("STREAMD_REQUIRE_PLAYER", "") not in ("", "0"):
                raise
            self.app.display_warning(
                f"streamd: the web player (hls.js) was not fetched from npm. {exc}\n"
                "streamd: this build works without it; the watch page plays only in browsers that play "
                "HLS by themselves. Build again with a network to add it."
            )

    def _compile(self, build_data: dict[str, Any]) -> None:
        self._build_dir = tempfile.TemporaryDirectory(prefix="streamd-build-")
        try:
            made = compile_modules(Path(self.root), Path(self._build_dir.name))
        except CompileError as exc:
            if os.environ.get("STREAMD_COMPILE", "") == "1":
                raise
            self.app.display_warning(
                f"streamd: the way of a frame was not compiled. {exc}\n"
                "streamd: this build works without it; a publisher costs two thirds more CPU. Install a C compiler and "
                "Python's headers (Debian: gcc python3-dev), and build again."
            )
            return
        build_data["force_include"] |= {str(path): str(name) for name, path in made.items()}
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
