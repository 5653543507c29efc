"""The security headers of pages, files and every other answer.

Spec: Content Security Policy Level 3, Trusted Types, Fetch ("nosniff", Cross-Origin-Resource-Policy), Referrer Policy.
"""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web

# No script or style inside the page, nothing from elsewhere, no HTML made from strings: the text that a broadcaster
# writes into a name or a title stays text.
_PAGE_POLICY: Final = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    # Media Source Extensions plays from a blob: URL.
    "media-src": "'self' blob:",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}


def _page_headers(**changes: str) -> dict[str, str]:
    policy = _PAGE_POLICY | {name.replace("_", "-"): sources for name, sources in changes.items()}
    return {
        # A browser goes by our content type, and does not look for a script in the content.
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in policy.items()),
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
        "Referrer-Policy": "same-origin",
    }


PAGE_HEADERS: Final = _page_headers()
"""For a page that no other page may put into a frame."""
EMBED_HEADERS: Final = _page_headers(frame_ancestors="*")
"""For a page that other sites may put into a frame. No control in it may do harm when it is clicked unintentionally."""


def form_headers(*, is_embedded: bool) -> dict[str, str]:
    """For a page with a form that leads to itself, which search engines leave out.

    Args:
        is_embedded: Other sites may put it into a frame.
    """
    more = {"frame_ancestors": "*"} if is_embedded else {}
    return _page_headers(form_action="'self'", **more) | {"X-Robots-Tag": "noindex"}


STATIC_HEADERS: Final = {"Cross-Origin-Resource-Policy": "same-origin", "X-Content-Type-Options": "nosniff"}
"""For the files of our own pages."""

DOCUMENT_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # For JSON or an error that a browser shows by itself: a document without scripts, which no frame shows.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""For every answer without fields of its own."""


def console_headers(**changes: str) -> dict[str, str]:
    """The header fields of a page that acts with the rights of an operator or broadcaster.

    Args:
        changes: Directives of its policy that differ from other pages', with ``_`` for ``-``.
    """
    return _page_headers(**changes) | {"Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin"}


CONSOLE_HEADERS: Final = console_headers()


def harden(app: web.Application) -> None:
    """Add missing fields to every answer of an application, those that aiohttp makes included."""
    app.on_response_prepare.append(_add_missing)


async def _add_missing(_: web.Request, response: web.StreamResponse) -> None:
    # The server's name, without the versions of its libraries.
    response.headers[hdrs.SERVER] = "streamd"
    # Media and public JSON, which scripts of every site may read, are no documents, and media is sent in many pieces.
    if hdrs.ACCESS_CONTROL_ALLOW_ORIGIN not in response.headers:
        for name, value in DOCUMENT_HEADERS.items():
            response.headers.setdefault(name, value)
