"""The output of the commands: tables for people, JSON for scripts, remarks on stderr."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import click
from pydantic import BaseModel, TypeAdapter

from streamd.process.redaction import Redactor, escape_controls

# A remark may have several lines; all else in it is printed as it is read.
LINE_END = "\n"


def say(line: str) -> None:
    """One line on stderr."""
    click.echo(Redactor().redact(f"streamd: {escape_controls(line, LINE_END)}"), err=True)


def print_json(value: BaseModel | Sequence[BaseModel]) -> None:
    """Print JSON on stdout, for scripts."""
    click.echo(TypeAdapter[object](Any).dump_json(value, indent=2))


def print_table(columns: Iterable[str], rows: Sequence[Sequence[str]], *, nothing: str) -> None:
    """Print a table on stdout.

    Args:
        columns: Their headings.
        rows: A text for each column.
        nothing: The remark on stderr where there are no rows.
    """
    if not rows:
        click.echo(nothing, err=True)
        return
    # Only where there is a table to draw: it is a tenth of a command's time.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        # A reader of a pipe wants whole cells, however long the line.
        console.width = 10_000
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # Text: a label is what its author wrote, not rich's markup.
        table.add_row(*(Text(escape_controls(cell)) for cell in row))
    console.print(table)


def print_closed(names: Iterable[str]) -> None:
    """Print which streams an act has closed."""
    for name in names:
        click.echo(f"Stream {name} was closed.")


def format_time(at: datetime | None, *, none: str = "") -> str:
    """A time as the commands print it: UTC, to the second; ``none`` where there is none."""
    return none if at is None else at.strftime("%Y-%m-%d %H:%M:%SZ")
