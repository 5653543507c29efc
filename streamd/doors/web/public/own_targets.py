"""A broadcaster's own targets, for their studio: other servers that their broadcasts are passed on to."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from streamd.doors.web.json_api import NotFoundError, UnavailableError
from streamd.doors.web.models.restream import OwnTargets, RestreamTarget, TargetDeletion
from streamd.doors.web.public.own_recordings import STUDIO_ACTOR
from streamd.doors.web.shared_reads import SharedReads
from streamd.errors import RestreamTargetNotFoundError, SecretsError
from streamd.services.audit.records import Actor
from streamd.services.restream.target import is_target_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence
    from typing import TypeVar

    from streamd.clock import Clock
    from streamd.doors.web.models.restream import NewTarget, TargetChange
    from streamd.doors.web.public.own_recordings import OwnRecordingDesk
    from streamd.services.keys.admission import Admission
    from streamd.services.restream.service import RestreamService, Target

    Result = TypeVar("Result")

log = logging.getLogger(__name__)

_NONE = "you have no such target"


class OwnTargetDesk:
    """Does with targets what a broadcaster may with their own.

    Args:
        restream: The acts.
        acts: Bounds what a broadcaster does, together with what they do with recordings.
        clock: For the age of what was read: a page asks once a second.
    """

    def __init__(self, restream: RestreamService, acts: OwnRecordingDesk, clock: Clock) -> None:
        self._restream = restream
        self._acts = acts
        self._done = 0
        self._lists = SharedReads(self._read, lambda: self._done, clock)

    @property
    def targets_max(self) -> int:
        """How many a broadcaster may have; 0 where restreaming is off."""
        return self._restream.options.targets_per_user_max

    async def list(self, user: str) -> OwnTargets:
        """A broadcaster's targets, in the order in which they were made, with what becomes of them.

        Raises:
            UnavailableError: Their stream keys cannot be opened.
            StoreUnavailableError: They could not be read.
        """
        targets = await self._opened(self._lists.get(user))
        return OwnTargets(targets=[RestreamTarget.of(target) for target in targets], targets_max=self.targets_max)

    async def add(self, by: Admission, address: str, new: NewTarget) -> RestreamTarget:
        """Pass the broadcaster's broadcasts on to one server more.

        Args:
            by: The broadcaster.
            address: Where they are.
            new: What they want.

        Raises:
            RestreamError: The URL or the key is none, or they have as many as they may.
            TooManyActsError: They do too much.
            UnavailableError: Its stream key cannot be locked.
            StoreUnavailableError: It could not be written.
        """
        actor = self._begin(by, address)
        return await self._done_with(
            self._restream.add(by.user, new.url, new.stream_key, label=new.label, is_enabled=new.enabled, by=actor)
        )

    async def change(self, by: Admission, address: str, target_id: str, change: TargetChange) -> RestreamTarget:
        """Change a target of the broadcaster's.

        Raises:
            NotFoundError: They have no such target.
            RestreamError: The URL or the key is none, or the key is missing.
            TooManyActsError: They do too much.
            UnavailableError: Its stream key cannot be opened or locked.
            StoreUnavailableError: It could not be written.
        """
        actor = self._begin(by, address, target_id)
        return await self._done_with(
            self._restream.change(
                by.user,
                target_id,
                url=change.url,
                stream_key=change.stream_key,
                label=change.label,
                is_enabled=change.enabled,
                by=actor,
            )
        )

    async def delete(self, by: Admission, address: str, target_id: str) -> TargetDeletion:
        """Delete a target of the broadcaster's.

        Raises:
            NotFoundError: They have no such target.
            TooManyActsError: They do too much.
            StoreUnavailableError: It could not be written.
        """
        actor = self._begin(by, address, target_id)
        await self._opened(self._restream.delete(by.user, target_id, by=actor))
        self._done += 1
        return TargetDeletion(id=target_id)

    async def start(self, by: Admission, target_id: str) -> RestreamTarget:
        """Pass the broadcast that runs on to a target, anew where it goes there already.

        Raises:
            NotFoundError: They have no such target.
            TooManyActsError: They do too much.
            UnavailableError: Its stream key cannot be opened.
            StoreUnavailableError: It could not be read.
        """
        self._begin(by, "", target_id)
        return await self._done_with(self._restream.start(by.user, target_id))

    async def stop(self, by: Admission, target_id: str) -> RestreamTarget:
        """Pass the broadcast that runs on to a target no longer; as ``start``."""
        self._begin(by, "", target_id)
        return await self._done_with(self._restream.stop(by.user, target_id))

    def _begin(self, by: Admission, address: str, target_id: str | None = None) -> Actor:
        self._acts.spend(by.user)
        if target_id is not None and not is_target_id(target_id):
            raise NotFoundError(_NONE)
        return Actor(STUDIO_ACTOR, address)

    async def _read(self, user: str) -> Sequence[Target]:
        return await self._restream.list(user)

    async def _done_with(self, act: Awaitable[Target]) -> RestreamTarget:
        target = await self._opened(act)
        self._done += 1
        return RestreamTarget.of(target)

    async def _opened(self, act: Awaitable[Result]) -> Result:
        """Wait for an act; what it says of files of ours is for the log."""
        try:
            return await act
        except RestreamTargetNotFoundError as exc:
            # Another user's is as none: nobody learns here what others have.
            raise NotFoundError(_NONE) from exc
        except SecretsError as exc:
            log.warning("targets.unread", extra={"reason": str(exc)})
            raise UnavailableError(
                "stream keys of other services cannot be read: ask whoever runs this server"
            ) from exc
