"""The settings of ``[playback]`` that the gate goes by."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.limits import PLAYBACK
from streamd.services.playback.policy import Policy


@dataclass(frozen=True, slots=True)
class GateOptions:
    """The settings of ``[playback]`` that the gate goes by."""

    policy: Policy = Policy.PUBLIC
    issuer: str = ""
    audience: str = ""
    leeway_s: int = PLAYBACK.leeway_s
    ticket_s: int = PLAYBACK.ticket_s
    referrers: tuple[str, ...] = ()
    viewers_per_session: int = PLAYBACK.viewers_per_session
    blocked_countries: frozenset[str] = frozenset()
    blocked_by: str = ""
    unknown_country: str = "allow"
