"""Builds what a release publishes, and uploads nothing: sdist, wheels and portable archives, and their hashes.

    python packaging/build_release.py [--output dist] [--python PYTHON]... [--arch ARCH]... [--twice] [--allow-missing]
                                      [--url URL | --no-url]

A build has what is committed, and nothing else that lies in the tree. The tools come from
``packaging/release-requirements.txt``, which pins them by hash. Zig compiles (``portable_cc.py``), against the C
library of ``GLIBC``, for this processor and for others; ``auditwheel`` then sees that each wheel is what its name says.
``--twice`` builds all of it again elsewhere and compares the bytes. ``portable.py`` makes an archive of each wheel.

The metadata names where the project is published: what the remote ``origin`` is, or ``--url``. Without either nothing
is built, unless ``--no-url`` says that the files are not to be published.

A Python is needed for its headers, one of each version, and it may be this processor's: those of a version are the same
on the processors that we build for, but for what they say of Python's own build.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
ARCHES = ("x86_64", "aarch64")
# PyAV's wheels want the same, so an older one would help nobody.
GLIBC = (2, 28)
REQUIREMENTS = ROOT / "packaging" / "release-requirements.txt"
# The longest step is a compilation: four minutes on two busy cores.
STEP_TIMEOUT_S = 1800


class ReleaseError(Exception):
    """Something of the release could not be built; the message says what."""


def platform_of(arch: str) -> str:
    """The wheel's platform tag (PEP 600)."""
    return f"manylinux_{GLIBC[0]}_{GLIBC[1]}_{arch}"


def origin() -> str:
    """The address of the repository's remote ``origin``; empty where it has none."""
    try:
        return run(["git", "remote", "get-url", "origin"], cwd=ROOT).strip()
    except ReleaseError:
        return ""


def published_at(remote: str) -> str:
    """The address of a repository for people, from the one that Git fetches from.

    Args:
        remote: ``https://host/owner/name.git``, ``ssh://git@host/owner/name.git`` or ``git@host:owner/name.git``.

    Raises:
        ReleaseError: It is a path, or no address that others could open.
    """
    short = re.fullmatch(r"[\w.-]+@([\w.-]+):([^/].*)", remote)
    url = urlsplit(f"ssh://{short[1]}/{short[2]}" if short else remote)
    host = url.hostname or ""
    if url.scheme not in ("https", "http", "ssh", "git") or "." not in host or re.fullmatch(r"[\d.]+", host):
        raise ReleaseError(
            f"{remote or 'origin'} is no address at which others find the project: give --url, or --no-url for files "
            "that are not to be published"
        )
    return f"https://{host}{url.path.removesuffix('/').removesuffix('.git')}"


def environment_for(arch: str, python: Path, cache: Path) -> dict[str, str]:
    """The environment that a build is told of.

    Args:
        arch: Processor, as wheels name it.
        python: Of the venv with the tools.
        cache: A directory that Zig keeps what it built of the C library in.
    """
    suffix = _ask(python, "import sysconfig; print(sysconfig.get_config_var('SOABI').rsplit('-', 3)[0])")
    compiler = f"{python} {ROOT / 'packaging' / 'portable_cc.py'}"
    return {
        "CC": compiler,
        "LDSHARED": f"{compiler} -shared",
        "STREAMD_TARGET": f"{arch}-linux-gnu.{GLIBC[0]}.{GLIBC[1]}",
        "SETUPTOOLS_EXT_SUFFIX": f".{suffix}-{arch}-linux-gnu.so",
        "STREAMD_COMPILE": "1",
        "STREAMD_REQUIRE_PLAYER": "1",
        "STREAMD_WHEEL_PLATFORM": platform_of(arch),
        "ZIG_GLOBAL_CACHE_DIR": str(cache),
        "ZIG_LOCAL_CACHE_DIR": str(cache),
    }


def check_wheel(python: Path, wheel: Path) -> None:
    """See that a wheel needs no more of a system than its name says.

    Raises:
        ReleaseError: It does, or is no wheel that auditwheel can judge.
    """
    said = run([python, "-m", "auditwheel", "show", wheel])
    platform = wheel.stem.rsplit("-", 1)[1]
    # auditwheel names the strictest that holds: an older C library's is as good.
    words = " ".join(said.split())
    consistent = words.partition("is consistent with the following platform tag: ")[2].split('"')
    found = consistent[1] if len(consistent) > 1 else ""
    if not is_covered(found, platform):
        raise ReleaseError(f"{wheel.name} is not what it says: {words}")


def is_covered(found: str, named: str) -> bool:
    """Tell whether a wheel of the platform ``found`` runs wherever one of ``named`` does."""
    versions = [platform.split("_", 3) for platform in (found, named)]
    if any(len(parts) != 4 or parts[0] != "manylinux" for parts in versions):
        return False
    (_, found_major, found_minor, found_arch), (_, named_major, named_minor, named_arch) = versions
    return found_arch == named_arch and (int(found_major), int(found_minor)) <= (int(named_major), int(named_minor))


