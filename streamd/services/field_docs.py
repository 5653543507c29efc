"""The string under each field of a model, read from its source when somebody asks for it.

pydantic can read them itself (``use_attribute_docstrings``), and then does so for every class while its module is
imported: half of a server's start and more than half of a command's went into it, for texts that are seen in the API's
description and in the file of defaults alone.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel


def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """The text of each field that has one, by its name; a class that inherits a field inherits its text.

    Args:
        model: A class of a module, not of a function.
    """
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        found |= _docs_of(base.__module__).get(base.__name__, {}) if base.__module__.startswith("streamd.") else {}
    return {name: text for name, text in found.items() if name in model.model_fields}


@cache
def _docs_of(module: str) -> Mapping[str, Mapping[str, str]]:
    """The texts of a module's classes, by class and field."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: _docs_in(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _docs_in(node: ast.ClassDef) -> Mapping[str, str]:
    docs: dict[str, str] = {}
    for field, below in itertools.pairwise(node.body):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            docs[field.target.id] = inspect.cleandoc(below.value.value)
    return docs
