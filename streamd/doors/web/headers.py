"""What every answer tells the browser not to do: the security headers of pages, files and everything else.

Spec: Content Security Policy Level 3, Trusted Types, Fetch ("nosniff", Cross-Origin-Resource-Policy), Referrer Policy.
"""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web

# No script or style inside the page, nothing from elsewhere, no HTML made from strings: what a
# broadcaster can write into a name or a title can only ever be text.
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
        # A browser takes what we say it is for that, and does not look for a script in it.
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in policy.items()),
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
        "Referrer-Policy": "same-origin",
    }


PAGE_HEADERS: Final = _page_headers()
"""Of a page that nobody may put into a frame."""
EMBED_HEADERS: Final = _page_headers(frame_ancestors="*")
"""Of a page that is made to be put into a frame of somebody else's page. It must offer nothing that a click which
its viewer did not mean could do harm with."""
STATIC_HEADERS: Final = {"Cross-Origin-Resource-Policy": "same-origin", "X-Content-Type-Options": "nosniff"}
"""Of the files that our own pages are made of."""

DOCUMENT_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # JSON or an error that a browser shows by itself: a document in which nothing runs and which no frame shows.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Of everything that says nothing else."""


def console_headers(**changes: str) -> dict[str, str]:
    """The header fields of a page that acts with the rights of an operator or broadcaster.

    Args:
        changes: Directives of its policy that are not as those of other pages, with ``_`` for ``-``.
    """
    return _page_headers(**changes) | {"Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin"}


CONSOLE_HEADERS: Final = console_headers()


def harden(app: web.Application) -> None:
    """Add to every answer of an application what it does not say itself, those that aiohttp makes included."""
    app.on_response_prepare.append(_add_missing)


async def _add_missing(_: web.Request, response: web.StreamResponse) -> None:
    # Which server this is, without the versions of what it is made of.
    response.headers[hdrs.SERVER] = "streamd"
    # What scripts of every site may read, media and public JSON, is no document, and media is sent in many pieces.
    if hdrs.ACCESS_CONTROL_ALLOW_ORIGIN not in response.headers:
        for name, value in DOCUMENT_HEADERS.items():
            response.headers.setdefault(name, value)
