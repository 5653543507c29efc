"""A statement of reasons: what was decided, on what ground, on what facts, and whether a machine had a part in it.

Its JSON is an object of the DSA Transparency Database, so that it can be sent there as it is. Names are taken with
the Commission's prefixes or without, and written with them.

Spec: Regulation (EU) 2022/2065 articles 17 and 24(5); https://transparency.dsa.ec.europa.eu/page/api-documentation.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from streamd.errors import StatementError
from streamd.services.keys.stream_key import StreamKey
from streamd.services.moderation.categories import Category
from streamd.services.moderation.territory import countries_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The Commission's: characters of each text.
FACTS_CHARS_MAX: Final = 5000
EXPLANATION_CHARS_MAX: Final = 2000
GROUND_CHARS_MAX: Final = 500
PUID_CHARS_MAX: Final = 500
OTHER_CHARS_MAX: Final = 500
# More than any list of the schema has; checked before a list is read.
ITEMS_MAX: Final = 300
_PUID: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{PUID_CHARS_MAX}}}")
_KEYWORD: Final = re.compile(r"KEYWORD_[A-Z0-9_]{1,80}")


class Visibility(enum.StrEnum):
    """``decision_visibility``: what becomes of what is shown."""

    CONTENT_REMOVED = "DECISION_VISIBILITY_CONTENT_REMOVED"
    CONTENT_DISABLED = "DECISION_VISIBILITY_CONTENT_DISABLED"
    CONTENT_DEMOTED = "DECISION_VISIBILITY_CONTENT_DEMOTED"
    CONTENT_AGE_RESTRICTED = "DECISION_VISIBILITY_CONTENT_AGE_RESTRICTED"
    CONTENT_INTERACTION_RESTRICTED = "DECISION_VISIBILITY_CONTENT_INTERACTION_RESTRICTED"
    CONTENT_LABELLED = "DECISION_VISIBILITY_CONTENT_LABELLED"
    OTHER = "DECISION_VISIBILITY_OTHER"


class Provision(enum.StrEnum):
    """``decision_provision``: what becomes of the service to the broadcaster."""

    PARTIAL_SUSPENSION = "DECISION_PROVISION_PARTIAL_SUSPENSION"
    TOTAL_SUSPENSION = "DECISION_PROVISION_TOTAL_SUSPENSION"
    PARTIAL_TERMINATION = "DECISION_PROVISION_PARTIAL_TERMINATION"
    TOTAL_TERMINATION = "DECISION_PROVISION_TOTAL_TERMINATION"


class Account(enum.StrEnum):
    """``decision_account``: what becomes of the broadcaster's account."""

    SUSPENDED = "DECISION_ACCOUNT_SUSPENDED"
    TERMINATED = "DECISION_ACCOUNT_TERMINATED"


class Ground(enum.StrEnum):
    """``decision_ground``."""

    ILLEGAL_CONTENT = "DECISION_GROUND_ILLEGAL_CONTENT"
    INCOMPATIBLE_CONTENT = "DECISION_GROUND_INCOMPATIBLE_CONTENT"


class SourceType(enum.StrEnum):
    """``source_type``: how it came to be looked at."""

    ARTICLE_16 = "SOURCE_ARTICLE_16"
    """A notice."""
    TRUSTED_FLAGGER = "SOURCE_TRUSTED_FLAGGER"
    OTHER_NOTIFICATION = "SOURCE_TYPE_OTHER_NOTIFICATION"
    """An authority's order, among others."""
    VOLUNTARY = "SOURCE_VOLUNTARY"


class AutomatedDecision(enum.StrEnum):
    """``automated_decision``."""

    FULLY = "AUTOMATED_DECISION_FULLY"
    PARTIALLY = "AUTOMATED_DECISION_PARTIALLY"
    NOT_AUTOMATED = "AUTOMATED_DECISION_NOT_AUTOMATED"


class ContentType(enum.StrEnum):
    """``content_type``."""

    APP = "CONTENT_TYPE_APP"
    AUDIO = "CONTENT_TYPE_AUDIO"
    IMAGE = "CONTENT_TYPE_IMAGE"
    PRODUCT = "CONTENT_TYPE_PRODUCT"
    SYNTHETIC_MEDIA = "CONTENT_TYPE_SYNTHETIC_MEDIA"
    TEXT = "CONTENT_TYPE_TEXT"
    VIDEO = "CONTENT_TYPE_VIDEO"
    OTHER = "CONTENT_TYPE_OTHER"


# Before the names of categories, in the Commission's JSON.
CATEGORY_PREFIX: Final = "STATEMENT_CATEGORY_"

