"""Pins what is installed, by version and hash, with uv.

    python packaging/lock.py [--upgrade | --check]

``constraints.txt`` has what streamd needs on every Python and processor that it is for, PostgreSQL's driver, NATS'
client and obstore included; the container installs from it. ``packaging/build-requirements.txt`` has what builds it,
and ``packaging/release-requirements.txt`` what builds a release. Pins stay as they are while ``pyproject.toml`` and the
``.in`` files allow them; ``--upgrade`` takes the newest. ``--check`` changes nothing, and exits with 1 where a file
would change.
"""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The oldest that pyproject.toml allows: uv's answer holds from there on.
PYTHON = "3.11"
# Packages that an operator may add.
EXTRAS = ("postgresql", "storage", "geoip", "moderation", "cluster")
FILES = {
    "constraints.txt": ("pyproject.toml", *(f"--extra={each}" for each in EXTRAS)),
    "packaging/build-requirements.txt": ("packaging/build-requirements.in",),
    "packaging/release-requirements.txt": ("packaging/release-requirements.in",),
}
HEADER = "# Made by packaging/lock.py: do not edit.\n"
OPTIONS = ("--universal", "--generate-hashes", "--no-header", "--no-annotate", "--python-version", PYTHON)
TIMEOUT_S = 600


class LockError(Exception):
    """uv found no set of versions, or did not run; the message says why."""


def lock(name: str, output: Path, options: Sequence[str]) -> None:
    """Have uv write one file, beginning from the pins that are in it.

    Raises:
        LockError: It could not.
    """
    command = ["uv", "pip", "compile", *FILES[name], *OPTIONS, *options, "--quiet", "--output-file", str(output)]
    try:
        # Beside the interpreter, as pip puts it.
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(  # noqa: S603 - our own arguments, no shell
            command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, timeout=TIMEOUT_S, check=False, encoding="utf-8"
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise LockError(f"uv: {exc}") from exc
    if done.returncode != 0:
        raise LockError(f"{name}: {done.stderr.strip()}")
    output.write_text(HEADER + output.read_text("utf-8").removeprefix(HEADER), "utf-8")


def main(options: Sequence[str]) -> int:
    """Write the files, or compare them.

    Returns:
        Exit status: 0, or 1 where a file would change or uv failed, 2 for an unknown option.
    """
    if any(option not in ("--check", "--upgrade") for option in options) or len(options) > 1:
        print(f"no such options: {' '.join(options)}", file=sys.stderr)
        return 2
    changed = False
    with tempfile.TemporaryDirectory(prefix="streamd-lock-") as directory:
        for name in FILES:
            present = ROOT / name
            before = present.read_text("utf-8") if present.exists() else ""
            output = Path(directory) / present.name
            output.write_text(before, "utf-8")
            try:
                lock(name, output, [option for option in options if option == "--upgrade"])
            except LockError as exc:
                print(f"lock: {exc}", file=sys.stderr)
                return 1
            after = output.read_text("utf-8")
            if options == ["--check"]:
                # Without hashes: an author may add a file to a version that is there.
                ones, others = (
                    [line.removesuffix(" \\") for line in text.splitlines() if "--hash=" not in line]
                    for text in (before, after)
                )
                difference = list(difflib.unified_diff(ones, others, name, "what uv says", lineterm=""))
                print("\n".join(difference), end="\n" if difference else "")
                changed = changed or bool(difference)
            else:
                present.write_text(after, "utf-8")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
