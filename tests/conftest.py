"""Fixtures that more than one room's tests use."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.support.scheduling import RealTimeScheduling, yielding_to_what_plays
from tests.support.server import run_server
from tests.support.twins import is_about_a_twin

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from xdist.remote import Producer

    from tests.support.server import LiveServer

ROOT = Path(__file__).parent.parent

# No example is timed: a loaded machine is not a fault. Hypothesis does the same by itself where CI is set.
settings.register_profile("untimed", deadline=None)
if settings.get_current_profile_name() == "default":
    settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--twins", action="store_true", help="only tests that import a module that is compiled in wheels")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what is not asked for before it is imported."""
    is_test = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    if is_test and config.getoption("twins") and not is_about_a_twin(collection_path, ROOT):
        return True
    return None


def pytest_configure() -> None:
    """Refuse to test extension modules of sources that have changed since."""
    for pxd in (ROOT / "streamd").rglob("*.pxd"):
        for made in pxd.parent.glob(f"{pxd.stem}.*.so"):
            if made.stat().st_mtime < max(pxd.stat().st_mtime, pxd.with_suffix(".py").stat().st_mtime):
                pytest.exit(
                    f"{made.name} is older than its source: run python packaging/compile_modules.py, or delete it", 4
                )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> RealTimeScheduling | None:
    """Have ``--dist loadfile`` spare the tests that play in real time."""
    return RealTimeScheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let the real programs of other tests go first."""
    with yielding_to_what_plays(item.nodeid):
        return (yield)


@pytest.fixture
def live_server(tmp_path: Path) -> Iterator[LiveServer]:
    """A real server with the default configuration, on free loopback ports."""
    with run_server(tmp_path) as server:
        yield server


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    """For tests of what configures the logging of its process: the next test finds it untouched."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    names = ("aiohttp.access", "aiosqlite", "alembic", "sqlalchemy", "libav")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
