"""What a moderator may name, and what can be wrong with it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from streamd.doors.web.models.common import ApiModel
from streamd.services.moderation.categories import Category
from streamd.services.moderation.target import URL_CHARS_MAX


class TargetQuery(ApiModel):
    """What is looked for."""

    target: Annotated[str, Field(min_length=1, max_length=URL_CHARS_MAX)]
    """Any URL of this server, the name of a channel, or the id of a key, a recording or a clip."""


class CategoryShown(ApiModel):
    """A category of the Commission's schema."""

    category: Category
    title: str


class CategoryList(ApiModel):
    """All of them."""

    categories: list[CategoryShown]
