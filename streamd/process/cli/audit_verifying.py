"""``streamd audit verify``: the whole audit log, read from the database itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from streamd.process.cli.verdicts import read_database
from streamd.services.audit.anchor import ANCHOR_NAME, read_anchor
from streamd.services.audit.verify import ChainEnd, Verdict, verify_log

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
    known = ends if noted is None else [*ends, noted]
    return read_database(config, lambda database: verify_log(database, known))


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
