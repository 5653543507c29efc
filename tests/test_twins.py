"""Which tests run a second time with Python alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.twins import imports, is_about_a_twin, twins

ROOT = Path(__file__).parents[1]


def unit_tests() -> list[Path]:
    real = {ROOT / "tests/integration", ROOT / "tests/browser"}
    return [path for path in (ROOT / "tests").rglob("test_*.py") if not real & set(path.parents)]


def test_every_module_that_is_compiled_has_a_test_that_runs_again() -> None:
    """A test of its name, as every module has one, or another: what none imports would be run in one form alone."""
    chosen = [path for path in unit_tests() if is_about_a_twin(path, ROOT)]
    assert twins(ROOT) - {name for path in chosen for name in imports(path)} == set()


def test_the_test_that_a_module_has_for_itself_runs_again() -> None:
    own = [ROOT / "tests" / Path(*name.split(".")[1:-1], f"test_{name.rpartition('.')[2]}.py") for name in twins(ROOT)]
    assert [path for path in own if path.exists() and not is_about_a_twin(path, ROOT)] == []


@pytest.mark.parametrize("name", ["fuzz/test_time.py", "fuzz/test_targets.py", "formats/rtmp/test_captures.py"])
def test_what_counts_lines_and_what_is_given_any_bytes_run_again(name: str) -> None:
    assert is_about_a_twin(ROOT / "tests" / name, ROOT)


@pytest.mark.parametrize(
    ("said", "is_chosen"),
    [
        ("from streamd.formats import quick", True),
        ("from streamd.formats.quick import Reader", True),
        ("import streamd.formats.quick", True),
        ("def test():\n    from streamd.formats import quick", True),
        ("from tests.formats.helper import x", True),
        ("import importlib", True),
        ("from streamd.process import compiled", True),
        ("from streamd.formats import slow", False),
        ("import streamd.formats.slow", False),
        ("from tests.support.helper import x", False),
    ],
)
def test_a_test_is_chosen_by_what_it_imports(tmp_path: Path, said: str, is_chosen: bool) -> None:
    for name in ("streamd/formats/quick.py", "streamd/formats/quick.pxd", "streamd/formats/slow.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for folder in ("formats", "support"):
        helper = tmp_path / "tests" / folder / "helper.py"
        helper.parent.mkdir(parents=True)
        helper.write_text("from streamd.formats import quick\n")
    test = tmp_path / "tests/formats/test_it.py"
    test.write_text(said)
    assert is_about_a_twin(test, tmp_path) is is_chosen
