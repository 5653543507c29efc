"""``streamd evidence``: whether the evidence on this machine is as it was kept."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import BaseModel

from streamd.process.cli.arguments import config_options, json_option, load
from streamd.process.cli.audit import Anchor
from streamd.process.cli.exit_codes import EXIT_FAILED
from streamd.process.cli.output import print_json, say
from streamd.process.config import secrets_of
from streamd.process.evidence_rooms import EVIDENCE_NAME
from streamd.process.log import configure_logging
from streamd.services.moderation.evidence.store import EvidenceStore
from streamd.services.moderation.evidence.verify import Verdict, verify_evidence
from streamd.services.store.database import Database

if TYPE_CHECKING:
    from streamd.process.config import Config


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
    verdict = asyncio.run(_verify(load(config_file, data_dir), anchor))
    if as_json:
        print_json(VerdictModel.of(verdict))
    else:
        for fault in verdict.faults:
            click.echo(fault)
        if verdict.fault_count > len(verdict.faults):
            click.echo(f"… and {verdict.fault_count - len(verdict.faults)} more")
    if verdict.fault_count:
        faults = f"{verdict.fault_count} fault{'' if verdict.fault_count == 1 else 's'}"
        say(f"the evidence is not as it was kept: {faults} in {verdict.pieces} pieces")
        ctx.exit(EXIT_FAILED)
    if not as_json:
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


async def _verify(config: Config, anchor: tuple[int, bytes] | None) -> Verdict:
    # Quiet, as what is wrong is the command's to say.
    configure_logging("error", "console", secrets=secrets_of(config))
    database = Database(config.database_url, is_reading=True)
    try:
        await database.start()
        return await verify_evidence(EvidenceStore(database), config.data_dir / EVIDENCE_NAME, anchor)
    finally:
        await database.close()
