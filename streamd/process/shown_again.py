"""A warning where moderation is off and something was taken down: nothing keeps it dark.

It asks the table itself: moderation that is off is not loaded.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from streamd.services.store.schema import takedowns

if TYPE_CHECKING:
    from streamd.services.store.database import Database

log = logging.getLogger(__name__)


async def warn_of_what_is_shown_again(database: Database) -> None:
    """Say so where a takedown stands.

    Raises:
        StoreUnavailableError: The store cannot be read.
    """
    async with database.reading() as connection:
        query = select(func.count()).where(takedowns.c.restored_at.is_(None))
        standing = (await connection.execute(query)).scalar_one()
    if standing:
        detail = "what was taken down is shown: [moderation] enabled = true keeps it dark"
        log.warning("moderation.off", extra={"takedowns": standing, "detail": detail})
