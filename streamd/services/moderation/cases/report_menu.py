"""The menu of reasons for a report, and the words of its pages, in the reader's language: data, not code.

The server drives the menu: a client shows what it is given, and sends back what was chosen. ``texts/menu.json`` is the
tree, and each other file there a language.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from pydantic import TypeAdapter

from streamd.services.moderation.categories import Category, Keyword

TEXTS: Final = Path(__file__).with_name("texts")
DEFAULT_LANGUAGE: Final = "en"
ROOT_OPTION: Final = ""
# A browser sends some five languages; more is no browser's.
RANGES_MAX: Final = 16
FIELD_LENGTH_MAX: Final = 512


@dataclass(frozen=True, slots=True)
class Reason:
    """A leaf of the menu: what is reported."""

    category: Category
    keyword: Keyword | None = None
    explanation: Literal["optional", "required"] = "optional"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the options that are offered."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """What a client shows next."""

    option: str
    """What was chosen so far; empty at the beginning."""
    text: str
    choices: Sequence[Choice]
    """Empty once a reason is chosen."""
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Words:
    """The texts of one language."""

    language: str
    options: Mapping[str, str]
    page: Mapping[str, str]
    errors: Mapping[str, str]


class ReportMenu:
    """The menu in all its languages, in memory.

    Args:
        folder: Where the files are; the package's own unless a test says otherwise.

    Raises:
        OSError: A file of the package cannot be read.
        ValueError: A file is not what it should be; the text says what.
    """

    def __init__(self, folder: Path = TEXTS) -> None:
        # The checks of the files are made where moderation is on, and not with each start.
        tree = TypeAdapter(dict[str, list[str] | Reason]).validate_json((folder / "menu.json").read_bytes())
        self._tree: Mapping[str, list[str] | Reason] = MappingProxyType(tree)
        files = [path for path in sorted(folder.glob("*.json")) if path.stem != "menu"]
        self.words: Mapping[str, Words] = {path.stem: _words(path, tree) for path in files}
        """By language."""

    @property
    def languages(self) -> Sequence[str]:
        """Those that there are, the default one first."""
        return sorted(self.words, key=lambda language: (language != DEFAULT_LANGUAGE, language))

    def words_for(self, wanted: str, accept_language: str = "") -> Words:
        """The texts in the reader's language.

        Args:
            wanted: A language that was asked for by name; may be empty or any other text.
            accept_language: The field that a browser sends (RFC 9110 section 12.5.4).
        """
        for language in (wanted.strip().lower(), *_accepted(accept_language)):
            # "en-GB" is served with "en" (RFC 4647 section 3.4, lookup).
            for tag in (language, language.partition("-")[0]):
                if tag in self.words:
                    return self.words[tag]
        return self.words[DEFAULT_LANGUAGE]

    def step(self, option: str, words: Words) -> Step | None:
        """What follows a choice; None where there is no such option.

        Args:
            option: What was chosen; empty for the beginning.
            words: Of the reader's language.
        """
        found = self._tree.get(option)
        if found is None:
            return None
        text = words.options[option]
        if isinstance(found, Reason):
            return Step(option, text, (), found)
        return Step(option, text, [Choice(each, words.options[each]) for each in found], None)

    def reason(self, option: str) -> Reason | None:
        """The reason that an option is; None where it is none."""
        found = self._tree.get(option)
        return found if isinstance(found, Reason) else None

    def groups(self, words: Words) -> list[tuple[str, list[tuple[Choice, Reason]]]]:
        """All reasons under the choices of the beginning, for a page that shows them at once."""
        first = self._tree[ROOT_OPTION]
        assert isinstance(first, list), "the beginning has options"
        return [(words.options[each], self._leaves(each, words)) for each in first]

    def _leaves(self, option: str, words: Words) -> list[tuple[Choice, Reason]]:
        found = self._tree[option]
        if isinstance(found, Reason):
            return [(Choice(option, words.options[option]), found)]
        return [leaf for each in found for leaf in self._leaves(each, words)]


def _words(path: Path, tree: Mapping[str, Any]) -> Words:
    texts = TypeAdapter(dict[str, dict[str, str]]).validate_json(path.read_bytes())
    if set(texts) != {"options", "page", "errors"}:
        raise ValueError(f"{path.name} has options, page and errors")
    if set(texts["options"]) != set(tree):
        differing = sorted(set(texts["options"]) ^ set(tree))
        raise ValueError(f"{path.name} has not the options of the menu: {', '.join(differing)}")
    return Words(path.stem, texts["options"], texts["page"], texts["errors"])


def _accepted(field: str) -> list[str]:
    """The languages of an ``Accept-Language`` field, the most wanted first."""
    found: list[tuple[float, int, str]] = []
    for index, item in enumerate(field[:FIELD_LENGTH_MAX].split(",")[:RANGES_MAX]):
        tag, _, parameter = item.strip().lower().partition(";")
        quality = parameter.strip().removeprefix("q=") or "1"
        try:
            weight = float(quality)
        except ValueError:
            continue
        if tag and weight > 0:
            found.append((-weight, index, tag.strip()))
    return [tag for _, _, tag in sorted(found)]
