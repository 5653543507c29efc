"""Build hook: brings the player, and for a wheel compiles the way of a frame.

A build without a network still succeeds, with a warning: the watch page then plays in browsers that play HLS by
themselves, and names the missing player in the others. ``STREAMD_REQUIRE_PLAYER=1`` turns the warning into an error,
for builds that are to be published.

A build without a C compiler, or without Python's headers, is a wheel of Python alone, with a warning: it does the same;
compiled, a publisher costs two fifths less CPU. ``STREAMD_COMPILE=1`` turns the warning into an error, and
``STREAMD_COMPILE=0`` leaves it at Python. pip shows nobody the warning, so ``streamd/process/build.json`` in the wheel
has it, and the server says it at its start. An editable install runs the ``.py``.

``STREAMD_WHEEL_PLATFORM`` names the platform of the wheel, such as ``manylinux_2_28_aarch64``, where the compiler that
``CC`` names makes modules for another than this machine's: ``packaging/build_release.py`` sets both.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Hatch loads this file by its path, which tells Python nothing of the files beside it.
sys.path.insert(0, str(Path(__file__).parent))

from compile_modules import CompileError, compile_modules, modules_to_compile
from fetch_player import FetchError, fetch_player, find_npm, is_current


class BuildHook(BuildHookInterface[BuilderConfig]):
    """Makes the files that sdist, wheel and editable install contain beside the sources."""

    PLUGIN_NAME = "custom"

    _build_dir: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fill the vendor directory where it is not current; for a wheel, compile. Or warn."""
        self._bring_player()
        if self.target_name == "wheel" and version == "standard":
            self._build_dir = tempfile.TemporaryDirectory(prefix="streamd-build-")
            is_chosen = os.environ.get("STREAMD_COMPILE", "") == "0"
            fault = "it was built with STREAMD_COMPILE=0" if is_chosen else self._compile(build_data)
            self._note(build_data, fault, is_chosen=is_chosen)

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

    def _compile(self, build_data: dict[str, Any]) -> str:
        """Compile, and say why that failed; empty where it did not."""
        assert self._build_dir is not None
        try:
            made = compile_modules(Path(self.root), Path(self._build_dir.name) / "modules")
        except CompileError as exc:
            if os.environ.get("STREAMD_COMPILE", "") == "1":
                raise
            self.app.display_warning(
                f"streamd: the way of a frame was not compiled. {exc}\n"
                "streamd: this build works without it; compiled, a publisher costs two fifths less CPU. Install a C "
                "compiler and Python's headers (Debian: gcc python3-dev), and build again."
            )
            return str(exc)
        build_data["force_include"] |= {str(path): str(name) for name, path in made.items()}
        build_data["pure_python"] = False
        platform = os.environ.get("STREAMD_WHEEL_PLATFORM", "")
        if platform:
            python = f"cp{sys.version_info.major}{sys.version_info.minor}"
            build_data["tag"] = f"{python}-{python}-{platform}"
        else:
            build_data["infer_tag"] = True
        return ""

    def _note(self, build_data: dict[str, Any], fault: str, *, is_chosen: bool) -> None:
        """Leave in the wheel what ``streamd.process.compiled`` reads."""
        assert self._build_dir is not None
        modules = [".".join(path.with_suffix("").parts) for path in modules_to_compile(Path(self.root))]
        note = Path(self._build_dir.name) / "build.json"
        note.write_text(json.dumps({"modules": modules, "fault": fault, "chosen": is_chosen}, indent=1) + "\n", "utf-8")
        build_data["force_include"][str(note)] = "streamd/process/build.json"
