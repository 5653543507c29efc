"""What the compiler is told of a module, held against the module: a build finds out too late, and on few machines.

A name in a ``.pxd`` that the module has no more is no error to the compiler: the variable is an object again, and slow.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.pxd import (
    Declared,
    attributes_of,
    fits,
    functions_of,
    names_in,
    parameters_of,
    read_pxd,
)

ROOT = Path(__file__).parent.parent
DECLARATIONS = sorted(path for path in (ROOT / "streamd").rglob("*.pxd") if path.with_suffix(".py").exists())


@pytest.fixture(params=DECLARATIONS, ids=lambda path: str(path.relative_to(ROOT)))
def twins(request: pytest.FixtureRequest) -> tuple[Declared, ast.Module]:
    """What is declared, and the module that it is declared of."""
    path: Path = request.param
    return read_pxd(path.read_text("utf-8")), ast.parse(path.with_suffix(".py").read_text("utf-8"))


def test_a_class_has_the_attributes_that_the_compiler_is_told_of(twins: tuple[Declared, ast.Module]) -> None:
    declared, module = twins
    attributes = attributes_of(module)
    assert {name: set(attributes.get(name, ())) for name in declared.attributes} == {
        name: set(names) for name, names in declared.attributes.items()
    }


def test_an_attribute_is_of_one_type(twins: tuple[Declared, ast.Module]) -> None:
    declared, module = twins
    annotated = attributes_of(module)
    assert [
        f"{owner}.{name}: {annotated[owner][name]}, and {kind} in C"
        for owner, names in declared.attributes.items()
        for name, kind in names.items()
        if not fits(annotated[owner][name], kind)
    ] == []


def test_a_function_has_the_parameters_that_the_compiler_is_told_of(twins: tuple[Declared, ast.Module]) -> None:
    declared, module = twins
    functions = functions_of(module)
    assert declared.functions.keys() <= functions.keys()
    for name, told in declared.functions.items():
        parameters = parameters_of(functions[name])
        assert list(told.parameters) == list(parameters), name
        arguments = functions[name].args
        assert told.defaults == len(arguments.defaults) + sum(each is not None for each in arguments.kw_defaults), name
        assert [each for each, kind in told.parameters.items() if not fits(parameters[each], kind)] == [], name


def test_a_function_has_the_variables_that_the_compiler_is_told_of(twins: tuple[Declared, ast.Module]) -> None:
    declared, module = twins
    functions = functions_of(module)
    assert [
        f"{name}: {variable}"
        for name, told in declared.functions.items()
        for variable in sorted(told.locals.keys() - names_in(functions[name]))
    ] == []


def test_a_module_has_the_variables_that_the_compiler_is_told_of(twins: tuple[Declared, ast.Module]) -> None:
    declared, module = twins
    assigned = {
        node.id
        for statement in module.body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    assert sorted(declared.variables.keys() - assigned) == []


def test_a_variable_of_c_is_private(twins: tuple[Declared, ast.Module]) -> None:
    """To the compiler's module alone it is known: another module that imports it finds nothing there."""
    declared, _ = twins
    assert [name for name in declared.variables if not name.startswith("_")] == []


def test_there_are_classes_to_compile() -> None:
    assert len(DECLARATIONS) > 10


def test_every_compiled_module_has_a_figure_of_what_compiling_it_brings() -> None:
    figures = (ROOT / "bench" / "README.md").read_text("utf-8").partition("### What each compiled module brings\n")[2]
    told = re.findall(r"^\| `([\w/]+)` \|.*\d", figures.partition("\n### ")[0], re.MULTILINE)
    assert told == [path.relative_to(ROOT / "streamd").with_suffix("").as_posix() for path in DECLARATIONS]


def test_what_is_written_in_c_is_written_in_python_too() -> None:
    c_functions = (ROOT / "streamd" / "formats" / "memory_c.pxd").read_text("utf-8")
    in_c = re.findall(r"^    (?:int|Py_ssize_t|bytes|bytearray|void) (\w+) \"", c_functions, re.MULTILINE)
    module = ast.parse((ROOT / "streamd" / "formats" / "memory.py").read_text("utf-8"))
    assert sorted(in_c) == sorted(node.name for node in module.body if isinstance(node, ast.FunctionDef))


class TestReading:
    """That the tests above see what they are to see."""

    def test_a_declaration(self) -> None:
        declared = read_pxd(
            "cimport cython\n\ncdef int64_t _MAX\n\n@cython.final\ncdef class A:\n    cdef readonly list parts\n"
            "    cdef unsigned long _id\n    cdef object __weakref__\n\n"
            "    @cython.locals(\n        a=int64_t,\n    )\n"
            "    cdef bint take(self, B b, Py_ssize_t size=*) except -1\n"
        )
        assert declared.variables == {"_MAX": "int64_t"}
        assert declared.attributes == {"A": {"parts": "list", "_id": "unsigned long"}}
        told = declared.functions["A.take"]
        assert told.parameters == {"b": "B", "size": "Py_ssize_t"}
        assert (told.defaults, told.locals) == (1, {"a": "int64_t"})

    def test_an_annotation(self) -> None:
        module = ast.parse(
            "class A:\n    def __init__(self, b: int | None):\n        self._b = b\n        self.c: list[int] = []"
        )
        assert attributes_of(module) == {"A": {"_b": "int | None", "c": "list[int]"}}

    @pytest.mark.parametrize(
        ("annotation", "declared"),
        [("int", "bint"), ("bool", "int64_t"), ("int | None", "int64_t"), ("list[int]", "tuple"), ("B", "C")],
    )
    def test_types_that_do_not_fit(self, annotation: str, declared: str) -> None:
        assert not fits(annotation, declared)

    @pytest.mark.parametrize(
        ("annotation", "declared"),
        [
            ("int", "Py_ssize_t"),
            ("bool", "bint"),
            ("B | None", "B"),
            ("list[B]", "list"),
            ("B | C", "object"),
            ("", "B"),
        ],
    )
    def test_types_that_fit(self, annotation: str, declared: str) -> None:
        assert fits(annotation, declared)
