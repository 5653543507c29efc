"""``streamd takedown``: something is dark when the command returns."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from streamd.process.cli.arguments import config_options, json_option, load
from streamd.process.cli.ask import on_server
from streamd.process.cli.output import format_time, print_closed, print_json, print_table, say
from streamd.process.remote_moderation import RemoteModeration
from streamd.services.moderation.categories import Category

# Grounds of one word; any other text is the law that is broken.
_GROUNDS = {
    "illegal": "ILLEGAL_CONTENT",
    "illegal_content": "ILLEGAL_CONTENT",
    "rules": "INCOMPATIBLE_CONTENT",
    "incompatible": "INCOMPATIBLE_CONTENT",
    "incompatible_content": "INCOMPATIBLE_CONTENT",
}


@click.command("takedown")
@click.argument("target", required=False)
@click.option(
    "--ground",
    metavar="illegal|rules|LAW",
    help="It breaks a law, or your rules; or the law itself, such as 'StGB section 131'.",
)
@click.option("--law", default="", help="The law or the rule, beside --ground illegal or rules.")
@click.option("--reason", default="", help="What it shows and why that may not be: for the broadcaster and the log.")
@click.option("--facts", default="", help="When and where that was seen; as --reason, if left out.")
@click.option(
    "--category",
    type=click.Choice([each.value for each in Category], case_sensitive=False),
    help="Of the Digital Services Act.",
)
@click.option(
    "--country",
    "countries",
    multiple=True,
    help="Only there it is not shown (451): two letters, EU or EEA; several times for several.",
)
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Its last day (UTC): then it is shown again.")
@click.option("--restore", "restores", is_flag=True, help="Undo the takedown of the id TARGET in one act.")
@click.option("--list", "lists", is_flag=True, help="List the takedowns that stand.")
@json_option
@config_options
def takedown(
    target: str | None,
    ground: str | None,
    law: str,
    reason: str,
    facts: str,
    category: str | None,
    countries: tuple[str, ...],
    until: datetime | None,
    restores: bool,
    lists: bool,
    as_json: bool,
    config_file: Path | None,
    data_dir: Path | None,
) -> None:
    """Take TARGET down: any URL of the server, a channel, or the id of a key, a recording or a clip.

    When the command returns, the publisher is disconnected, and nothing of it is shown any more: live, past,
    recordings, clips and pictures answer 410. With --country it goes on elsewhere, and is not shown there (451).
    Asks the server that runs on the data directory.
    """
    config = load(config_file, data_dir)
    if lists:
        _list(config, as_json=as_json)
        return
    if target is None:
        raise click.UsageError("say what is to be taken down, or --list")
    if restores:
        restored = on_server(config, lambda server: RemoteModeration(server).restore(target, reason=reason))
        if as_json:
            print_json(restored)
            return
        click.echo(f"{restored.target_kind.value} {restored.target} is shown again.")
        for act in restored.still_dark_by:
            click.echo(f"It stays dark by {act}.")
        return
    if not ground or not reason:
        raise click.UsageError("a takedown needs --ground and --reason")
    body = _statement(ground, law, reason, facts or reason, category) | {"target": target}
    if countries:
        body["territorial_scope"] = list(countries)
    if until is not None:
        body["end_date_visibility_restriction"] = until.date().isoformat()
    done = on_server(config, lambda server: RemoteModeration(server).take_down(body))
    if done.unwritten:
        say(done.unwritten)
    for fault in done.caches:
        say(f"the cache {fault.url} was not told: {fault.why}")
    if as_json:
        print_json(done)
        return
    print_closed(done.closed)
    where = f" in {', '.join(done.statement['territorial_scope'])}" if countries else ""
    click.echo(f"{done.target_kind.value} {done.target} is dark{where}, after {done.took_ms:.0f} ms ({done.id}).")
    click.echo(f"To undo: streamd takedown {done.id} --restore")


def _statement(ground: str, law: str, reason: str, facts: str, category: str | None) -> dict[str, Any]:
    """The fields of the statement of reasons."""
    word = _GROUNDS.get(ground.lower())
    if word is None:
        word, law = "ILLEGAL_CONTENT", law or ground
    if word == "ILLEGAL_CONTENT":
        grounds = {"illegal_content_legal_ground": law or "illegal content", "illegal_content_explanation": reason}
    else:
        grounds = {
            "incompatible_content_ground": law or "the rules of this server",
            "incompatible_content_explanation": reason,
        }
    default = Category.NOT_SPECIFIED_NOTICE if word == "ILLEGAL_CONTENT" else Category.OTHER_VIOLATION_TC
    return {"decision_ground": word, "decision_facts": facts, "category": category or default.value, **grounds}


def _list(config: Any, *, as_json: bool) -> None:
    found = on_server(config, lambda server: RemoteModeration(server).list_takedowns(stands=True))
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "what", "channel", "since", "by", "category"),
        [
            (
                each.id,
                f"{each.target_kind.value} {each.target}",
                each.channel,
                format_time(each.made_at),
                each.made_by,
                str(each.statement.get("category", "")).removeprefix("STATEMENT_CATEGORY_"),
            )
            for each in found
        ],
        nothing="Nothing is taken down.",
    )
