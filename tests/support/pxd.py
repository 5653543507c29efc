"""What a ``.pxd`` tells the compiler, and what the module beside it says of the same names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

FLOATS = {"double", "float"}
INTEGERS = {"int64_t", "uint64_t", "uint32_t", "uint8_t", "int", "long", "long long", "unsigned long", "Py_ssize_t"}


@dataclass
class Function:
    """A function or method."""

    parameters: dict[str, str] = field(default_factory=dict)
    """Types by name, in order; ``object`` where none is said."""
    defaults: int = 0
    """How many of them may be left out."""
    locals: dict[str, str] = field(default_factory=dict)
    """Types of variables by name, those of parameters included."""


@dataclass
class Declared:
    """What one ``.pxd`` declares."""

    attributes: dict[str, dict[str, str]] = field(default_factory=dict)
    """Types by attribute, by class."""
    functions: dict[str, Function] = field(default_factory=dict)
    """By name; of a method with its class before it: ``Intake.receive``."""
    variables: dict[str, str] = field(default_factory=dict)
    """Types of the module's own variables."""


def read_pxd(text: str) -> Declared:
    """Read the declarations of a ``.pxd``; what it imports and what is C alone is left out."""
    found = Declared()
    owner = ""
    local_types: dict[str, str] = {}
    for line in _statements(text):
        statement = line.strip()
        if not line.startswith(" "):
            owner = ""
        if match := re.match(r"cdef class (\w+)", statement):
            owner = match[1]
            found.attributes[owner] = {}
        elif match := re.fullmatch(r"@cython\.locals\((.*?),?\s*\)", statement):
            local_types = dict(pair.strip().split("=") for pair in match[1].split(",") if pair.strip())
        elif match := re.match(r"c(?:p)?def (?:inline )?(.*?)(\w+)\((.*)\)", statement):
            function = _function(match[3])
            function.locals = {name: kind.strip('"') for name, kind in local_types.items()}
            found.functions[f"{owner}.{match[2]}" if owner else match[2]] = function
            local_types = {}
        elif match := re.fullmatch(r"cdef (?:public |readonly )?(.+) (\w+)", statement):
            (found.attributes[owner] if owner else found.variables)[match[2]] = match[1]
    for names in found.attributes.values():
        names.pop("__weakref__", None)
    return found


def _statements(text: str) -> Iterator[str]:
    """Lines, those within brackets joined."""
    line = ""
    for part in text.splitlines():
        line = f"{line} {part.strip()}" if line else part
        if line.count("(") == line.count(")"):
            if line.strip() and not line.strip().startswith("#"):
                yield line
            line = ""


def _function(parameters: str) -> Function:
    function = Function()
    for parameter in filter(None, map(str.strip, parameters.split(","))):
        declared, _, default = parameter.partition("=")
        kind, _, name = declared.strip().rpartition(" ")
        function.parameters[name] = kind or "object"
        function.defaults += bool(default)
    function.parameters.pop("self", None)
    return function


def functions_of(module: ast.Module) -> dict[str, ast.FunctionDef]:
    """Functions and methods of a module, named as in ``Declared.functions``."""
    found = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
    for owner in (node for node in module.body if isinstance(node, ast.ClassDef)):
        found |= {f"{owner.name}.{node.name}": node for node in owner.body if isinstance(node, ast.FunctionDef)}
    return found


def parameters_of(function: ast.FunctionDef) -> dict[str, str]:
    """Annotations by name, in order, without ``self``; empty where there is none."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return {
        each.arg: ast.unparse(each.annotation) if each.annotation is not None else ""
        for each in arguments
        if each.arg not in ("self", "cls")
    }


def names_in(function: ast.FunctionDef) -> set[str]:
    """Variables that a function assigns to, and its parameters."""
    assigned = {
        node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    return assigned | parameters_of(function).keys()


def attributes_of(module: ast.Module) -> dict[str, dict[str, str]]:
    """Attributes by class, with their annotations: of fields, of ``self``, and of the parameters they are set to.

    The annotation is empty where only an inference would tell.
    """
    found: dict[str, dict[str, str]] = {}
    for owner in (node for node in module.body if isinstance(node, ast.ClassDef)):
        names = found.setdefault(owner.name, {})
        for statement in owner.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                names[statement.target.id] = ast.unparse(statement.annotation)
        for method in (node for node in owner.body if isinstance(node, ast.FunctionDef)):
            parameters = parameters_of(method)
            for node in ast.walk(method):
                match node:
                    case ast.AnnAssign(
                        target=ast.Attribute(value=ast.Name(id="self"), attr=name), annotation=annotation
                    ):
                        names[name] = ast.unparse(annotation)
                    case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)], value=value):
                        is_parameter = isinstance(value, ast.Name) and method.name == "__init__"
                        said = parameters.get(value.id, "") if is_parameter and isinstance(value, ast.Name) else ""
                        names[name] = names.get(name) or said
                    case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                        names.setdefault(name, "")
                    case _:
                        pass
    return found


def fits(annotation: str, declared: str) -> bool:
    """Whether a variable of a type in C can hold what the annotation says, and nothing less.

    Args:
        annotation: As in the module; empty where none is said, which fits everything.
        declared: As in the ``.pxd``.
    """
    if declared == "object" or not annotation:
        return True
    options = {ast.unparse(option) for option in _options(ast.parse(annotation, mode="eval").body)}
    if declared in INTEGERS:
        return options <= {"int", "TrackId"}
    if declared in FLOATS:
        return options == {"float"}
    if declared == "bint":
        return options == {"bool"}
    named = {re.split(r"[\[.]", option)[0] for option in options - {"None"}}
    return named == {declared}


def _options(annotation: ast.expr) -> Iterator[ast.expr]:
    if isinstance(annotation, ast.BinOp):
        yield from (*_options(annotation.left), *_options(annotation.right))
    else:
        yield annotation
