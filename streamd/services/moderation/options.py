"""Options of moderation; each field bears the name of its key in ``[moderation]``."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.limits import MODERATION


@dataclass(frozen=True, slots=True)
class ModerationOptions:
    """The options of moderation, with their defaults."""

    contact_email: str = ""
    contact_post: str = ""
    legal_representative: str = ""
    reports_per_address_per_10_min: int = MODERATION.reports_per_address_per_10_min
    """Reports that are taken from one address (IPv6: one /64)."""
    evidence_s: int = MODERATION.evidence_s
    """Media that is kept with a report."""
    evidence_keep_days: int = MODERATION.evidence_keep_days
    scan: str = "reported"
    """``off``, ``reported``, ``first_minute`` or ``all``: which pictures the machine looks at."""
    hash_lists: tuple[str, ...] = ()
    """Files."""
    trusted_flaggers: tuple[str, ...] = ()
    """``NAME=`` and the SHA-256 of their token."""
    classifier: str = ""
    assistant_url: str = ""
    timestamp_url: str = ""
    purge_urls: tuple[str, ...] = ()
    transparency: bool = True
