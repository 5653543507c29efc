"""Figures: a server's metrics, and a bench's results."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.server import LiveServer

RESULTS = Path(__file__).parent / "results"


def metric(server: LiveServer, name: str) -> float:
    """A metric without labels, as the server tells it."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", server.admin_get("/metrics"), re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def percentile(values: list[float], share: float) -> float:
    """The value that ``share`` of all are below, 0 to 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def report(script: str, name: str, values: list[float], unit: str, **circumstances: object) -> None:
    """Print one JSON line, keep it in the script's results, and print a line for people."""
    case = {
        "name": f"{script}.{name}",
        "value": round(statistics.median(values), 4),
        "unit": unit,
        "n": len(values),
        **{f"p{share}": round(percentile(values, share / 100), 4) for share in (50, 95, 99)},
        **circumstances,
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
        ).stdout.strip(),
        "python": platform.python_version(),
        "av": version("av"),
        "cpu": os.cpu_count(),
    }
    line = json.dumps(case)
    print(line, flush=True)
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{script}.jsonl").open("a") as file:
        file.write(line + "\n")
    tail = f"  p99 {case['p99']:.3f}" if len(values) > 1 else ""
    print(f"{name:46} {case['value']:>12.3f} {unit}{tail}", file=sys.stderr)
