"""A limit has one name: what the code below the configuration calls a limit is a key of ``[limits]``.

The source is read, not run. Bounds that no operator can set have names, too, where they are counted; docs/limits.md has
them.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streamd.limits import CLIPS, HLS, MODERATION, OBS, PLAYBACK, PUBLISH_HOOK, RECORDING, WEBHOOKS, Limits
from streamd.process.config import Config
from streamd.services.metrics import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
FLOORS = ("errors.py", "formats", "media", "services", "doors")
KEYS = {field.name for field in dataclasses.fields(Limits)}
# Counted elsewhere, or no event: docs/limits.md says which.
COUNTERS = {"count_limit", "_count_limit"}
UNITS = re.compile(r"_(max|min|s)$")


def texts(node: ast.AST | None) -> Iterator[str]:
    """The texts that an expression may come to; a condition's own are none of them."""
    match node:
        case ast.Constant(value=str(text)) if text:
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from texts(body)
            yield from texts(orelse)
        case _:
            pass


def limits_named(source: str) -> Iterator[str]:
    """Every text in a module that is used as the name of a limit."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name), args=[first, *_]) if name in COUNTERS:
                yield from texts(first)
            case ast.Call(
                func=ast.Attribute(attr="labels", value=ast.Attribute(attr="limit_hits_total")), args=[first]
            ):
                yield from texts(first)
            case ast.keyword(arg=str(name), value=value) if name == "limit" or name.endswith("_limit"):
                yield from texts(value)
            case ast.Assign(targets=[ast.Name(id="limit")], value=value):
                yield from texts(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=value) if name.endswith("limit"):
                yield from texts(value)
            case ast.FunctionDef(name=name, args=arguments):
                defaults = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
                for argument, default in defaults:
                    if argument.arg == "limit":
                        yield from texts(default)
                if "passed" in name:
                    for inside in ast.walk(node):
                        if isinstance(inside, ast.Return):
                            yield from texts(inside.value)
            case _:
                pass


def all_named() -> dict[str, set[str]]:
    """The modules in which each name stands."""
    found: dict[str, set[str]] = {}
    for floor in FLOORS:
        place = ROOT / "streamd" / floor
        for path in [place] if place.is_file() else place.rglob("*.py"):
            for name in limits_named(path.read_text(encoding="utf-8")):
                found.setdefault(name, set()).add(path.relative_to(ROOT).as_posix())
    return found


def fixed_bounds() -> set[str]:
    """What docs/limits.md calls a bound that follows from a format or holds a table of ours."""
    _, _, table = (ROOT / "docs/limits.md").read_text(encoding="utf-8").partition("| bound | where |")
    return {name for name in re.findall(r"`(\w+)`", table) if UNITS.search(name)}


@pytest.fixture(scope="module")
def named() -> dict[str, set[str]]:
    return all_named()


def test_whatever_is_called_a_limit_is_a_key_of_the_configuration_or_a_bound_that_is_documented(
    named: dict[str, set[str]],
) -> None:
    assert {name: modules for name, modules in named.items() if name not in KEYS | fixed_bounds()} == {}


def test_whatever_is_counted_is_there_from_the_start(named: dict[str, set[str]]) -> None:
    # It ends what has nothing left to say, and is no event.
    assert named.keys() & KEYS - set(LIMITS) == {"viewer_idle_timeout_s"}


def test_nothing_is_there_that_nobody_counts(named: dict[str, set[str]]) -> None:
    in_other_forms = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "streamd").rglob("*.py"))
    # Beside the list itself, the option and the setting.
    assert [limit for limit in LIMITS if limit not in named and in_other_forms.count(f'"{limit}"') < 2] == []


@pytest.mark.parametrize(
    ("section", "defaults"),
    [
        ("hls", HLS),
        ("obs", OBS),
        ("webhooks", WEBHOOKS),
        ("publish_hook", PUBLISH_HOOK),
        ("recording", RECORDING),
        ("clips", CLIPS),
        ("playback", PLAYBACK),
        ("moderation", MODERATION),
        ("limits", Limits()),
    ],
)
def test_the_configuration_has_its_defaults_from_where_they_are_said(section: str, defaults: object) -> None:
    assert dataclasses.is_dataclass(defaults)
    tree = ast.parse((ROOT / "streamd/process/config/sections.py").read_text(encoding="utf-8"))
    name = type(getattr(Config(), section)).__name__
    (model,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    said = {
        node.target.id: ast.unparse(node.value)
        for node in model.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None
    }
    for field in dataclasses.fields(defaults):
        # No literal: a second one would say something else some day.
        assert said[field.name].strip("[*]").endswith(f".{field.name}")


def test_no_option_below_says_the_number_of_a_key_again() -> None:
    """A field of options that bears the name of a key has its default from ``limits.py``, or says none."""
    keys = {
        (key, getattr(section, key))
        for section in (getattr(Config(), name) for name in Config.model_fields)
        for key in type(section).model_fields
        if isinstance(getattr(section, key), int | float) and not isinstance(getattr(section, key), bool)
    }
    again = []
    for floor in FLOORS[1:]:
        for path in (ROOT / "streamd" / floor).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                match node:
                    case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=number)) if (
                        number and not isinstance(number, bool) and (name, number) in keys
                    ):
                        again.append(f"{path.relative_to(ROOT)}:{node.lineno}: {name}")
    assert again == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("self._count_limit('a_max')", "a_max"),
        ("door.count_limit('a_max' if x == 'y' else 'b_max')", "b_max"),
        ("metrics.limit_hits_total.labels('a_max').inc()", "a_max"),
        ("raise AmfError('deep', limit='a_max')", "a_max"),
        ("ChunkLimits(message_limit='a_max' if small else 'b_max')", "b_max"),
        ("message_limit: str = 'a_max'", "a_max"),
        ("limit = 'a_max'", "a_max"),
        ("def f(self, *, limit: str = 'a_max') -> None: ...", "a_max"),
        ("def passed_limit(self):\n    return 'a_max' if x else None", "a_max"),
    ],
)
def test_a_name_is_found_in_each_form(source: str, name: str) -> None:
    assert name in set(limits_named(source))
    assert "y" not in set(limits_named(source))
