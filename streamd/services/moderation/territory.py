"""Countries and groups of them, by the codes that orders and statements of reasons have.

Spec: ISO 3166-1 alpha-2; the DSA Transparency Database's ``territorial_scope`` names the EU and the EEA besides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_ALL: Final = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ "
    "CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR "
    "GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO "
    "JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR "
    "MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO "
    "RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV "
    "TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW XK"
)
_EU: Final = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
COUNTRIES: Final = frozenset(_ALL.split())
"""All there are; ``XK`` is Kosovo's by use, and the databases of addresses have it."""
EU: Final = frozenset(_EU.split())
EEA: Final = EU | {"IS", "LI", "NO"}
_GROUPS: Final = {"EU": EU, "EEA": EEA}
# The Commission writes Greece and the United Kingdom as it always has.
_OTHERWISE: Final = {"EL": "GR", "UK": "GB"}


def countries_of(scope: Iterable[str]) -> frozenset[str]:
    """The countries that a territorial scope names.

    Args:
        scope: Codes of countries, ``EU`` or ``EEA``, in large letters or small ones.

    Raises:
        ValueError: One of them is none; the text says which.
    """
    found: set[str] = set()
    for text in scope:
        code = text.strip().upper()
        code = _OTHERWISE.get(code, code)
        if code in _GROUPS:
            found |= _GROUPS[code]
        elif code in COUNTRIES:
            found.add(code)
        else:
            raise ValueError(f"{text[:16]!r} is no country: write two letters (ISO 3166), EU or EEA")
    return frozenset(found)
