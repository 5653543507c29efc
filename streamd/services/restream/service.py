"""The targets of all users, and the pushes of the broadcasts that run."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from streamd.errors import RestreamError, SecretsError, StoreUnavailableError
from streamd.limits import RESTREAM
from streamd.services.audit.records import AuditEntry
from streamd.services.restream.place import check_apart, check_label, check_stream_key, hint_of, read_place
from streamd.services.restream.push import Push, PushOptions
from streamd.services.restream.restream_output import RestreamOutput
from streamd.services.restream.target import ID_PREFIX, TargetRecord, TargetReport, TargetState
from streamd.services.ulid import new_ulid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamd.clock import Clock
    from streamd.services.audit.records import Actor
    from streamd.services.events.event import EventSink
    from streamd.services.live.outputs import OutputContext
    from streamd.services.restream.link import Dialer
    from streamd.services.restream.target_store import TargetStore

log = logging.getLogger(__name__)

# A database that does not answer when a broadcast begins is asked again.
_READ_AGAIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class RestreamOptions:
    """The options of restreaming."""

    targets_per_user_max: int = RESTREAM.targets_per_user_max
    push: PushOptions = field(default_factory=PushOptions)


@dataclass(frozen=True, slots=True)
class Target:
    """A target, and what becomes of it."""

    record: TargetRecord
    report: TargetReport


class RestreamService:
    """Passes broadcasts on to the targets of their users.

    Args:
        store: The targets.
        dialer: Makes connections.
        clock: For delays and dates.
        draw: Random numbers, from 0 up to 1.
        options: As configured; to be replaced when that changes.
        tell: Receives events of targets.

    Attributes:
        options: As given.
    """

    def __init__(
        self,
        store: TargetStore,
        *,
        dialer: Dialer,
        clock: Clock,
        draw: Callable[[], float],
        options: RestreamOptions,
        tell: EventSink,
    ) -> None:
        self.options = options
        self._store = store
        self._dialer = dialer
        self._clock = clock
        self._draw = draw
        self._tell = tell
        self._outputs: dict[str, RestreamOutput] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # -- broadcasts -------------------------------------------------------------------------------

    def output(self, context: OutputContext) -> RestreamOutput:
        """Make the output of a broadcast that begins; its user's targets follow as soon as they are read."""
        output = RestreamOutput(context.name, self._note_end)
        self._outputs[context.name] = output
        task = asyncio.create_task(self._begin(output))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return output

    async def close(self) -> None:
        """Read no targets any more; the broadcasts have ended."""
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _begin(self, output: RestreamOutput) -> None:
        while self._outputs.get(output.user) is output:
            try:
                records = await self._store.of_user(output.user)
            except (StoreUnavailableError, SecretsError) as exc:
                log.warning("targets.unread", extra={"user": output.user, "reason": str(exc)})
                await asyncio.sleep(_READ_AGAIN_S)
                continue
            if self._outputs.get(output.user) is not output:
                return
            for record in records:
                # One that was started or stopped meanwhile stays so.
                if record.is_enabled and output.find(record.target_id) is None:
                    output.add(self._new_push(record))
            return

    def _note_end(self, output: RestreamOutput) -> None:
        if self._outputs.get(output.user) is output:
            del self._outputs[output.user]

    def _new_push(self, record: TargetRecord) -> Push:
        return Push(
            record,
            dialer=self._dialer,
            clock=self._clock,
            draw=self._draw,
            options=self.options.push,
            tell=self._tell,
        )

    @property
    def reports(self) -> Sequence[TargetReport]:
        """What has become of every target of the broadcasts that run."""
        return [push.report for output in self._outputs.values() for push in output.pushes]

    # -- targets ----------------------------------------------------------------------------------

    async def list(self, user: str) -> Sequence[Target]:
        """A user's targets, in the order in which they were made.

        Raises:
            SecretsError: A stream key cannot be opened.
            StoreUnavailableError: They could not be read.
        """
        return [self._with_report(record) for record in await self._store.of_user(user)]

    async def add(
        self, user: str, url: str, stream_key: str, *, label: str = "", is_enabled: bool = True, by: Actor
    ) -> Target:
        """Add a target; a broadcast that runs is passed on to it at once.

        Args:
            user: The broadcaster.
            url: ``rtmp://HOST/APP`` or ``rtmps://…``.
            stream_key: The secret that the target's server wants.
            label: For people.
            is_enabled: Whether broadcasts are passed on to it.
            by: Who adds it.

        Raises:
            RestreamError: The URL, the key or the label is none, or the user has as many as they may.
            UserNotFoundError: There is no such user.
            SecretsError: The key cannot be locked.
            StoreUnavailableError: It could not be written.
        """
        key = check_stream_key(stream_key)
        now = self._clock.now()
        record = TargetRecord(
            target_id=ID_PREFIX + new_ulid(now),
            user=user,
            place=read_place(url),
            stream_key=key,
            key_hint=hint_of(key),
            label=check_label(label, key),
            is_enabled=is_enabled,
            created_at=now,
        )
        check_apart(record.place, key)
        entry = self._entry("target.added", record, by)
        await self._store.add(record, entry, targets_max=self.options.targets_per_user_max)
        self._apply(record)
        return self._with_report(record)

    async def change(
        self,
        user: str,
        target_id: str,
        *,
        url: str | None = None,
        stream_key: str | None = None,
        label: str | None = None,
        is_enabled: bool | None = None,
        by: Actor,
    ) -> Target:
        """Change a target; None leaves a thing as it is. A broadcast that runs goes to its new place at once.

        Raises:
            RestreamError: The URL, the key or the label is none, or the key is missing for another server.
            RestreamTargetNotFoundError: The user has no such target.
            SecretsError: A key cannot be opened or locked.
            StoreUnavailableError: It could not be written.
        """
        before = await self._store.find(user, target_id)
        record = before
        if url is not None:
            record = replace(record, place=read_place(url))
            if stream_key is None and not record.place.is_served_as(before.place):
                # Whoever may change a target must not have its key sent to a server of their own.
                raise RestreamError(
                    "stream_key", "is wanted with another server: the one that is kept is not sent there"
                )
        if stream_key is not None:
            key = check_stream_key(stream_key)
            record = replace(record, stream_key=key, key_hint=hint_of(key))
        if label is not None:
            record = replace(record, label=check_label(label, record.stream_key))
        if is_enabled is not None:
            record = replace(record, is_enabled=is_enabled)
        if url is not None or stream_key is not None:
            check_apart(record.place, record.stream_key)
        await self._store.change(record, self._entry("target.changed", record, by))
        if replace(record, label=before.label) != before:
            self._apply(record)
        return self._with_report(record)

    async def delete(self, user: str, target_id: str, *, by: Actor) -> None:
        """Delete a target; a broadcast that runs is not passed on to it any more.

        Raises:
            RestreamTargetNotFoundError: The user has no such target.
            StoreUnavailableError: It could not be written.
        """
        entry = AuditEntry(self._clock.now(), by.name, "target.deleted", by.address, user=user, subject=target_id)
        await self._store.delete(user, target_id, entry)
        if (output := self._outputs.get(user)) is not None:
            output.remove(target_id)

    async def start(self, user: str, target_id: str) -> Target:
        """Pass the broadcast that runs on to a target, anew where it goes there already.

        Raises:
            RestreamTargetNotFoundError: The user has no such target.
            SecretsError: Its key cannot be opened.
            StoreUnavailableError: It could not be read.
        """
        record = await self._store.find(user, target_id)
        if (output := self._outputs.get(user)) is not None:
            output.add(self._new_push(record))
        return self._with_report(record)

    async def stop(self, user: str, target_id: str) -> Target:
        """Pass the broadcast that runs on to a target no longer; the next one goes there again.

        Raises:
            As ``start``.
        """
        record = await self._store.find(user, target_id)
        if (output := self._outputs.get(user)) is not None:
            if output.find(target_id) is None:
                # Its targets may still be read.
                output.add(self._new_push(record))
            push = output.find(target_id)
            assert push is not None, "it was added"
            push.switch_off()
        return self._with_report(record)

    async def forget(self, user: str) -> None:
        """Delete all targets of a user who is deleted.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        await self._store.forget(user)

    # -- inside -----------------------------------------------------------------------------------

    def _apply(self, record: TargetRecord) -> None:
        """Have the broadcast that runs go by a target as it is now."""
        output = self._outputs.get(record.user)
        if output is None:
            return
        if record.is_enabled:
            output.add(self._new_push(record))
        else:
            output.remove(record.target_id)

    def _with_report(self, record: TargetRecord) -> Target:
        output = self._outputs.get(record.user)
        push = output.find(record.target_id) if output is not None else None
        if push is not None:
            return Target(record, push.report)
        return Target(record, TargetReport(TargetState.WAITING if record.is_enabled else TargetState.OFF))

    def _entry(self, action: str, record: TargetRecord, by: Actor) -> AuditEntry:
        """The row of the audit log; the host says enough of the place."""
        return AuditEntry(
            self._clock.now(),
            by.name,
            action,
            by.address,
            user=record.user,
            reason=f"{record.place.host} {record.label}".strip(),
            subject=record.target_id,
        )
