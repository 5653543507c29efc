"""Compiles the way of a frame with Cython.

A module with a ``.pxd`` of its name beside it is compiled: the ``.pxd`` declares the attributes of its classes, the
``.py`` is the same either way. ``python packaging/compile_modules.py`` compiles in the source tree, for measuring and
for testing the installed form.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path


class CompileError(Exception):
    """The modules could not be compiled; the message says why."""


# Python's rules that matter hold: an index out of range and an attribute of None are exceptions, and integers are
# divided towards minus infinity. Annotations are for a type checker alone; the .pxd has the types of C.
COMPILER_DIRECTIVES = {"language_level": 3, "annotation_typing": False, "nonecheck": True, "initializedcheck": False}
# The end of a failed compiler's output names the fault.
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
        build_dir: An empty directory; made where it is not there.

    Returns:
        The modules made, by path in the source tree, with their present places.

    Raises:
        CompileError: There is no compiler, or it failed.
    """
    modules = modules_to_compile(root)
    build_dir.mkdir(exist_ok=True)
    # An __init__.py tells the compiler that a folder is a package, and a .pxd without a module declares C alone.
    others = [path for name in ("__init__.py", "*.pxd") for path in (root / "streamd").rglob(name)]
    for name in {*modules, *(path.relative_to(root) for path in others)}:
        (build_dir / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, build_dir / name)
    done = subprocess.run(  # noqa: S603 - our own arguments, no shell
        [sys.executable, str(Path(__file__).resolve()), "--in-place", *map(str, modules)],
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
    # Only the build's environment has both: an installed streamd needs neither.
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


if __name__ == "__main__":
    if sys.argv[1:2] == ["--in-place"]:
        _compile_here(sys.argv[2:])
    else:
        _compile_source_tree(Path(__file__).resolve().parent.parent)
