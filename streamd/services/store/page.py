"""A piece of a list, as a store hands it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[_Item]):
    """A piece of a list, in the order of its cursor."""

    items: Sequence[_Item]
    has_more: bool
    """There are items after the last of these."""
