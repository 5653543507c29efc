"""Pages of locked channels and recordings: by what their viewer is let in, and the form for a password.

A page has its viewer's ticket in it, and its scripts ask with that: neither a token nor a password is seen by a script.
A password is remembered by a cookie with a ticket of its own, which works on pages alone, so that no cache in front
ever meets it.

Spec: RFC 6265bis section 4.1.3.2 (the ``__Host-`` prefix).
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from aiohttp import hdrs, web

from streamd.doors.delivery.http_request import split_target
from streamd.doors.web.assets import UP, answer
from streamd.doors.web.fields import cookies_named, media_type
from streamd.doors.web.headers import EMBED_HEADERS, PAGE_HEADERS, form_headers
from streamd.doors.web.public.web_entrance import visitor_of
from streamd.errors import PlaybackRefusedError
from streamd.formats.address import source_of
from streamd.services.playback.claims import Audience
from streamd.services.playback.grounds import PASSWORD_KEY
from streamd.services.playback.policy import Policy
from streamd.services.playback.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streamd.doors.web.assets import Asset, StaticFiles
    from streamd.doors.web.public.web_entrance import WebEntrance
    from streamd.services.playback.passwords import Passwords
    from streamd.services.playback.visitor import Visitor

NO_STORE: Final = "no-store"
# The token in the address is told to nobody, our own server included.
_QUIET: Final = {"Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}
FORM_TYPE: Final = "application/x-www-form-urlencoded"
# A form of ours has one.
FIELDS_MAX: Final = 4
_FIELD: Final = "password"
_WRONG: Final = "That is not the password."


class LockedPages:
    """Lets viewers of pages in.

    Args:
        entrance: The gate.
        passwords: Checks them.
        files: Have the templates.
        recording_of: Finds the id of the recording that a recording or clip is of, and its channel, by which is decided
            who may see it; the id itself and nothing where there is none to be seen.
    """

    def __init__(
        self,
        entrance: WebEntrance,
        passwords: Passwords,
        files: StaticFiles,
        recording_of: Callable[[str], Awaitable[tuple[str, str]]],
    ) -> None:
        self._entrance = entrance
        self._gate = entrance.gate
        self._passwords = passwords
        self._files = files
        self.recording_of = recording_of

    def is_locked(self, subject: str, owner: str = "") -> bool:
        """Whether a page is not for everybody."""
        return self._gate.is_locked(subject, owner)

    async def show(
        self,
        request: web.Request,
        subject: str,
        make: Callable[[str], Asset],
        *,
        owner: str = "",
        root: str = UP,
        name: str = "",
        is_embedded: bool = False,
    ) -> web.Response:
        """Answer with the page of a channel or recording that is locked, or say what it needs.

        Args:
            request: For the page.
            subject: The channel or recording.
            make: Makes the page for the viewer of a ticket.
            owner: The channel that a recording is of.
            root: The way from the page to the root of the server.
            name: How the page names what it shows; empty: by the subject.
            is_embedded: It is shown in a page of another site, whose rule is asked.
        """
        visitor = visitor_of(request)
        if not is_embedded:
            # A link to here shows nothing; the page is in nobody's frame.
            visitor = visitor._replace(referrer="")
        headers = (EMBED_HEADERS if is_embedded else PAGE_HEADERS) | _QUIET
        try:
            ticket = await self._ticket(request, subject, owner, visitor)
        except PlaybackRefusedError as exc:
            if exc.reason == Refusal.PASSWORD.word:
                return self._form(request, name or subject, root, is_embedded=is_embedded)
            return self._refusal(request, exc, root, headers)
        return answer(request, make(ticket), headers, NO_STORE)

    async def take_password(
        self,
        request: web.Request,
        subject: str,
        make: Callable[[str], Asset],
        *,
        owner: str = "",
        root: str = UP,
        name: str = "",
        is_embedded: bool = False,
    ) -> web.Response:
        """Answer a form with a password: with the page, or with the form again; arguments as of ``show``."""
        visitor = visitor_of(request)
        source = source_of(visitor.address)
        headers = (EMBED_HEADERS if is_embedded else PAGE_HEADERS) | _QUIET
        known = self._gate.policies.password_hash(subject, owner)
        try:
            if self._gate.policies.of(subject, owner) is not Policy.PASSWORD:
                raise self._gate.refused(Refusal.NO_TOKEN)
            self._gate.check_failures(source)
            try:
                is_right = await self._passwords.is_right(await _typed(request), known, source)
            except PlaybackRefusedError as exc:
                raise self._gate.noted(exc) from None
            if not is_right:
                self._gate.note_failure(source)
                return self._form(request, name or subject, root, is_embedded=is_embedded, error=_WRONG)
            # The form is a page of ours, whatever frame it is in: which one was asked when it was shown.
            viewing = self._gate.admit_by(
                PASSWORD_KEY, subject, visitor._replace(referrer=""), owner=owner, password_hash=known
            )
        except PlaybackRefusedError as exc:
            return self._refusal(request, exc, root, headers)
        if is_embedded:
            # A browser keeps no cookie for a frame in a page of another site.
            return answer(request, make(viewing.text), headers, NO_STORE)
        response = web.Response(
            status=303, headers={hdrs.LOCATION: request.rel_url.raw_path.rpartition("/")[2], **headers}
        )
        left_s = int(viewing.ticket.expires_at - viewing.ticket.issued_at)
        is_tls = request.scheme == "https"
        response.set_cookie(
            cookie_name(subject, is_tls=is_tls), viewing.text, max_age=left_s, path="/", secure=is_tls, httponly=True,
            samesite="Lax",
        )  # fmt: skip
        return response

    async def _ticket(self, request: web.Request, subject: str, owner: str, visitor: Visitor) -> str:
        """The ticket of the viewer of a page.

        Raises:
            PlaybackRefusedError: They have to show something else.
        """
        gate = self._gate
        query = split_target(request.raw_path)[1]
        if gate.policies.of(subject, owner) is Policy.PASSWORD and "token=" not in query:
            found = cookies_named(request, cookie_name(subject, is_tls=request.scheme == "https"))
            kept = found[0] if found else ""
            if not kept:
                raise gate.refused(Refusal.PASSWORD)
            try:
                gate.check_place(visitor)
                viewing = gate.enter(subject, kept, Audience.VIDEO, visitor.address, watches=False, owner=owner)
            except PlaybackRefusedError as exc:
                if exc.status == Refusal.TICKET.status and exc.reason in _OVER:
                    raise gate.refused(Refusal.PASSWORD) from None
                raise
            # A ticket of this page's own: the cookie's is with other pages of the same viewer too. It is good for as
            # long as that, so that whoever makes a cookie of it has no longer time either.
            known = gate.policies.password_hash(subject, owner)
            return gate.admit_by(
                PASSWORD_KEY, subject, visitor, owner=owner, password_hash=known, ttl_s=gate.left_s(viewing)
            ).text
        return (await self._entrance.admit(subject, query, Audience.VIDEO, visitor, owner=owner)).text

    def _form(self, request: web.Request, name: str, root: str, *, is_embedded: bool, error: str = "") -> web.Response:
        page = self._files.page(
            "password", level=1, root=root, name=html.escape(name), error=html.escape(error),
        )  # fmt: skip
        status = Refusal.FORBIDDEN.status if error else Refusal.PASSWORD.status
        return answer(request, page, form_headers(is_embedded=is_embedded), NO_STORE, status=status)

    def _refusal(
        self, request: web.Request, refused: PlaybackRefusedError, root: str, headers: dict[str, str]
    ) -> web.Response:
        page = self._files.page(
            "missing",
            level=1,
            root=root,
            title="This cannot be watched here",
            detail=html.escape(str(refused)),
            more="",
        )
        more = {hdrs.LINK: refused.link} if refused.link else {}
        return answer(request, page, headers | more, NO_STORE, status=refused.status)


_OVER: Final = frozenset(each.word for each in (Refusal.TICKET, Refusal.EXPIRED, Refusal.REVOKED))


async def _typed(request: web.Request) -> str:
    """The password in a form; empty where there is none, or where it has more than a form of ours."""
    if media_type(request) != FORM_TYPE:
        return ""
    try:
        fields = parse_qs((await request.read()).decode("ascii"), strict_parsing=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        return ""
    typed = fields.get(_FIELD, [])
    return typed[0] if len(typed) == 1 else ""


def cookie_name(subject: str, *, is_tls: bool) -> str:
    """The cookie of a channel; without TLS no browser takes the prefix that keeps other hosts from setting it."""
    return f"{'__Host-' if is_tls else ''}streamd-{subject}"
