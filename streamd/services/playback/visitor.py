"""A visitor who asks to watch, as far as a request tells."""

from __future__ import annotations

import re
from typing import NamedTuple

# The beginning of what a browser sends: no user, no password.
_SITE = re.compile(r"https?://([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?(?:[/?#]|$)")


class Visitor(NamedTuple):
    """A visitor, as far as a request tells."""

    address: str
    """IP address of the viewer, not of a proxy that is believed."""
    referrer: str = ""
    """``Origin`` or ``Referer``; empty for none."""
    user_agent: str = ""

    @property
    def host(self) -> str | None:
        """The host of the page that the referrer names; None where there is none, empty where it cannot be read.

        RFC 6454 7.1: a browser sends ``null`` for an origin that it does not tell, as of a frame in a sandbox.
        """
        if not self.referrer:
            return None
        found = _SITE.match(self.referrer)
        return "" if found is None else found[1].lower()
