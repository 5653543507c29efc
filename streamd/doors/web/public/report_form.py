"""The page on which a viewer reports something, which works without scripts: ``/report/{name}``."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from streamd.doors.web.public.report_frame import alert, note_failure, own_address, paragraph, read_form, see_other
from streamd.doors.web.public.reports import own_hosts
from streamd.errors import (
    ReporterSuspendedError,
    ReportRefusedError,
    ReportsBusyError,
    StoreUnavailableError,
    TargetRefusedError,
    TooManyReportsError,
)
from streamd.services.moderation.cases.reports import AHEAD_MAX, EXPLANATION_LENGTH_MAX, OLDEST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from streamd.clock import Clock
    from streamd.doors.web.public.report_frame import ReportFrame
    from streamd.services.moderation.cases.report_menu import ReportMenu, Words
    from streamd.services.moderation.moderation import Moderation

# Milliseconds since 1970, as scripts have them, or RFC 3339.
_MILLISECONDS: Final = re.compile(r"[0-9]{1,14}")
# Of a name in an address, as much as a heading has room for.
_NAME_LENGTH_MAX: Final = 64


class ReportForm:
    """The form.

    Args:
        moderation: The server's.
        menu: What can be reported, in all languages.
        frame: Makes the page.
        clock: For what is in the future.
    """

    def __init__(self, moderation: Moderation, menu: ReportMenu, frame: ReportFrame, clock: Clock) -> None:
        self._moderation = moderation
        self._menu = menu
        self._frame = frame
        self._clock = clock

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the public application."""
        app.router.add_get("/report/{name}", self._get_form)
        app.router.add_post("/report/{name}", self._take_report)

    async def _get_form(self, request: web.Request) -> web.Response:
        words = self._frame.words(request)
        query = request.query
        given = {"at": query.get("at", ""), "option": query.get("option", "")}
        return self._form(request, words, given)

    async def _take_report(self, request: web.Request) -> web.Response:
        words = self._frame.words(request)
        given = await read_form(request)
        reason = self._menu.reason(given.get("option", ""))
        explanation = given.get("explanation", "")
        if reason is None:
            return self._form(request, words, given, words.errors["category"], 422)
        if reason.explanation == "required" and not explanation.strip():
            return self._form(request, words, given, words.errors["explanation"], 422)
        if len(explanation) > EXPLANATION_LENGTH_MAX:
            said = words.errors["explanation-long"].format(length=len(explanation), max=EXPLANATION_LENGTH_MAX)
            return self._form(request, words, given, said, 422)
        if given.get("good_faith") != "yes":
            return self._form(request, words, given, words.errors["good-faith"], 422)
        moderation = self._moderation
        try:
            target = await moderation.subjects.find(request.match_info["name"], own_hosts(request))
            receipt = await moderation.reports.file(
                target,
                reason.category,
                keyword=reason.keyword,
                explanation=explanation,
                at=self._at(given.get("at", "")),
                contact=given.get("contact", ""),
                address=request.remote or "",
                viewers=moderation.subjects.viewers_of(target) if target is not None else 0,
            )
        except (ReportRefusedError, TargetRefusedError) as exc:
            return self._form(request, words, given, str(exc), 422)
        except TooManyReportsError:
            return self._form(request, words, given, words.errors["too-many"], 429)
        except ReporterSuspendedError:
            return self._form(request, words, given, words.errors["suspended"], 403)
        except ReportsBusyError:
            return self._form(request, words, given, words.errors["busy"], 503)
        except StoreUnavailableError as exc:
            note_failure(request, exc)
            return self._form(request, words, given, words.errors["busy"], 503)
        return see_other(request, f"status/{receipt.id}", receipt.status_token)

    def _form(
        self, request: web.Request, words: Words, given: Mapping[str, str], error: str = "", status: int = 200
    ) -> web.Response:
        page, name = words.page, request.match_info["name"]
        at = self._at(given.get("at", ""))
        shown_at = at.isoformat(timespec="milliseconds").replace("+00:00", "Z") if at is not None else ""
        playing = page["playing"].format(at=f"{at:%Y-%m-%d %H:%M:%S}") if at is not None else ""
        heading = page["heading"].format(name=_visible(name))
        content = self._frame.fill(
            "report_form",
            action=html.escape(own_address(request)),
            heading=html.escape(heading),
            emergency=html.escape(page["emergency"]),
            error=alert(error),
            playing=paragraph(playing, "hint") if playing else "",
            question=html.escape(words.options[""]),
            reasons=self._reasons(words, given.get("option", "")),
            explanation_label=html.escape(page["explanation"]),
            explanation_hint=html.escape(page["explanation-hint"]),
            explanation=html.escape(given.get("explanation", "")),
            contact_label=html.escape(page["contact"]),
            contact=html.escape(given.get("contact", "")),
            law=html.escape(page["law"]),
            good_faith=html.escape(page["good-faith"]),
            is_confirmed=" checked" if given.get("good_faith") == "yes" else "",
            at=html.escape(shown_at),
            send=html.escape(page["send"]),
        )
        return self._frame.page(request, words, heading, content.strip(), status)

    def _reasons(self, words: Words, chosen: str) -> str:
        """The reasons as radio buttons, each group of them behind its own heading."""
        lines = []
        for title, leaves in self._menu.groups(words):
            buttons = "".join(
                f'<label class="reason{" alone" if len(leaves) == 1 else ""}">'
                f'<input type="radio" name="option" value="{html.escape(choice.id)}"'
                f"{' checked' if choice.id == chosen else ''}>{html.escape(choice.text)}</label>"
                for choice, _ in leaves
            )
            if len(leaves) == 1:
                lines.append(buttons)
                continue
            # A group is open where one of it is chosen, or where the player has sent somebody to it.
            is_open = any(choice.id == chosen or choice.id.startswith(f"{chosen}-") for choice, _ in leaves if chosen)
            lines.append(
                f"<details{' open' if is_open else ''}><summary>{html.escape(title)}</summary>{buttons}</details>"
            )
        return "\n        ".join(lines)

    def _at(self, text: str) -> datetime | None:
        """The time in the stream, as a player or this form says it; None where it is none, or cannot have been."""
        try:
            if _MILLISECONDS.fullmatch(text):
                at = datetime.fromtimestamp(int(text) / 1000, UTC)
            else:
                at = datetime.fromisoformat(text)
            at = at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)
        except (ValueError, OverflowError, OSError):
            return None
        now = self._clock.now()
        # A viewer whose clock is wrong has seen it nevertheless: it was now.
        return None if at > now + AHEAD_MAX or at < OLDEST else min(at, now)


def _visible(name: str) -> str:
    """A name from an address, as it is shown: without what nobody sees, and not for ever."""
    return "".join(each for each in name[:_NAME_LENGTH_MAX] if each.isprintable())
