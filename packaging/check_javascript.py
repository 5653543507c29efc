"""Checks the pages' JavaScript: types, lint and format, and the tests of its pure modules.

    python packaging/check_javascript.py [install|types|lint|test|format]...

``player/package-lock.json`` pins TypeScript and Biome by hash beside the packages of the pages. Without an argument it
installs them into ``player/node_modules``, which git ignores, and checks all; ``format`` changes the files.
"""

from __future__ import annotations

import sys
from pathlib import Path

import fetch_player

CHECKS = ("types", "lint", "test")
INSTALL = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=1")


def main(steps: list[str]) -> int:
    """Run the steps, each to its end.

    Returns:
        Exit status: 0 without faults, 1 for a fault, 2 for an unknown step.
    """
    unknown = [step for step in steps if step not in (*CHECKS, "install", "format")]
    if unknown:
        print(f"no such step: {', '.join(unknown)}", file=sys.stderr)
        return 2
    player = Path(__file__).parents[1] / fetch_player.PLAYER_DIR
    failed = []
    for step in steps or ["install", *CHECKS]:
        try:
            fetch_player.find_npm()(INSTALL if step == "install" else ("run", "--silent", step), player)
        except fetch_player.FetchError as exc:
            print(f"{step}: {exc}", file=sys.stderr)
            failed.append(step)
            if step == "install":
                break
        else:
            print(f"{step}: done")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
