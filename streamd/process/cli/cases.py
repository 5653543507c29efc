"""``streamd cases``: what was reported, and what became of it."""

from __future__ import annotations

import secrets
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamd.errors import StreamdError
from streamd.process.cli.arguments import User, config_options, json_option, load
from streamd.process.cli.ask import on_server
from streamd.process.cli.output import format_time, print_json, print_table
from streamd.process.redaction import escape_controls
from streamd.process.remote_moderation import RemoteModeration
from streamd.services.moderation.cases.case_records import CaseState
from streamd.services.moderation.ids import IdKind, is_id, reference_end

if TYPE_CHECKING:
    from streamd.doors.web.models.cases import CaseDetail
    from streamd.process.config import Config

# 190 bits, as of a stream key.
_TOKEN_BYTES = 24


@click.group("cases")
def cases_group() -> None:
    """See what viewers have reported, and make the tokens of trusted flaggers.

    Asks the server that runs on the data directory. Cases are decided in the console or by the API, by name.
    """


@cases_group.command("list")
@click.option(
    "--state", type=click.Choice([each.value for each in CaseState]), help="Only those in this state; all, if left out."
)
@click.option("--channel", type=User(), help="Only those about this channel.")
@click.option("--newest", is_flag=True, help="The newest first, instead of the most urgent.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many at most.")
@json_option
@config_options
def list_cases(
    state: str | None,
    channel: str | None,
    newest: bool,
    limit: int,
    as_json: bool,
    config_file: Path | None,
    data_dir: Path | None,
) -> None:
    """List cases, the most urgent first."""
    query = {"order": "newest" if newest else "priority", "limit": str(limit)}
    query |= {name: value for name, value in (("state", state), ("channel", channel)) if value}
    found = on_server(load(config_file, data_dir), lambda server: RemoteModeration(server).list_cases(query))
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "priority", "what", "category", "state", "reporters", "opened", "who has it"),
        [
            (
                case.id,
                f"{case.priority:.1f}",
                f"{case.target.kind.value} {case.target.id}",
                case.title,
                case.state.value,
                str(case.reporters),
                format_time(case.opened_at),
                case.claimed_by,
            )
            for case in found
        ],
        nothing="There are no cases.",
    )


@cases_group.command("show")
@click.argument("case")
@json_option
@config_options
def show_case(case: str, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """Show CASE, by its id or by the reference that a reporter says, such as 7F3K-92."""
    found = _find(load(config_file, data_dir), case)
    if as_json:
        print_json(found)
        return
    click.echo(f"case      {found.id}")
    click.echo(f"what      {found.target.kind.value} {found.target.id} ({found.target.path})")
    click.echo(f"category  {found.title}{', restricted' if found.restricted else ''}")
    has = f", {found.claimed_by} has it" if found.claimed_by and found.state is CaseState.CLAIMED else ""
    click.echo(f"state     {found.state.value}{has}")
    click.echo(f"priority  {found.priority:.1f}, {found.reports} reports, {found.reporters} reporters")
    if found.machine_summary:
        click.echo(f"machine   {escape_controls(found.machine_summary)}")
    for report in found.newest_reports:
        click.echo(f"\n{report.reference}  {format_time(report.received_at)}  {report.specification}")
        if report.explanation:
            # A stranger's text: nothing in it moves the cursor.
            click.echo(f"  {escape_controls(report.explanation)}")
    click.echo()
    for act in found.history:
        click.echo(
            f"{format_time(act.at)}  {act.actor} {act.act}{f': {escape_controls(act.text)}' if act.text else ''}"
        )
    for appeal in found.appeals:
        click.echo(f"\ncomplaint {appeal.reference} of the {appeal.party.value}, {appeal.state.value}")
        click.echo(f"  {escape_controls(appeal.text)}")


@cases_group.command("findings")
@click.argument("case")
@click.option("--right", "right", metavar="FINDING", help="Say of a finding that the machine was right.")
@click.option("--wrong", "wrong", metavar="FINDING", help="Say of a finding that it was not.")
@json_option
@config_options
def list_findings(
    case: str, right: str | None, wrong: str | None, as_json: bool, config_file: Path | None, data_dir: Path | None
) -> None:
    """Show what the machine has seen in pictures of CASE, by its id or by a reporter's reference.

    It decides nothing; what people say of its findings is its error rate.
    """
    if right and wrong:
        raise click.UsageError("--right or --wrong")
    config = load(config_file, data_dir)
    case_id = case if is_id(IdKind.CASE, case) else _find(config, case).id
    if finding := right or wrong:
        judged = on_server(
            config, lambda server: RemoteModeration(server).judge_finding(case_id, finding, agreed=bool(right))
        )
        found = [judged]
    else:
        found = on_server(config, lambda server: RemoteModeration(server).list_findings(case_id))
    if as_json:
        print_json(found)
        return
    verdicts = {True: "right", False: "wrong", None: ""}
    print_table(
        ("id", "when", "found", "words", "the machine was", "says"),
        [
            (
                each.id,
                format_time(each.at),
                escape_controls("; ".join(each.signs)) or "nothing",
                escape_controls(" / ".join(each.words)),
                verdicts[each.agreed],
                each.judged_by,
            )
            for each in found
        ],
        nothing="The machine has looked at no picture of this case.",
    )


@cases_group.command("flagger")
@click.argument("name")
def make_flagger(name: str) -> None:
    """Make a token for the trusted flagger NAME, printed this once, and the line for the configuration."""
    if not name.strip() or "=" in name or len(name) > 64:
        raise click.UsageError("a name has 1 to 64 characters, and no =")
    token = f"fl_{secrets.token_urlsafe(_TOKEN_BYTES)}"
    digest = sha256(token.encode()).hexdigest()
    click.echo(f"token, shown now and never again: {token}")
    click.echo(f'[moderation] trusted_flaggers gets: "{name}={digest}"')


def _find(config: Config, text: str) -> CaseDetail:
    if is_id(IdKind.CASE, text):
        return on_server(config, lambda server: RemoteModeration(server).get_case(text))
    if reference_end(text) is None:
        raise click.UsageError("write the id of a case, or a reference such as 7F3K-92")
    found = on_server(config, lambda server: RemoteModeration(server).list_cases({"reference": text}))
    if not found:
        raise StreamdError(f"there is no case of a report {text}")
    return on_server(config, lambda server: RemoteModeration(server).get_case(found[0].id))
