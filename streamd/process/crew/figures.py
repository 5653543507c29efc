"""The metrics of all workers on one page: each sample with the number of its worker, each family once.

Spec: Prometheus text format 0.0.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LABEL = "worker"


def merge(pages: Mapping[int, str]) -> str:
    """Put the pages of all workers together.

    Args:
        pages: What each says, by number.

    Returns:
        One page; what a worker says that is no sample and no comment of one is left out.
    """
    comments: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for worker, page in sorted(pages.items()):
        family = ""
        for line in page.splitlines():
            if line.startswith(("# HELP ", "# TYPE ")):
                name = line.split(" ", 3)[2]
                if line.startswith("# HELP "):
                    family = name
                if line not in (known := comments.setdefault(family, [])):
                    known.append(line)
            elif line and not line.startswith("#") and " " in line:
                samples.setdefault(family, []).append(_with_worker(line, worker))
    lines: list[str] = []
    for family, said in comments.items():
        lines += said
        lines += samples.get(family, [])
    return "\n".join(lines) + "\n"


def _with_worker(line: str, worker: int) -> str:
    """A sample with the worker's label before its others."""
    label = f'{LABEL}="{worker}"'
    # A label's value may have braces and spaces in it; a name has none.
    brace, space = line.find("{"), line.find(" ")
    if 0 <= brace < space:
        return f"{line[: brace + 1]}{label},{line[brace + 1 :]}"
    return f"{line[:space]}{{{label}}}{line[space:]}"
