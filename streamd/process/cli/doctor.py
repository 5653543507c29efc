"""``streamd doctor``: what on this machine keeps the server from its work."""

from __future__ import annotations

from pathlib import Path

import click

from streamd.clock import SystemClock
from streamd.process.cli.arguments import config_options, json_option, load
from streamd.process.cli.exit_codes import EXIT_FAILED
from streamd.process.cli.output import print_json, print_table


@click.command("doctor")
@json_option
@config_options
def doctor(as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """Check ports, limits, certificates, clock, database, disk and sandbox, and say what to do.

    Run it as the user who runs the server, with the same configuration, while it runs or before. Nothing is changed.
    Exit code 1 where something failed; warnings alone are 0.
    """
    from streamd.process.doctor import Verdict, examine

    findings = list(examine(load(config_file, data_dir), SystemClock().now()))
    if as_json:
        print_json(findings)
    else:
        print_table(
            ("", "what", "found", "to do"),
            [(finding.verdict, finding.check, finding.message, finding.advice) for finding in findings],
            nothing="",
        )
    if any(finding.verdict is Verdict.FAILED for finding in findings):
        click.get_current_context().exit(EXIT_FAILED)
