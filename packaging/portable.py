"""Makes an archive of a wheel and all that it needs: unpacked anywhere, it runs with a Python that is there already.

    python packaging/portable.py dist/streamd-….whl [--python PYTHON] [--output dist] [--wheels DIRECTORY]

``streamd-VERSION-linux-ARCH-cpXY.tar.gz`` holds ``streamd``, which finds the Python, a link to it in ``bin``, and
``lib``: the wheel and the packages that ``constraints.txt`` pins for it, each checked by its hash, with their bytecode.
What operators may add is there but for the machine's part in moderation, which is ten times as large as all the rest.

Bytecode is compiled here and never compared with its source again ("unchecked hash", PEP 552), so a start writes
nothing and looks at no time stamp. Equal wheels make equal bytes. ``--python`` is of the version that the wheel is for,
and has pip and packaging; it compiles, and asks the package index for what is not in ``--wheels``.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from pathlib import Path, PurePosixPath

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
# "moderation" is left out: 330 MB.
EXTRAS = frozenset({"postgresql", "storage", "geoip"})
# One entry of constraints.txt: name, version, marker, and the hashes on the lines below it.
_PIN = re.compile(
    r"^(?P<name>[\w.-]+)==(?P<version>[^ ;]+)(?: ; (?P<marker>[^\\]+?))?(?P<hashes>(?: \\\n    --hash=sha256:\w+)+)$",
    re.M,
)
# A wheel's folder of what belongs elsewhere (PEP 427): programs that start with the path of a Python, headers.
_DATA = re.compile(r"^[^/]+\.data/(?P<kind>[^/]+)/(?P<rest>.+)$")
_LIBRARIES = ("purelib", "platlib")
# What pip takes for a C library of 2.28, which the wheels are built against, and of any before it.
_GLIBC_MINORS = range(28, 4, -1)
_LEGACY = ("manylinux2014", "manylinux2010", "manylinux1")
# 1980-01-01, as the files of wheels have where nothing says otherwise.
MTIME = 315_532_800
STEP_TIMEOUT_S = 600

LAUNCHER = r"""#!/bin/sh
# streamd {version}: finds a Python {python}, and runs what lies beside this file. PYTHON=/path/to/python3 chooses it.
set -eu
place=$0
# Through links, as one in /usr/local/bin.
while [ -h "$place" ]; do
  target=$(readlink "$place")
  case $target in
    /*) place=$target ;;
    *) place=${{place%/*}}/$target ;;
  esac
done
here=$(cd "${{place%/*}}" && pwd -P)
for python in ${{PYTHON:-python{python} python3}}; do
  # -I -S: no directory that others may write to, and no package of the system's, is a part of streamd.
  if "$python" -I -S -c 'import sys; sys.exit(sys.version_info[:2] != ({comma}))' 2>/dev/null; then
    exec "$python" -I -S "$here/lib/start.py" "$@"
  fi
done
echo "streamd: Python {python} is missing; this archive is for it, and other archives are for other versions." >&2
echo "To install it: apt-get install python{python} (Debian, Ubuntu) or dnf install python{python} (Fedora, RHEL)." >&2
exit 127
"""

START = '''"""Runs streamd of the folder that this file is in, as ``streamd`` beside it asks."""

import sys
from os.path import dirname, realpath

sys.path.insert(0, dirname(realpath(__file__)))

from streamd.process.cli import main

main(prog_name="streamd")
'''


class PortableError(Exception):
    """The archive could not be made; the message says why."""


@dataclass(frozen=True)
class Pin:
    """One entry of ``constraints.txt``."""

    name: str
    requirement: str
    """The entry as pip reads it, with its hashes."""
    marker: str


@dataclass(frozen=True)
class Target:
    """What a wheel is for."""

    version: str
    """Of streamd."""
    python: str
    """Such as 3.11."""
    arch: str
    """As wheels name it."""

    @classmethod
    def of(cls, wheel: Path) -> Target:
        """Read it in the name of a wheel.

        Raises:
            PortableError: It is none of streamd's, or for every Python.
        """
        name, version, _, tags = parse_wheel_filename(wheel.name)
        python = {found[1] for tag in tags if (found := re.fullmatch(r"cp3(\d+)", tag.interpreter))}
        arch = {found[1] for tag in tags if (found := re.search(r"linux(?:_\d+_\d+)?_(x86_64|aarch64)$", tag.platform))}
        if name != "streamd" or len(python) != 1 or len(arch) != 1:
            raise PortableError(f"{wheel.name} is no wheel of streamd for one Python and one processor with Linux")
        return cls(str(version), f"3.{python.pop()}", arch.pop())

    @property
    def name(self) -> str:
        """Of the archive and of the folder in it."""
        return f"streamd-{self.version}-linux-{self.arch}-cp{self.python.replace('.', '')}"

    @property
    def environment(self) -> dict[str, str]:
        """What markers of requirements are asked about (PEP 508)."""
        return {
            "python_version": self.python,
            # A marker that tells patch releases apart would want a pin for each.
            "python_full_version": f"{self.python}.0",
            "platform_machine": self.arch,
            "platform_system": "Linux",
            "sys_platform": "linux",
            "os_name": "posix",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
        }

    @property
    def pip_options(self) -> list[str]:
        """What pip is to fetch for."""
        tags = [f"manylinux_2_{minor}_{self.arch}" for minor in _GLIBC_MINORS] + [
            f"{each}_{self.arch}" for each in _LEGACY
        ]
        platforms = [option for tag in tags for option in ("--platform", tag)]
        return ["--only-binary=:all:", "--implementation=cp", f"--python-version={self.python}", *platforms]


def read_pins(text: str) -> dict[str, list[Pin]]:
    """The entries of ``constraints.txt`` by name; several where Pythons differ."""
    pins: dict[str, list[Pin]] = {}
    for found in _PIN.finditer(text):
        name = canonicalize_name(found["name"])
        pins.setdefault(name, []).append(
            Pin(name, f"{found['name']}=={found['version']}{found['hashes']}\n", found["marker"] or "")
        )
    return pins


def needed_by(wheel: Path, extras: frozenset[str], environment: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """The names that a wheel asks for, each with the extras that it wants of it.

    Args:
        wheel: Its file.
        extras: Those of the wheel's own that are wanted.
        environment: As of ``Target.environment``.
    """
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
        fields = BytesHeaderParser().parsebytes(archive.read(name))
    needed: dict[str, frozenset[str]] = {}
    for text in fields.get_all("Requires-Dist", []):
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras)):
            name = canonicalize_name(requirement.name)
            needed[name] = needed.get(name, frozenset()) | requirement.extras
    return needed


def choose_pin(pins: Sequence[Pin], environment: Mapping[str, str]) -> Pin | None:
    """The entry that holds for a target; None where none does."""
    return next((pin for pin in pins if not pin.marker or Marker(pin.marker).evaluate({**environment})), None)


def collect(wheel: Path, target: Target, python: Path, wheels: Path) -> list[Path]:
    """Fetch what a wheel needs, and what that needs.

    Args:
        wheel: Of streamd.
        target: What it is for.
        python: Has pip.
        wheels: A directory, in which some may be already; it is filled.

    Returns:
        Their files, sorted by name.

    Raises:
        PortableError: Something is not pinned, or cannot be fetched.
    """
    pins, environment = read_pins(CONSTRAINTS.read_text("utf-8")), target.environment
    found: dict[str, Path] = {}
    # Names with the extras that are wanted of them; another extra of a known name may want more.
    seen: dict[str, frozenset[str]] = {}
    waiting = needed_by(wheel, EXTRAS, environment)
    while waiting:
        chosen = {}
        for name in sorted(waiting):
            if name in found:
                continue
            if (pin := choose_pin(pins.get(name, []), environment)) is None:
                raise PortableError(f"constraints.txt has no {name} for Python {target.python} on {target.arch}")
            chosen[name] = pin
        if chosen:
            found |= fetch(chosen, target, python, wheels)
        more: dict[str, frozenset[str]] = {}
        for name, extras in waiting.items():
            seen[name] = seen.get(name, frozenset()) | extras
            for other, wanted in needed_by(found[name], seen[name], environment).items():
                if other not in seen or not wanted <= seen[other]:
                    more[other] = more.get(other, frozenset()) | wanted
        waiting = more
    return sorted(found.values(), key=lambda path: path.name)


def fetch(chosen: Mapping[str, Pin], target: Target, python: Path, wheels: Path) -> dict[str, Path]:
    """Fetch the wheels of some pins, each checked by its hash.

    Raises:
        PortableError: pip could not.
    """
    with tempfile.TemporaryDirectory() as directory:
        asked = Path(directory) / "requirements.txt"
        asked.write_text("".join(pin.requirement for pin in chosen.values()), "utf-8")
        command = [
            python,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--require-hashes",
        ]
        run([*command, *target.pip_options, f"--find-links={wheels}", f"--dest={wheels}", f"--requirement={asked}"])
    there = {str(parse_wheel_filename(path.name)[0]): path for path in wheels.glob("*.whl")}
    return {name: there[name] for name in chosen}


def unpack(wheel: Path, library: Path) -> None:
    """Put the modules of a wheel into a folder, as pip would; programs and headers are left out.

    Raises:
        PortableError: A name leads out of the folder.
    """
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            name = member.filename
            if data := _DATA.match(name):
                if data["kind"] not in _LIBRARIES:
                    continue
                name = data["rest"]
            parts = PurePosixPath(name).parts
            if ".." in parts or name.startswith("/"):
                raise PortableError(f"{wheel.name} holds {name}")
            if member.is_dir():
                continue
            path = library.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(member))


def compile_library(python: Path, folder: Path) -> None:
    """Compile the bytecode of ``folder/lib``; the paths in it begin with the folder's name.

    Raises:
        PortableError: A module of streamd's does not compile.
    """
    command = [python, "-m", "compileall", "-q", "-q", "-j", "1", "--invalidation-mode", "unchecked-hash"]
    # Sets of constants are written in the order of their hashes.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    run([*command, "-s", folder.parent, folder / "lib"], environment)


def pack(folder: Path, archive: Path) -> None:
    """Write a folder as ``.tar.gz`` that depends on what is in it alone: sorted, one date, no owner."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", fileobj=packed, mode="wb", compresslevel=6, mtime=MTIME) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as members,
    ):
        for path in (folder, *_sorted(folder)):
            members.add(path, path.relative_to(folder.parent).as_posix(), recursive=False, filter=_plain)
    archive.write_bytes(packed.getvalue())


def make(wheel: Path, python: Path, wheels: Path, output: Path) -> Path:
    """Make the archive of a wheel.

    Args:
        wheel: Of streamd.
        python: Of the wheel's version, with pip.
        wheels: A directory for the wheels of the others.
        output: The directory of the archive.

    Returns:
        The archive.

    Raises:
        PortableError: It cannot be made.
    """
    target = Target.of(wheel)
    version = run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).strip()
    if version != target.python:
        raise PortableError(f"{python} is Python {version}, and {wheel.name} is for {target.python}")
    others = collect(wheel, target, python, wheels)
    with tempfile.TemporaryDirectory(prefix="streamd-portable-") as directory:
        folder = Path(directory) / target.name
        lay_out(folder, [wheel, *others], target)
        compile_library(python, folder)
        archive = output / f"{target.name}.tar.gz"
        output.mkdir(parents=True, exist_ok=True)
        pack(folder, archive)
    return archive


def lay_out(folder: Path, wheels: Sequence[Path], target: Target) -> None:
    """Fill the folder of an archive, but for the bytecode."""
    library = folder / "lib"
    for each in wheels:
        unpack(each, library)
    (library / "start.py").write_text(START, "utf-8")
    launcher = folder / "streamd"
    launcher.write_text(
        LAUNCHER.format(version=target.version, python=target.python, comma=target.python.replace(".", ", ")), "utf-8"
    )
    launcher.chmod(0o755)
    # Where a venv has it, and the unit of systemd looks.
    (folder / "bin").mkdir()
    (folder / "bin" / "streamd").symlink_to("../streamd")
    shutil.copyfile(ROOT / "LICENSE", folder / "LICENSE")


def run(command: Sequence[object], environment: Mapping[str, str] | None = None) -> str:
    """Run a step and return what it printed on stdout.

    Raises:
        PortableError: It failed.
    """
    arguments = [str(part) for part in command]
    done = subprocess.run(  # noqa: S603 - our own arguments, no shell
        arguments, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=STEP_TIMEOUT_S, check=False,
        encoding="utf-8", errors="replace",
    )  # fmt: skip
    if done.returncode != 0:
        raise PortableError(f"{' '.join(arguments[:4])} … ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def main(arguments: Sequence[str]) -> int:
    """Make archives.

    Returns:
        Exit status: 0, or 1 where one could not be made.
    """
    parser = argparse.ArgumentParser(description="Make an archive of a wheel and all that it needs.")
    parser.add_argument("wheel", type=Path, nargs="+", help="of streamd, for one Python and processor")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="of that version; default: this one")
    parser.add_argument(
        "--wheels", type=Path, help="a directory of wheels, used and filled; default: one for the moment"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="a directory; default: dist")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="streamd-wheels-") as directory:
        wheels = options.wheels or Path(directory)
        wheels.mkdir(parents=True, exist_ok=True)
        try:
            for wheel in options.wheel:
                print(make(wheel, options.python, wheels, options.output), flush=True)
        except PortableError as exc:
            print(f"portable: {exc}", file=sys.stderr)
            return 1
    return 0


def _sorted(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix())


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """A member without what differs between machines."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = MTIME
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
