"""The pages of reports, which work without scripts: a form for a viewer, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.doors.web.public.complaint_pages import ComplaintPages
from streamd.doors.web.public.report_form import ReportForm
from streamd.doors.web.public.report_frame import ReportFrame

if TYPE_CHECKING:
    from aiohttp import web

    from streamd.clock import Clock
    from streamd.doors.web.assets import StaticFiles
    from streamd.services.moderation.cases.report_menu import ReportMenu
    from streamd.services.moderation.moderation import Moderation


class ReportPages:
    """The pages.

    Args:
        moderation: The server's.
        menu: What can be reported, in all languages.
        files: Have the templates.
        clock: Tells whether a report is of the future, and whether a complaint comes too late.
    """

    def __init__(self, moderation: Moderation, menu: ReportMenu, files: StaticFiles, clock: Clock) -> None:
        frame = ReportFrame(menu, files)
        self._form = ReportForm(moderation, menu, frame, clock)
        self._complaints = ComplaintPages(moderation, frame, clock)

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the public application."""
        self._form.add_to(app)
        self._complaints.add_to(app)
