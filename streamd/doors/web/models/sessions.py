"""Sessions of a console."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from streamd.doors.web.models.common import ApiModel


class NewSession(ApiModel):
    """A session of a console."""

    token: Annotated[str, Field(repr=False)]
    """To be shown in place of the admin token."""
    expires_at: datetime


class EndedSession(ApiModel):
    """A session that is over."""

    ended: bool
