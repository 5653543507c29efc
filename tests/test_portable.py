"""The portable archive: what is laid out, that it runs wherever it lies, and that equal wheels make equal bytes."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import build_release
import portable

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PINS = portable.read_pins(portable.CONSTRAINTS.read_text("utf-8"))
HERE = "cp{}{}".format(*sys.version_info[:2])
CLI = (
    "import sys\nfrom other import WORD\n\n\ndef main(prog_name):\n    print(prog_name, WORD, *sys.argv[1:], sep='|')\n"
)


def wheel_of(directory: Path, name: str, metadata: str = "", files: dict[str, str] | None = None) -> Path:
    """A wheel with a METADATA of these lines and these files."""
    distribution, version = name.split("-")[:2]
    path = directory / f"{name}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        head = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        archive.writestr(f"{distribution}-{version}.dist-info/METADATA", head + metadata)
        for file, content in (files or {}).items():
            archive.writestr(file, content)
    return path


@pytest.fixture
def wheels(tmp_path: Path) -> list[Path]:
    """Of a streamd that says what it was asked, for this very Python, and of a package that it needs."""
    files = {
        "streamd/__init__.py": "",
        "streamd/process/__init__.py": "",
        "streamd/process/cli.py": CLI,
        "streamd-1.2.3.data/scripts/streamd": "#!python\n",
    }
    other = {"other-1.data/purelib/other.py": "WORD = 'hello'\n", "other-1.data/headers/other.h": "\n"}
    return [
        wheel_of(tmp_path, f"streamd-1.2.3-{HERE}-{HERE}-linux_x86_64", files=files),
        wheel_of(tmp_path, "other-1-py3-none-any", files=other),
    ]


def laid_out(wheels: list[Path], where: Path) -> Path:
    """The folder of an archive of these."""
    target = portable.Target.of(wheels[0])
    folder = where / target.name
    portable.lay_out(folder, wheels, target)
    portable.compile_library(Path(sys.executable), folder)
    return folder


def run(program: Path, *arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHON": python}
    command = [str(program), *arguments]
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False, timeout=60)


class TestArchive:
    def test_equal_wheels_make_equal_bytes_wherever_they_are_made(self, wheels: list[Path], tmp_path: Path) -> None:
        archives = [tmp_path / "once.tar.gz", tmp_path / "again.tar.gz"]
        for archive, where in zip(archives, ("here", "some/where/else"), strict=True):
            portable.pack(laid_out(wheels, tmp_path / where), archive)
        assert archives[0].read_bytes() == archives[1].read_bytes()

    def test_it_has_a_program_and_a_library_with_bytecode_that_is_never_compared_with_its_source(
        self, wheels: list[Path], tmp_path: Path
    ) -> None:
        folder = laid_out(wheels, tmp_path)
        portable.pack(folder, tmp_path / "it.tar.gz")
        with tarfile.open(tmp_path / "it.tar.gz") as archive:
            members = {member.name.removeprefix(f"{folder.name}/"): member for member in archive}
        assert members["streamd"].mode == 0o755
        assert {"LICENSE", "lib/start.py", "lib/other.py", "lib/streamd-1.2.3.dist-info/METADATA"} <= members.keys()
        assert not [name for name in members if ".data" in name or name.endswith(".h")]
        assert {(member.uid, member.gid, member.uname, member.mtime) for member in members.values()} == {
            (0, 0, "", portable.MTIME)
        }
        for module in (folder / "lib").rglob("*.py"):
            bytecode = module.parent / "__pycache__" / f"{module.stem}.cpython-{HERE[2:]}.pyc"
            # PEP 552: the flags behind the magic number.
            assert bytecode.read_bytes()[4:8] == b"\x01\x00\x00\x00"

    def test_a_file_that_would_lie_elsewhere_is_refused(self, tmp_path: Path) -> None:
        wheel = wheel_of(tmp_path, "other-1-py3-none-any", files={"../evil.py": ""})
        with pytest.raises(portable.PortableError, match=r"holds \.\./evil"):
            portable.unpack(wheel, tmp_path / "lib")


class TestProgram:
    def test_it_runs_from_anywhere_also_through_a_link(self, wheels: list[Path], tmp_path: Path) -> None:
        folder = laid_out(wheels, tmp_path)
        moved = folder.rename(tmp_path / "with a space")
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "streamd").symlink_to("../with a space/streamd")
        for program in (moved / "streamd", moved / "bin" / "streamd", tmp_path / "bin" / "streamd"):
            assert run(program, "serve", "--a b").stdout == "streamd|hello|serve|--a b\n"

    def test_without_its_python_it_says_what_to_install(self, wheels: list[Path], tmp_path: Path) -> None:
        done = run(laid_out(wheels, tmp_path) / "streamd", python="/bin/false")
        version = "{}.{}".format(*sys.version_info[:2])
        assert (done.returncode, done.stdout) == (127, "")
        assert f"Python {version} is missing" in done.stderr
        assert f"apt-get install python{version}" in done.stderr


class TestTarget:
    def test_it_is_read_in_the_name_of_the_wheel(self) -> None:
        target = portable.Target.of(Path("streamd-0.1.0-cp313-cp313-manylinux_2_28_aarch64.whl"))
        assert target == portable.Target("0.1.0", "3.13", "aarch64")
        assert target.name == "streamd-0.1.0-linux-aarch64-cp313"

    @pytest.mark.parametrize(
        "name",
        [
            "streamd-0.1.0-py3-none-any.whl",
            "streamd-0.1.0-cp313-cp313-macosx_14_0_arm64.whl",
            "other-0.1.0-cp313-cp313-linux_x86_64.whl",
        ],
    )
    def test_another_wheel_is_refused(self, name: str) -> None:
        with pytest.raises(portable.PortableError):
            portable.Target.of(Path(name))

    def test_another_python_than_the_wheels_compiles_nothing(self, tmp_path: Path) -> None:
        wheel = wheel_of(tmp_path, "streamd-1.2.3-cp310-cp310-linux_x86_64")
        with pytest.raises(portable.PortableError, match=r"is for 3\.10"):
            portable.make(wheel, Path(sys.executable), tmp_path, tmp_path)


class TestPins:
    def test_all_are_read(self) -> None:
        heads = [line for line in portable.CONSTRAINTS.read_text("utf-8").splitlines() if "==" in line]
        pins = [pin for entries in PINS.values() for pin in entries]
        assert len(pins) == len(heads)
        assert all("--hash=sha256:" in pin.requirement for pin in pins)

    @pytest.mark.parametrize("python", build_release.PYTHONS)
    @pytest.mark.parametrize("arch", build_release.ARCHES)
    def test_what_streamd_needs_has_one_for_every_python_and_processor(self, python: str, arch: str) -> None:
        environment = portable.Target("1", python, arch).environment
        extras = PROJECT["project"]["optional-dependencies"]
        for text in [*PROJECT["project"]["dependencies"], *(each for name in portable.EXTRAS for each in extras[name])]:
            requirement = Requirement(text)
            pin = portable.choose_pin(PINS[canonicalize_name(requirement.name)], environment)
            assert pin is not None
            assert requirement.specifier.contains(pin.requirement.split("==")[1].split()[0])

    def test_a_wheel_is_asked_for_what_it_needs_here(self, tmp_path: Path) -> None:
        metadata = (
            "Requires-Dist: A.b>=1\nRequires-Dist: c[x]; extra == 'more'\nRequires-Dist: d; python_version < '3.9'\n"
        )
        wheel = wheel_of(tmp_path, "other-1-py3-none-any", metadata)
        environment = portable.Target("1", "3.11", "x86_64").environment
        assert portable.needed_by(wheel, frozenset(), environment) == {"a-b": frozenset()}
        assert portable.needed_by(wheel, frozenset({"more"}), environment) == {
            "a-b": frozenset(),
            "c": frozenset({"x"}),
        }
