"""The pages that strangers read name files, headings and settings that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamd.process.config.sections import LimitsConfig

TOP = Path(__file__).parents[1]
PAGES = sorted([*TOP.glob("*.md"), *(TOP / "docs").glob("*.md"), TOP / "bench/README.md"])
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
ROOMS = "|".join(folder.name for top in (TOP, TOP / "streamd") for folder in top.iterdir() if folder.is_dir())
FILE = re.compile(rf"`((?:{ROOMS})/[\w./-]+\.\w+)`")


def name(page: Path) -> str:
    return str(page.relative_to(TOP))


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
class TestAPage:
    def test_its_links_lead_somewhere(self, page: Path) -> None:
        for path, anchor in LINK.findall(page.read_text()):
            target = page.parent / path if path else page
            assert target.exists(), path
            assert not anchor or anchor in anchors(target), f"{path}#{anchor}"

    def test_the_files_that_it_names_are_there(self, page: Path) -> None:
        for file in FILE.findall(page.read_text()):
            assert (TOP / file).exists() or (TOP / "streamd" / file).exists(), file


def test_every_limit_is_explained() -> None:
    text = (TOP / "docs/limits.md").read_text()
    assert [key for key in LimitsConfig.model_fields if f"`{key}`" not in text] == []
