"""``streamd nodes``: the nodes of a cluster."""

from __future__ import annotations

from pathlib import Path

import click

from streamd.process.cli.arguments import config_options, json_option, load
from streamd.process.cli.ask import on_server
from streamd.process.cli.output import format_time, print_json, print_table, say
from streamd.process.remote_nodes import RemoteNodes


@click.group("nodes")
def nodes_group() -> None:
    """See the nodes of a cluster, and drain one."""


@nodes_group.command("list")
@json_option
@config_options
def list_nodes(as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """List the nodes whose lease has not run out."""
    found = on_server(load(config_file, data_dir), lambda server: RemoteNodes(server.call).list_nodes())
    if as_json:
        print_json(found)
        return
    print_table(
        ("node", "role", "region", "streams", "viewers", "since", "version", "reached at", ""),
        [
            (
                node.node,
                node.role,
                node.region,
                str(node.streams),
                str(node.viewers),
                format_time(node.started_at),
                node.version,
                node.advertise,
                "drained" if node.draining else "",
            )
            for node in found
        ],
        nothing="There are no nodes.",
    )


@nodes_group.command("drain")
@click.argument("node")
@config_options
def drain_node(node: str, config_file: Path | None, data_dir: Path | None) -> None:
    """Have NODE take no more publishers, and give its streams to the other nodes."""
    drain = on_server(load(config_file, data_dir), lambda server: RemoteNodes(server.call).drain(node))
    if not drain.drained:
        say(f"Node {node} has not said that it is drained: ask again, or look at its log.")
    else:
        click.echo(f"Node {node} is drained: it takes no publishers until it is started again.")
