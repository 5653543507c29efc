"""The console's names of the acts in the audit log, held against the acts that the server writes there."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from streamd.doors.web.assets import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = ROOT.parents[1]
LABELS = (ROOT / "static" / "console" / "audit_labels.js").read_text("utf-8").partition("\n};")[0]
NAMED = set(re.findall(r'^  "([a-z.]+)": ', LABELS, re.MULTILINE))


def written() -> Iterator[str]:
    """The actions that stand in the code: where a row is made, or as a constant for one."""
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="entry_of" | "case_entry" | "AuditEntry"), args=[_, _, action, *_]):
                    yield from _texts(action)
                case ast.Call(func=ast.Attribute(attr="_entry") | ast.Name(id="_entry"), args=values):
                    yield from (text for value in values for text in _texts(value))
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if (
                    name.endswith("_DENIED") or name == "action"
                ):
                    yield from _texts(value)


def _texts(node: ast.expr) -> Iterator[str]:
    for each in ast.walk(node):
        if (
            isinstance(each, ast.Constant)
            and isinstance(each.value, str)
            and re.fullmatch(r"[a-z]+\.[a-z]+", each.value)
        ):
            yield each.value


def test_every_act_that_is_written_has_a_name_in_the_console_and_no_other_has() -> None:
    assert set(written()) == NAMED
