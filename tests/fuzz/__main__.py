"""Fuzzes one target with atheris, guided by the branches that an input reaches, until told to stop.

    python -m tests.fuzz NAME [--runs N] [--seconds S] [--work DIR]
    python -m tests.fuzz --time [PARSER] [--runs N] [--seconds S] [--seed N]

Starts from the target's seeds and its kept inputs. What fails is written to ``DIR/NAME/crash-…`` and said on stderr,
and the exit code is not 0; else the inputs that together reach all that was reached are kept in ``corpora/NAME.txt``.
With ``--time`` it looks for slow inputs: see ``timing``.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.fuzz import timing
from tests.fuzz.corpora import TARGETS, Target, keep, kept
from tests.fuzz.parsers import PARSERS

# One input that takes longer, or a process that grows beyond this, is a finding.
INPUT_TIMEOUT_S = 20
MEMORY_MB = 2048


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("name", nargs="?", choices=(*TARGETS, *PARSERS, "all"), default="all")
    parser.add_argument("--time", action="store_true", help="look for slow inputs of a parser, or of all")
    parser.add_argument("--seed", type=int, default=0, help="of the walk to slow inputs")
    parser.add_argument("--runs", type=int, default=-1, help="executions; without, as many as the time allows")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--work", type=Path, default=Path("build/fuzz"), help="where the corpus grows")
    options = parser.parse_args()
    if options.time:
        names = [*PARSERS] if options.name == "all" else [options.name]
        return timing.main(names, options.runs, options.seconds, options.seed)
    work: Path = options.work / options.name
    corpus, merged = work / "corpus", work / "merged"
    corpus.mkdir(parents=True, exist_ok=True)
    target = Target.load(options.name)
    for data in (*target.seeds(), *kept(options.name)):
        (corpus / hashlib.sha1(data).hexdigest()).write_bytes(data)
    bounds = [f"-timeout={INPUT_TIMEOUT_S}", f"-rss_limit_mb={MEMORY_MB}", f"-max_len={target.bytes_max}"]
    until = [f"-runs={options.runs}", f"-max_total_time={options.seconds}", "-print_final_stats=1"]
    if failed := fuzz(options.name, *bounds, *until, f"-artifact_prefix={work}/", str(corpus)):
        return failed
    shutil.rmtree(merged, ignore_errors=True)
    merged.mkdir()
    if failed := fuzz(options.name, *bounds, "-merge=1", str(merged), str(corpus)):
        return failed
    keep(options.name, (path.read_bytes() for path in merged.iterdir()))
    return 0


def fuzz(name: str, *arguments: str) -> int:
    """Run libFuzzer, and return its exit code."""
    return subprocess.run([sys.executable, "-m", "tests.fuzz.libfuzzer", name, *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