def run(command: Sequence[object], cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> str:
    """Run a step and return what it printed on stdout.

    Raises:
        ReleaseError: It failed.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments, no shell
            [str(part) for part in command],
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=STEP_TIMEOUT_S,
            check=False,
            encoding="utf-8",
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise ReleaseError(f"{command[0]}: {exc}") from exc
    if done.returncode != 0:
        raise ReleaseError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def find_pythons(named: Sequence[str]) -> dict[str, Path]:
    """Find an interpreter of each version: those that are named, or what ``PATH`` has.

    Returns:
        The interpreters by version; a version without one is not in it.
    """
    found: dict[str, Path] = {}
    for candidate in named or [f"python{version}" for version in PYTHONS]:
        path = shutil.which(candidate)
        if path is None:
            continue
        try:
            version = _ask(Path(path), "import sys; print('%d.%d' % sys.version_info[:2])")
        except ReleaseError:
            # A name on PATH may lead to none, as those of version managers.
            continue
        if version in PYTHONS:
            found.setdefault(version, Path(path))
    return found


def make_tools(python: Path, directory: Path) -> Path:
    """Make a venv with the tools, pinned by hash.

    Returns:
        Its interpreter.
    """
    run([python, "-m", "venv", directory])
    inside = directory / "bin" / "python"
    run([inside, "-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary=:all:", "-r", REQUIREMENTS])
    return inside


def build(
    commit: str, pythons: Mapping[str, Path], arches: Sequence[str], work: Path, cache: Path, packages: Path
) -> list[Path]:
    """Build the sdist, and from it every wheel, and of each an archive.

    Args:
        commit: What is built; a branch may go on meanwhile.
        pythons: Interpreters of venvs with the tools, by version.
        arches: Processors.
        work: An empty directory.
        cache: Zig's.
        packages: Keeps wheels of others, which archives contain.

    Returns:
        The files, the sdist first.
    """
    tree, output = work / "tree", work / "dist"
    tree.mkdir(parents=True)
    archive = work / "tree.tar"
    run(["git", "archive", "--output", archive, commit], cwd=ROOT)
    with tarfile.open(archive) as members:
        members.extractall(tree, filter="data")
    first = next(iter(pythons.values()))
    run([first, "-m", "hatchling", "build", "-t", "sdist", "-d", output], tree, {"STREAMD_REQUIRE_PLAYER": "1"})
    (sdist,) = output.glob("*.tar.gz")
    with tarfile.open(sdist) as members:
        members.extractall(work, filter="data")
    source = work / sdist.name.removesuffix(".tar.gz")
    made = [sdist]
    for version, python in pythons.items():
        for arch in arches:
            before = {*output.iterdir()}
            command = [python, "-m", "hatchling", "build", "-t", "wheel", "-d", output]
            run(command, source, environment_for(arch, python, cache))
            (wheel,) = {*output.iterdir()} - before
            check_wheel(python, wheel)
            print(f"built {wheel.name} with Python {version}", flush=True)
            portable = [python, ROOT / "packaging" / "portable.py", wheel, "--wheels", packages, "--output", output]
            made += [wheel, Path(run(portable).strip())]
    return made


def differences(ones: Sequence[Path], others: Sequence[Path]) -> list[str]:
    """Names of the files of two builds that are not the same bytes, or only in one of them."""
    first, second = ({path.name: path.read_bytes() for path in paths} for paths in (ones, others))
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


def main(arguments: Sequence[str]) -> int:
    """Build a release.

    Returns:
        Exit status: 0 when all is there, 1 when something is missing, failed or differs.
    """
    parser = argparse.ArgumentParser(description="Build the sdist and the wheels of a release.")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="a directory; default: dist")
    parser.add_argument("--python", action="append", default=[], help="an interpreter; default: python3.11 and later")
    parser.add_argument("--arch", action="append", choices=ARCHES, help="a processor; default: all")
    parser.add_argument("--twice", action="store_true", help="build again elsewhere, and compare the bytes")
    parser.add_argument("--allow-missing", action="store_true", help="build what can be built without a Python of each")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", help="where the project is published; default: the remote origin")
    where.add_argument("--no-url", action="store_true", help="name no address: the files are not to be published")
    options = parser.parse_args(arguments)
    try:
        # The steps inherit it, and the metadata hook reads it.
        os.environ["STREAMD_PROJECT_URL"] = "" if options.no_url else published_at(options.url or origin())
    except ReleaseError as exc:
        print(f"build_release: {exc}", file=sys.stderr)
        return 1
    found = find_pythons(options.python)
    missing = [version for version in PYTHONS if version not in found]
    if missing:
        print(f"no interpreter of Python {', '.join(missing)}: no wheel for it", file=sys.stderr)
        if not options.allow_missing or not found:
            return 1
    arches = options.arch or list(ARCHES)
    with tempfile.TemporaryDirectory(prefix="streamd-release-") as directory:
        work = Path(directory)
        cache = work / "zig"
        try:
            commit = run(["git", "rev-parse", "HEAD"], cwd=ROOT).strip()
            tools = {version: make_tools(python, work / f"tools{version}") for version, python in found.items()}
            packages = work / "packages"
            made = build(commit, tools, arches, work / "once", cache, packages)
            if options.twice:
                differing = differences(
                    made, build(commit, tools, arches, work / "elsewhere" / "again", work / "zig-again", packages)
                )
                if differing:
                    raise ReleaseError(f"two builds differ: {', '.join(differing)}")
                print("a second build has the same bytes")
        except ReleaseError as exc:
            print(f"build_release: {exc}", file=sys.stderr)
            return 1
        options.output.mkdir(parents=True, exist_ok=True)
        for path in made:
            shutil.copyfile(path, options.output / path.name)
        sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(made)]
        (options.output / "SHA256SUMS").write_text("".join(sums), "ascii")
    return 0


def _ask(python: Path, question: str) -> str:
    return run([python, "-c", question]).strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
