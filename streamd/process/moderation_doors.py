"""What the doors have of moderation: pages and calls about what is reported, decided and shown.

Loaded where moderation is on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from streamd.doors.web.admin.cases import CaseDesk
from streamd.doors.web.admin.evidence import EvidenceDesk
from streamd.doors.web.admin.findings import FindingDesk
from streamd.doors.web.admin.takedowns import TakedownDesk
from streamd.doors.web.admin.targets import TargetDesk
from streamd.doors.web.public.own_decisions import OwnDecisionDesk
from streamd.doors.web.public.report_pages import ReportPages
from streamd.doors.web.public.reports import ReportRoutes
from streamd.doors.web.public.transparency import Contacts, TransparencyRoutes
from streamd.services.moderation.cases.report_menu import ReportMenu

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.clock import Clock
    from streamd.doors.web.assets import StaticFiles
    from streamd.doors.web.openapi import Operation
    from streamd.process.config import Config
    from streamd.process.moderation_rooms import ModerationRooms


class PublicModeration(NamedTuple):
    """What the public port has of it."""

    reports: ReportRoutes
    report_pages: ReportPages
    decisions: OwnDecisionDesk
    """What the studio says of the broadcaster's own channel."""
    transparency: TransparencyRoutes


def public_moderation(
    rooms: ModerationRooms, files: StaticFiles, clock: Clock, config: Callable[[], Config]
) -> PublicModeration:
    """Build what the public port has of moderation.

    Args:
        rooms: Asked by all of it.
        files: Make pages.
        clock: For all times.
        config: All of the configuration, as it is in force.
    """

    def contacts() -> Contacts:
        said = config().moderation
        return Contacts(said.contact_email, said.contact_post, said.legal_representative)

    menu = ReportMenu()
    return PublicModeration(
        reports=ReportRoutes(rooms.desk, menu, urlsplit(config().http.public_url).path),
        report_pages=ReportPages(rooms.desk, menu, files, clock),
        decisions=OwnDecisionDesk(rooms.enforcement, rooms.desk.appeals),
        transparency=TransparencyRoutes(files, contacts, rooms.counts),
    )


def moderation_calls(rooms: ModerationRooms) -> list[Operation]:
    """The calls of the admin port."""
    return [
        *CaseDesk(rooms.desk, rooms.targets).operations(),
        *TargetDesk(rooms.targets).operations(),
        *TakedownDesk(rooms.enforcement).operations(),
        *EvidenceDesk(rooms.evidence.shelf).operations(),
        *(FindingDesk(rooms.assistance.assistance).operations() if rooms.assistance is not None else ()),
    ]
