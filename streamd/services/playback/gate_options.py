"""What of ``[playback]`` the gate goes by."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.services.playback.policy import Policy


@dataclass(frozen=True, slots=True)
class GateOptions:
    """What of ``[playback]`` the gate goes by."""

    policy: Policy = Policy.PUBLIC
    issuer: str = ""
    audience: str = ""
    leeway_s: int = 5
    ticket_s: int = 43_200
    referrers: tuple[str, ...] = ()
    viewers_per_session: int = 1
    blocked_countries: frozenset[str] = frozenset()
    blocked_by: str = ""
    unknown_country: str = "allow"
