"""The target and the origin of a request: Host and Origin, read strictly.

Spec: RFC 9112 section 3.2 (Host), RFC 9110 section 7.2, RFC 6454 section 7 (Origin), Fetch Metadata (Sec-Fetch-Site).
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiohttp import hdrs

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiohttp import web

# A host name, an IPv4 address or an IPv6 address in brackets, and a port. Names of other letters come in punycode.
HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
SAFE_METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
"""RFC 9110 9.2.1: methods that change nothing."""


def is_host(text: str) -> bool:
    """Tell whether a Host field is valid; RFC 9112 3.2 has it empty where a target names no host."""
    return not text or HOST.fullmatch(text) is not None


def host_name(text: str) -> str:
    """The name of a valid Host field, small letters, without a port and brackets; empty where it names none."""
    try:
        return urlsplit(f"//{text}").hostname or ""
    except ValueError:
        return ""


def authority(origin: str) -> str:
    """The host and port of an origin, small letters; empty for ``null`` and for other text."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def is_address(name: str) -> bool:
    """Tell whether a host's name is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_of_another_site(request: web.Request, own: Collection[str]) -> bool:
    """Tell whether a browser sends this request for a page of another origin.

    Browsers add ``Sec-Fetch-Site``, which no page can change, and ``Origin`` to every method but GET. Other programs
    send neither, and act for no page.

    Args:
        request: The request.
        own: Authorities that are ours beside the one in Host, which a proxy in front may have rewritten.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        # "none": the browser's user typed the address.
        return site.strip().lower() not in ("same-origin", "none")
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None:
        return False
    return authority(origin) not in {request.headers.get(hdrs.HOST, "").lower(), *own} - {""}
