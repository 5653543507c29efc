"""Wrongs of a broadcast: the categories of the EU's Digital Services Act, how grave each is, and names.

The names are those of the Commission's schema for statements of reasons, so that what is reported here, decided here
and published here needs no translation.

Spec: Regulation (EU) 2022/2065, articles 16, 17 and 24; the DSA Transparency Database's API, "category" and
"category_specification" (2026-06).
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Category(StrEnum):
    """A category of the Commission's schema, without its prefix ``STATEMENT_CATEGORY_``."""

    ANIMAL_WELFARE = "ANIMAL_WELFARE"
    CONSUMER_INFORMATION = "CONSUMER_INFORMATION"
    CYBER_VIOLENCE = "CYBER_VIOLENCE"
    CYBER_VIOLENCE_AGAINST_WOMEN = "CYBER_VIOLENCE_AGAINST_WOMEN"
    DATA_PROTECTION_AND_PRIVACY_VIOLATIONS = "DATA_PROTECTION_AND_PRIVACY_VIOLATIONS"
    ILLEGAL_OR_HARMFUL_SPEECH = "ILLEGAL_OR_HARMFUL_SPEECH"
    INTELLECTUAL_PROPERTY_INFRINGEMENTS = "INTELLECTUAL_PROPERTY_INFRINGEMENTS"
    NEGATIVE_EFFECTS_ON_CIVIC_DISCOURSE_OR_ELECTIONS = "NEGATIVE_EFFECTS_ON_CIVIC_DISCOURSE_OR_ELECTIONS"
    NOT_SPECIFIED_NOTICE = "NOT_SPECIFIED_NOTICE"
    OTHER_VIOLATION_TC = "OTHER_VIOLATION_TC"
    PROTECTION_OF_MINORS = "PROTECTION_OF_MINORS"
    RISK_FOR_PUBLIC_SECURITY = "RISK_FOR_PUBLIC_SECURITY"
    SCAMS_AND_FRAUD = "SCAMS_AND_FRAUD"
    SELF_HARM = "SELF_HARM"
    UNSAFE_AND_PROHIBITED_PRODUCTS = "UNSAFE_AND_PROHIBITED_PRODUCTS"
    VIOLENCE = "VIOLENCE"


class Keyword(StrEnum):
    """What a report can say beside its category.

    Those of the Commission's ``category_specification`` that the menu offers; a statement of reasons may have others.
    """

    ANIMAL_HARM = "KEYWORD_ANIMAL_HARM"
    CHILD_SEXUAL_ABUSE_MATERIAL = "KEYWORD_CHILD_SEXUAL_ABUSE_MATERIAL"
    COPYRIGHT_INFRINGEMENT = "KEYWORD_COPYRIGHT_INFRINGEMENT"
    DEFAMATION = "KEYWORD_DEFAMATION"
    DISCRIMINATION = "KEYWORD_DISCRIMINATION"
    GROOMING_SEXUAL_ENTICEMENT_MINORS = "KEYWORD_GROOMING_SEXUAL_ENTICEMENT_MINORS"
    HATE_SPEECH = "KEYWORD_HATE_SPEECH"
    INCITEMENT_VIOLENCE_HATRED = "KEYWORD_INCITEMENT_VIOLENCE_HATRED"
    NON_CONSENSUAL_IMAGE_SHARING = "KEYWORD_NON_CONSENSUAL_IMAGE_SHARING"
    PHISHING = "KEYWORD_PHISHING"
    SELF_MUTILATION = "KEYWORD_SELF_MUTILATION"
    SUICIDE = "KEYWORD_SUICIDE"
    TERRORIST_CONTENT = "KEYWORD_TERRORIST_CONTENT"
    TRADEMARK_INFRINGEMENT = "KEYWORD_TRADEMARK_INFRINGEMENT"


SEVERITY: Final[Mapping[Category, float]] = MappingProxyType(
    {
        # Harm that is done to somebody while it is shown comes first; wrongs that can be settled tomorrow, last.
        Category.PROTECTION_OF_MINORS: 10.0,
        Category.SELF_HARM: 9.0,
        Category.RISK_FOR_PUBLIC_SECURITY: 9.0,
        Category.VIOLENCE: 8.0,
        Category.CYBER_VIOLENCE_AGAINST_WOMEN: 7.0,
        Category.CYBER_VIOLENCE: 6.0,
        Category.ILLEGAL_OR_HARMFUL_SPEECH: 6.0,
        Category.ANIMAL_WELFARE: 5.0,
        Category.SCAMS_AND_FRAUD: 5.0,
        Category.DATA_PROTECTION_AND_PRIVACY_VIOLATIONS: 4.0,
        Category.NEGATIVE_EFFECTS_ON_CIVIC_DISCOURSE_OR_ELECTIONS: 4.0,
        Category.UNSAFE_AND_PROHIBITED_PRODUCTS: 4.0,
        Category.INTELLECTUAL_PROPERTY_INFRINGEMENTS: 3.0,
        Category.CONSUMER_INFORMATION: 2.0,
        Category.NOT_SPECIFIED_NOTICE: 2.0,
        Category.OTHER_VIOLATION_TC: 1.0,
    }
)
"""How grave each is, 1 to 10: the first factor of a case's priority."""

TITLES: Final[Mapping[Category, str]] = MappingProxyType(
    {
        Category.ANIMAL_WELFARE: "animal welfare",
        Category.CONSUMER_INFORMATION: "consumer information",
        Category.CYBER_VIOLENCE: "cyber violence",
        Category.CYBER_VIOLENCE_AGAINST_WOMEN: "cyber violence against women",
        Category.DATA_PROTECTION_AND_PRIVACY_VIOLATIONS: "data protection and privacy",
        Category.ILLEGAL_OR_HARMFUL_SPEECH: "illegal or harmful speech",
        Category.INTELLECTUAL_PROPERTY_INFRINGEMENTS: "intellectual property",
        Category.NEGATIVE_EFFECTS_ON_CIVIC_DISCOURSE_OR_ELECTIONS: "civic discourse or elections",
        Category.NOT_SPECIFIED_NOTICE: "not specified",
        Category.OTHER_VIOLATION_TC: "the rules of this server",
        Category.PROTECTION_OF_MINORS: "protection of minors",
        Category.RISK_FOR_PUBLIC_SECURITY: "risk for public security",
        Category.SCAMS_AND_FRAUD: "scams and fraud",
        Category.SELF_HARM: "self-harm",
        Category.UNSAFE_AND_PROHIBITED_PRODUCTS: "unsafe or prohibited products",
        Category.VIOLENCE: "violence",
    }
)
"""For operators, in English."""


def is_restricted(keyword: Keyword | None) -> bool:
    """Whether what is reported may be seen by nobody who need not see it: child sexual abuse.

    Its reporter need give no name either (article 16(2)(c)).
    """
    return keyword is Keyword.CHILD_SEXUAL_ABUSE_MATERIAL or keyword is Keyword.GROOMING_SEXUAL_ENTICEMENT_MINORS
