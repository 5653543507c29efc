"""The machine that looks at pictures: its packages, its lists and its classifier, loaded here as the server would."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

from streamd.process.assistance import MachineAssistance
from streamd.process.doctor.check_result import CheckResult, ok, warning
from streamd.process.moderation_options import sight_options
from streamd.process.workers.commands import SIGHT_COMMAND, sight_environment
from streamd.services.moderation.machine.sight import LENGTH, Ready

if TYPE_CHECKING:
    from streamd.process.config import Config

# A million hashes, a classifier and the models of words: five seconds of a processor that has nothing else to do.
START_TIMEOUT_S = 60.0


def check_sight(config: Config) -> Iterator[CheckResult]:
    """Start what looks at pictures as the server would, and see what it has."""
    if not MachineAssistance.is_wanted(config):
        return
    try:
        worker = subprocess.run(  # noqa: S603  # our own worker
            SIGHT_COMMAND,
            # It is told what to load, and given no picture.
            input=sight_options(config, words=True).order(),
            env=sight_environment(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=START_TIMEOUT_S,
            check=True,
        )
        ready = Ready.parse(worker.stdout[LENGTH.size :])
    except (OSError, subprocess.SubprocessError, EOFError) as exc:
        yield warning("moderation", f"what looks at pictures does not work here: {exc}", 'or [moderation] scan = "off"')
        return
    yield from describe(ready, has_classifier=bool(config.moderation.classifier))


def describe(ready: Ready, *, has_classifier: bool) -> Iterator[CheckResult]:
    """One finding for each part, and for each list.

    Args:
        ready: What was loaded.
        has_classifier: Whether one is configured.
    """
    if ready.hash_fault:
        advice = 'without it no known picture is found; or [moderation] scan = "off"'
        yield warning("moderation: known pictures", ready.hash_fault, advice)
    for each in ready.lists:
        check = f"moderation: {each.name}"
        if each.faults or each.bad_lines:
            found = "; ".join(each.faults) or f"{each.bad_lines} lines are no hash"
            yield warning(
                check, f"{each.hashes} hashes, {each.bad_lines} lines that are none: {found}", "mend the list"
            )
        else:
            yield ok(check, f"{each.hashes} hashes of known pictures")
    if ready.classifier_fault:
        yield warning("moderation: classifier", ready.classifier_fault, "docs/moderation.md says what a model needs")
    elif has_classifier:
        yield ok("moderation: classifier", f"scores {len(ready.labels)} labels")
    if ready.words_fault:
        yield warning("moderation: words", ready.words_fault, "or [moderation] read_words = false")
