"""``streamd audit verify``: the whole audit log, read from the database itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pydantic import BaseModel

from streamd.process.config import secrets_of
from streamd.process.log import configure_logging
from streamd.services.audit.anchor import ANCHOR_NAME, read_anchor
from streamd.services.audit.verify import ChainEnd, Verdict, verify_log
from streamd.services.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamd.process.config import Config


def verify_with(config: Config, anchors: Iterable[tuple[int, bytes]]) -> Verdict:
    """Read the log, and compare it with its chain, what the server noted of it, and anchors.

    Args:
        config: Where the log is.
        anchors: Numbers of rows and their hashes.
    """
    noted = read_anchor(config.data_dir / ANCHOR_NAME)
    ends = [ChainEnd(sequence, digest) for sequence, digest in anchors]
    return asyncio.run(_verify(config, [*ends, *([] if noted is None else [noted])]))


class VerdictModel(BaseModel):
    """A verdict for scripts."""

    ok: bool
    rows: int
    rows_before_chain: int
    anchor: str
    """The end of the log, for ``--anchor``."""
    faults: list[str]
    fault_count: int

    @classmethod
    def of(cls, verdict: Verdict) -> VerdictModel:
        """The verdict as it is printed."""
        return cls(
            ok=not verdict.fault_count,
            rows=verdict.rows,
            rows_before_chain=verdict.rows_before_chain,
            anchor=f"{verdict.end.sequence}:{verdict.end.hash.hex()}",
            faults=list(verdict.faults),
            fault_count=verdict.fault_count,
        )


async def _verify(config: Config, anchors: list[ChainEnd]) -> Verdict:
    # Quiet, as what is wrong is the command's to say.
    configure_logging("error", "console", secrets=secrets_of(config))
    database = Database(config.database_url, is_reading=True)
    try:
        await database.start()
        return await verify_log(database, anchors)
    finally:
        await database.close()
