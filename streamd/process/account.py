"""The account that a command runs as, for the audit log: it acts with the machine's token, and not with a name."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

from streamd.services.audit.records import Actor

if TYPE_CHECKING:
    from collections.abc import Mapping

# An operator's own token for the commands; without, they show the machine's.
TOKEN_VARIABLE = "STREAMD_TOKEN"  # noqa: S105  # the name of the variable


def account_name(environ: Mapping[str, str]) -> str:
    """The account that a command is run from; behind sudo, that of whoever typed it.

    It is a word to the audit log and proves nothing: whoever may read the data directory may say anything.
    """
    uid = os.geteuid()
    if uid == 0 and (name := environ.get("SUDO_USER")):
        return name
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        # A container's.
        return str(uid)


def cli_actor(environ: Mapping[str, str]) -> Actor:
    """The actor of a command on the store itself."""
    return Actor(f"cli/{account_name(environ)}")
