"""``streamd evidence``: whether the evidence on this machine is as it was kept."""

from __future__ import annotations

from pathlib import Path

import click
from pydantic import BaseModel

from streamd.process.cli.arguments import config_options, json_option, load
from streamd.process.cli.audit import Anchor
from streamd.process.cli.verdicts import read_database, tell
from streamd.process.evidence_rooms import EVIDENCE_NAME
from streamd.services.moderation.evidence.store import EvidenceStore
from streamd.services.moderation.evidence.verify import Verdict, verify_evidence


@click.group("evidence")
def evidence_group() -> None:
    """Verify the evidence of what was reported.

    It is read over the admin API alone, and each reading is written down.
    """


@evidence_group.command("verify")
@click.option(
    "--anchor",
    type=Anchor(),
    help="A piece's number and its hash, as they were noted before: what was kept up to it has to be as it was.",
)
@json_option
@config_options
@click.pass_context
def verify(
    ctx: click.Context, anchor: tuple[int, bytes] | None, as_json: bool, config_file: Path | None, data_dir: Path | None
) -> None:
    """Read the chain of evidence and every file, and say whether a byte was changed, or a piece removed or added.

    Reads the database and the disk itself, also while a server runs. Each folder is verified by "sha256sum -c
    SHA256SUMS", too. Exit code 1 where something is wrong.
    """
    config = load(config_file, data_dir)
    evidence = config.data_dir / EVIDENCE_NAME
    verdict = read_database(config, lambda database: verify_evidence(EvidenceStore(database), evidence, anchor))
    shown = VerdictModel.of(verdict) if as_json else None
    if tell(
        ctx, verdict, as_json=shown, accusation="the evidence is not as it was kept", read=f"{verdict.pieces} pieces"
    ):
        deleted = f", {verdict.deleted} of them deleted when their time was over" if verdict.deleted else ""
        stamped = f", {verdict.stamped} stamped with the time" if verdict.stamped else ""
        click.echo(f"The evidence is whole: {verdict.pieces} pieces{deleted}{stamped}.")
        if verdict.pieces:
            click.echo(f"To prove it later: streamd evidence verify --anchor {verdict.end}")


class VerdictModel(BaseModel):
    """A verdict for scripts."""

    ok: bool
    pieces: int
    deleted: int
    stamped: int
    anchor: str
    """The end of the chain, for ``--anchor``."""
    faults: list[str]
    fault_count: int

    @classmethod
    def of(cls, verdict: Verdict) -> VerdictModel:
        """The verdict as it is printed."""
        return cls(
            ok=not verdict.fault_count,
            pieces=verdict.pieces,
            deleted=verdict.deleted,
            stamped=verdict.stamped,
            anchor=verdict.end,
            faults=list(verdict.faults),
            fault_count=verdict.fault_count,
        )
