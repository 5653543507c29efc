"""What a node does by the database: reads what others have changed, and does the acts that it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.services.audit.records import SERVER
from streamd.services.cluster.act import Act, ActKind
from streamd.services.keys.admission import Denial

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.services.keys.key_store import KeyStore
    from streamd.services.keys.verifier import KeyVerifier
    from streamd.services.moderation.acts.enforcement import Enforcement

# A reading that meets an act of our own is done again; an operator does not act so fast.
READINGS_MAX = 10


class ClusterTruth:
    """The database (``Truth``).

    Args:
        store: Of keys.
        verifier: Decides by it.
        enforcement: Takedowns and blocks; None where moderation is off.
    """

    def __init__(self, store: KeyStore, verifier: KeyVerifier, enforcement: Callable[[], Enforcement | None]) -> None:
        self._store = store
        self._verifier = verifier
        self._enforcement = enforcement

    async def read(self) -> None:
        """Read what other nodes have changed, and do it."""
        for _ in range(READINGS_MAX):
            if await self._verifier.admissions.recheck():
                break
        await self._read_moderation()

    async def dead_keys(self, key_ids: set[str]) -> set[str]:
        """Those of some keys that open no channel any more."""
        if not key_ids:
            return set()
        standings = await self._store.standings(key_ids)
        denial_of = self._verifier.admissions.denial_of
        return {key_id for key_id in key_ids if denial_of(standings.get(key_id)) is not None}

    async def do(self, act: Act) -> None:
        """Do one act."""
        admissions = self._verifier.admissions
        match act.kind:
            case ActKind.REVOKE if act.is_written:
                await admissions.kill({act.subject}, Denial.REVOKED, SERVER)
            case ActKind.REVOKE:
                await admissions.condemn_key(act.subject)
            case ActKind.SUSPEND if act.is_written:
                await admissions.suspend(act.subject, set(), SERVER)
            case ActKind.SUSPEND:
                await admissions.condemn_user(act.subject)
            case ActKind.TAKEDOWN | ActKind.BLOCK:
                await self._read_moderation()
            case ActKind.RELOAD:
                if act.subject:
                    admissions.release_user(act.subject)
                await self.read()
            case ActKind.KICK:
                pass

    def is_dark(self, name: str) -> bool:
        """Whether nothing of a channel is shown."""
        return self._verifier.admissions.is_dark(name)

    async def _read_moderation(self) -> None:
        enforcement = self._enforcement()
        if enforcement is None:
            return
        # The second time finds nothing to do, unless the first met an act of this node's own.
        for _ in range(2):
            await enforcement.takedowns.recheck()
            await enforcement.blocks.recheck()