_Choice = TypeVar("_Choice", bound=enum.StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement of reasons whose parts fit each other."""

    decision_ground: Ground
    category: Category
    decision_facts: str
    """On what facts and circumstances, at most 5,000 characters."""
    decision_visibility: tuple[Visibility, ...] = ()
    decision_visibility_other: str = ""
    """What ``OTHER`` is."""
    decision_provision: Provision | None = None
    decision_account: Account | None = None
    illegal_content_legal_ground: str = ""
    """The law."""
    illegal_content_explanation: str = ""
    incompatible_content_ground: str = ""
    """The rule of the operator's."""
    incompatible_content_explanation: str = ""
    category_specification: tuple[str, ...] = ()
    """Keywords of the category: ``KEYWORD_…``."""
    territorial_scope: tuple[str, ...] = ()
    """Countries, sorted; empty for everywhere."""
    source_type: SourceType = SourceType.VOLUNTARY
    source_identity: str = ""
    """Who gave notice, where that was no private person."""
    automated_detection: bool = False
    automated_decision: AutomatedDecision = AutomatedDecision.NOT_AUTOMATED
    content_type: tuple[ContentType, ...] = (ContentType.VIDEO,)
    content_type_other: str = ""
    content_date: date | None = None
    """When it was shown first."""
    application_date: date | None = None
    """From when the decision holds; the act fills it in."""
    end_date_visibility_restriction: date | None = None
    end_date_service_restriction: date | None = None
    end_date_account_restriction: date | None = None
    puid: str = ""
    """The operator's own id of the decision; the act fills it in."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Read a statement.

        Args:
            given: Its JSON.

        Raises:
            StatementError: Something is missing, or cannot be.
        """
        known = {field.name for field in fields(cls)}
        for name in given:
            if name not in known:
                raise StatementError(name[:64], "there is no such field in a statement of reasons")
        read = _Reader(given)
        ground = read.choice("decision_ground", Ground, "DECISION_GROUND_")
        if ground is None:
            raise StatementError(
                "decision_ground", "a decision needs a ground: ILLEGAL_CONTENT or INCOMPATIBLE_CONTENT"
            )
        automated = read.choice("automated_decision", AutomatedDecision, "AUTOMATED_DECISION_")
        source = read.choice("source_type", SourceType, "SOURCE_", "SOURCE_TYPE_")
        statement = cls(
            decision_ground=ground,
            category=read.category(),
            decision_facts=read.text("decision_facts", FACTS_CHARS_MAX, has_lines=True),
            decision_visibility=read.choices("decision_visibility", Visibility, "DECISION_VISIBILITY_"),
            decision_visibility_other=read.text("decision_visibility_other", OTHER_CHARS_MAX),
            decision_provision=read.choice("decision_provision", Provision, "DECISION_PROVISION_"),
            decision_account=read.choice("decision_account", Account, "DECISION_ACCOUNT_"),
            illegal_content_legal_ground=read.text("illegal_content_legal_ground", GROUND_CHARS_MAX),
            illegal_content_explanation=read.text("illegal_content_explanation", EXPLANATION_CHARS_MAX, has_lines=True),
            incompatible_content_ground=read.text("incompatible_content_ground", GROUND_CHARS_MAX),
            incompatible_content_explanation=read.text(
                "incompatible_content_explanation", EXPLANATION_CHARS_MAX, has_lines=True
            ),
            category_specification=read.keywords(),
            territorial_scope=read.territory(),
            source_type=source or SourceType.VOLUNTARY,
            source_identity=read.text("source_identity", OTHER_CHARS_MAX),
            automated_detection=read.yes("automated_detection"),
            automated_decision=automated or AutomatedDecision.NOT_AUTOMATED,
            content_type=read.choices("content_type", ContentType, "CONTENT_TYPE_") or (ContentType.VIDEO,),
            content_type_other=read.text("content_type_other", OTHER_CHARS_MAX),
            content_date=read.day("content_date"),
            application_date=read.day("application_date"),
            end_date_visibility_restriction=read.day("end_date_visibility_restriction"),
            end_date_service_restriction=read.day("end_date_service_restriction"),
            end_date_account_restriction=read.day("end_date_account_restriction"),
            puid=read.text("puid", PUID_CHARS_MAX),
        )
        statement.check()
        return statement

    def check(self) -> None:
        """See that its parts fit each other.

        Raises:
            StatementError: They do not.
        """
        if not self.decision_facts:
            raise StatementError("decision_facts", "a decision needs its facts")
        if not (self.decision_visibility or self.decision_provision or self.decision_account):
            raise StatementError("decision_visibility", "say what was decided: visibility, provision or account")
        if Visibility.OTHER in self.decision_visibility and not self.decision_visibility_other:
            raise StatementError("decision_visibility_other", "say what OTHER is")
        if ContentType.OTHER in self.content_type and not self.content_type_other:
            raise StatementError("content_type_other", "say what OTHER is")
        if self.decision_ground is Ground.ILLEGAL_CONTENT:
            needed, other = "illegal_content", "incompatible_content"
            parts = ("illegal_content_legal_ground", "illegal_content_explanation")
        else:
            needed, other = "incompatible_content", "illegal_content"
            parts = ("incompatible_content_ground", "incompatible_content_explanation")
        for name in parts:
            if not getattr(self, name):
                raise StatementError(name, f"a decision on the ground of {needed} needs it")
        if self.incompatible_content_ground if other == "incompatible_content" else self.illegal_content_legal_ground:
            raise StatementError("decision_ground", f"the decision says {needed}, and gives a ground of {other}")
        if self.puid and not _PUID.fullmatch(self.puid):
            raise StatementError("puid", "letters, digits, '-' and '_' alone")
        begins = self.application_date
        for name in ("visibility", "service", "account"):
            ends = getattr(self, f"end_date_{name}_restriction")
            if begins is not None and ends is not None and ends < begins:
                raise StatementError(f"end_date_{name}_restriction", "it ends before it begins")

    def as_json(self) -> dict[str, Any]:
        """The object of the Commission's schema; what is not said is left out."""
        found: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "automated_detection":
                found[field.name] = "Yes" if value else "No"
            elif isinstance(value, Category):
                found[field.name] = CATEGORY_PREFIX + value.value
            elif isinstance(value, enum.StrEnum):
                found[field.name] = value.value
            elif isinstance(value, date):
                found[field.name] = value.isoformat()
            elif isinstance(value, tuple):
                if value:
                    found[field.name] = [each.value if isinstance(each, enum.StrEnum) else each for each in value]
            elif value:
                found[field.name] = value
        return found


class _Reader:
    """Reads the fields of a statement's JSON."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def text(self, name: str, chars_max: int, *, has_lines: bool = False) -> str:
        value = self._given.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise StatementError(name, "this is a text")
        if len(value) > chars_max:
            raise StatementError(name, f"it has {len(value)} characters, {chars_max} are allowed")
        value = value.strip().replace("\r\n", "\n")
        for character in value:
            # Line breaks and tabs belong into a long text; a lone surrogate cannot even be written.
            if unicodedata.category(character) in {"Cc", "Cs"} and not (has_lines and character in "\n\t"):
                raise StatementError(name, "it holds a control character")
        if StreamKey.occurs_in(value):
            raise StatementError(name, "it holds a stream key; name the key by its id")
        return value

    def choice(self, name: str, kind: type[_Choice], *prefixes: str) -> _Choice | None:
        value = self._given.get(name)
        if value is None or value == "":
            return None
        return _chosen(name, value, kind, prefixes)

    def choices(self, name: str, kind: type[_Choice], *prefixes: str) -> tuple[_Choice, ...]:
        return tuple(dict.fromkeys(_chosen(name, value, kind, prefixes) for value in self._items(name)))

    def category(self) -> Category:
        value = self._given.get("category")
        if value is None or value == "":
            raise StatementError("category", "a decision needs a category")
        code = value.strip().upper().removeprefix(CATEGORY_PREFIX) if isinstance(value, str) else ""
        if code not in Category.__members__:
            raise StatementError("category", "there is no such category")
        return Category(code)

    def keywords(self) -> tuple[str, ...]:
        found = []
        for value in self._items("category_specification"):
            code = value.strip().upper() if isinstance(value, str) else ""
            code = code if code.startswith("KEYWORD_") else f"KEYWORD_{code}"
            if not _KEYWORD.fullmatch(code):
                raise StatementError("category_specification", "this is a list of the Commission's keywords")
            found.append(code)
        return tuple(dict.fromkeys(found))

    def territory(self) -> tuple[str, ...]:
        items = self._items("territorial_scope")
        if not all(isinstance(value, str) for value in items):
            raise StatementError("territorial_scope", "this is a list of countries")
        try:
            return tuple(sorted(countries_of(items)))
        except ValueError as exc:
            raise StatementError("territorial_scope", str(exc)) from None

    def yes(self, name: str) -> bool:
        value = self._given.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        if isinstance(value, str) and value.lower() in ("yes", "no"):
            return value.lower() == "yes"
        raise StatementError(name, "Yes or No")

    def day(self, name: str) -> date | None:
        value = self._given.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, datetime):
            return value.date()
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(value)
        except (TypeError, ValueError):
            raise StatementError(name, "a date is written as 2026-07-28") from None

    def _items(self, name: str) -> Sequence[Any]:
        value = self._given.get(name)
        if value is None:
            return ()
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, (list, tuple)) or len(value) > ITEMS_MAX:
            raise StatementError(name, f"this is a list of at most {ITEMS_MAX}")
        return value


def _chosen(name: str, value: object, kind: type[_Choice], prefixes: Sequence[str]) -> _Choice:
    code = value.strip().upper() if isinstance(value, str) else ""
    for found in (code, *(f"{prefix}{code}" for prefix in prefixes)):
        if found in kind.__members__.values():
            return kind(found)
    raise StatementError(name, f"one of {', '.join(kind.__members__)}")
