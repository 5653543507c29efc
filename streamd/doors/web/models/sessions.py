"""Sessions of a console."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import Field

from streamd.doors.web.models.common import ApiModel
from streamd.services.operators.roles import Right, Role

# Six digits, and blanks between them as authenticators show them.
Code = Annotated[str, Field(max_length=16, repr=False)]


class SessionRequest(ApiModel):
    """What a session is begun with, beside the token."""

    code: Code = ""
    """Of your authenticator, if you have set one up."""


class CodeRequest(ApiModel):
    """A code of an authenticator."""

    code: Code


class Session(ApiModel):
    """Who shows the token."""

    name: str
    """As the audit log tells of them; ``root`` for the admin token of the configuration."""
    role: Role
    rights: Sequence[Right]
    """What the role has; the reference says for each call which roles may."""
    totp: bool
    """Signing in takes a code of an authenticator, too."""


class NewSession(Session):
    """A session of a console."""

    token: Annotated[str, Field(repr=False)]
    """To be shown in place of the one that began it."""
    expires_at: datetime


class EndedSession(ApiModel):
    """A session that is over."""

    ended: bool


class NewAuthenticator(ApiModel):
    """What an authenticator is set up with, which is shown only this once."""

    secret: Annotated[str, Field(repr=False)]
    """In base 32, to be typed into it."""
    uri: Annotated[str, Field(repr=False)]
    """The same as a link that it opens."""
