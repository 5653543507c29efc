"""What a release is built with: pins that hold, a compiler that depends on no machine, and wheels of the right name."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import build_release
import hatch_metadata
import lock
import portable_cc
import try_wheels

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PIN = re.compile(r"^([\w.-]+)==(\S+)(?: ; (.*?))? \\$", re.MULTILINE)


def pins(name: str) -> dict[str, list[str]]:
    """Versions of each distribution of a file; several where Pythons differ."""
    found: dict[str, list[str]] = {}
    for distribution, version, _ in PIN.findall((ROOT / name).read_text("utf-8")):
        found.setdefault(canonicalize_name(distribution), []).append(version)
    return found


def unpinned(wanted: list[str], name: str) -> list[str]:
    """Those of the requirements that a file has no version for, or a version that does not satisfy them."""
    there = pins(name)
    return [
        text
        for text in wanted
        for requirement in [Requirement(text)]
        if not (versions := there.get(canonicalize_name(requirement.name)))
        or not all(requirement.specifier.contains(version) for version in versions)
    ]


class TestPins:
    @pytest.mark.parametrize("name", lock.FILES)
    def test_everything_has_a_hash(self, name: str) -> None:
        text = (ROOT / name).read_text("utf-8")
        entries = re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]
        assert entries
        assert [entry for entry in entries if "--hash=sha256:" not in entry or not PIN.match(entry)] == []

    def test_what_streamd_needs_is_pinned(self) -> None:
        extra = PROJECT["project"]["optional-dependencies"]["postgresql"]
        assert unpinned([*PROJECT["project"]["dependencies"], *extra], "constraints.txt") == []

    def test_what_builds_it_is_pinned(self) -> None:
        assert unpinned(PROJECT["build-system"]["requires"], "packaging/build-requirements.txt") == []

    def test_a_release_is_built_with_the_same(self) -> None:
        release = pins("packaging/release-requirements.txt")
        assert pins("packaging/build-requirements.txt").items() <= release.items()
        assert {"ziglang", "auditwheel"} <= release.keys()

    def test_an_unknown_option_is_refused_before_anything_is_written(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert lock.main(["--upgrade", "--check"]) == 2
        assert "no such options" in capsys.readouterr().err


class TestPythons:
    def test_what_is_built_is_what_the_classifiers_say(self) -> None:
        classifiers = PROJECT["project"]["classifiers"]
        said = [name.rpartition(" :: ")[2] for name in classifiers if re.search(r":: Python :: 3\.\d+$", name)]
        assert tuple(said) == build_release.PYTHONS
        assert PROJECT["project"]["requires-python"] == f">={build_release.PYTHONS[0]}"

    def test_an_interpreter_is_asked_for_its_version(self) -> None:
        version = "{}.{}".format(*sys.version_info[:2])
        assert build_release.find_pythons([sys.executable]) == {version: Path(sys.executable)}

    def test_a_name_that_leads_to_none_is_left_out(self, tmp_path: Path) -> None:
        shim = tmp_path / "python3.12"
        shim.write_text("#!/bin/sh\necho 'not installed' >&2\nexit 127\n", "utf-8")
        shim.chmod(0o755)
        assert build_release.find_pythons([str(shim), "no-such-python"]) == {}

    def test_without_one_of_each_nothing_is_built(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(build_release, "find_pythons", lambda _: {"3.11": Path("/usr/bin/python3.11")})
        monkeypatch.setenv(hatch_metadata.VARIABLE, "")
        assert build_release.main(["--no-url"]) == 1
        assert "no interpreter of Python 3.12, 3.13, 3.14" in capsys.readouterr().err


class TestCompiler:
    def test_takes_of_setuptools_what_names_files_and_macros(self) -> None:
        given = "-pthread -g -fstack-protector -O3 -flto=auto -DA -D B=1 -I/usr/include/python3.14 -fPIC -c x.c -o x.o"
        taken = portable_cc.arguments_for_zig(given.split(), "aarch64-linux-gnu.2.28")
        assert taken[:3] == ["cc", "-target", "aarch64-linux-gnu.2.28"]
        kept = ["-DA", "-D", "B=1", "-I/usr/include/python3.14", "-c", "x.c", "-o", "x.o"]
        assert taken[3:] == [*portable_cc.FLAGS, *kept]

    def test_links_the_same_way_whatever_the_packager_of_python_linked_with(self) -> None:
        taken = portable_cc.arguments_for_zig(
            ["-shared", "-Wl,-rpath,/opt/lib", "-L/opt/lib", "x.o", "-o", "x.so"], "t"
        )
        assert taken[3:] == [*portable_cc.FLAGS, *portable_cc.LINKER_FLAGS, "-shared", "x.o", "-o", "x.so"]


class TestWheels:
    @pytest.mark.parametrize(
        ("found", "is_covered"),
        [
            ("manylinux_2_17_x86_64", True),
            ("manylinux_2_28_x86_64", True),
            ("manylinux_2_31_x86_64", False),
            ("manylinux_3_1_x86_64", False),
            ("manylinux_2_17_aarch64", False),
            ("linux_x86_64", False),
            ("", False),
        ],
    )
    def test_one_that_needs_more_than_its_name_says_is_refused(self, found: str, is_covered: bool) -> None:
        assert build_release.is_covered(found, build_release.platform_of("x86_64")) is is_covered

    def test_builds_are_compared_by_name_and_by_bytes(self, tmp_path: Path) -> None:
        for folder, files in (("a", {"same": b"1", "other": b"1"}), ("b", {"same": b"1", "other": b"2", "more": b""})):
            (tmp_path / folder).mkdir()
            for name, content in files.items():
                (tmp_path / folder / name).write_bytes(content)
        ones, others = ([*(tmp_path / folder).iterdir()] for folder in ("a", "b"))
        assert build_release.differences(ones, others) == ["more", "other"]
        assert build_release.differences(ones, ones) == []


class TestTrying:
    def test_a_wheel_is_for_what_its_name_says(self) -> None:
        wheel = try_wheels.Wheel.of(Path("streamd-0.2.0-cp314-cp314-manylinux_2_28_aarch64.whl"))
        assert (wheel.version, wheel.python, wheel.arch) == ("0.2.0", "3.14", "aarch64")
        for name in ("streamd-0.2.0-py3-none-any.whl", "other-0.2.0-cp314-cp314-manylinux_2_28_aarch64.whl"):
            with pytest.raises(build_release.ReleaseError, match="no wheel of a release"):
                try_wheels.Wheel.of(Path(name))

    def test_it_is_installed_with_the_versions_that_were_tested(self) -> None:
        versions = dict(line.partition(" ;")[0].split("==") for line in try_wheels.pins().splitlines())
        assert {name: [version] for name, version in versions.items() if name in ("aiohttp", "uvloop")} == {
            name: pins("constraints.txt")[name] for name in ("aiohttp", "uvloop")
        }
        assert "--hash" not in try_wheels.pins()

    def test_one_that_no_python_here_is_for_is_named_and_no_success(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "streamd-0.2.0-cp39-cp39-manylinux_2_28_s390x.whl").touch()
        assert try_wheels.main([str(tmp_path), "--python", sys.executable]) == 1
        assert "not tried: streamd-0.2.0-cp39" in capsys.readouterr().err
        assert try_wheels.main([str(tmp_path), "--python", sys.executable, "--allow-missing"]) == 0


class TestAddress:
    @pytest.mark.parametrize(
        "remote",
        [
            "https://code.example.org/live/streamd.git",
            "https://someone:token@code.example.org/live/streamd",
            "git@code.example.org:live/streamd.git",
            "ssh://git@code.example.org:2222/live/streamd.git",
        ],
    )
    def test_it_is_where_people_find_the_repository(self, remote: str) -> None:
        assert build_release.published_at(remote) == "https://code.example.org/live/streamd"

    @pytest.mark.parametrize("remote", ["", "/srv/git/streamd", "file:///srv/git/streamd", "https://localhost/streamd",
                                        "git@10.0.0.7:streamd.git"])  # fmt: skip
    def test_what_nobody_else_can_open_is_none(self, remote: str) -> None:
        with pytest.raises(build_release.ReleaseError, match="--no-url"):
            build_release.published_at(remote)

    def test_without_one_nothing_is_built(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv(hatch_metadata.VARIABLE, "")
        monkeypatch.setattr(build_release, "origin", lambda: "")
        monkeypatch.setattr(build_release, "find_pythons", lambda _: pytest.fail("it goes on"))
        assert build_release.main([]) == 1
        assert "origin is no address" in capsys.readouterr().err

    @pytest.mark.parametrize("address", ["https://code.example.org/live/streamd", ""])
    def test_the_metadata_has_it_where_there_is_one(self, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
        monkeypatch.setenv(hatch_metadata.VARIABLE, address)
        metadata: dict[str, object] = {}
        hatch_metadata.MetadataHook(str(ROOT), {}).update(metadata)
        assert metadata == ({"urls": {"Source": address}} if address else {})
        assert "urls" in PROJECT["project"]["dynamic"]
