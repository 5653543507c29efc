"""The calls about users, each of whom is a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from streamd.doors.web.admin.guards import ACTOR
from streamd.doors.web.json_api import answer
from streamd.doors.web.models.common import ReasonQuery
from streamd.doors.web.models.playback import NO_POLICIES
from streamd.doors.web.models.users import (
    NO_WISHES,
    ChangedUser,
    UnwrittenSuspension,
    User,
    UserChange,
    UserDeletion,
    UserPage,
    UserPath,
    UserQuery,
)
from streamd.doors.web.openapi import Operation
from streamd.errors import UserNotFoundError
from streamd.services.keys.records import UserState
from streamd.services.operators.roles import Right

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from streamd.doors.web.admin.playback import PlaybackDesk
    from streamd.doors.web.admin.recordings import RecordingDesk
    from streamd.services.audit.records import Actor
    from streamd.services.keys.service import KeyService


class UserDesk:
    """Shows, changes and deletes them.

    Args:
        keys: The key service, which has the users.
        recordings: Knows which of them are recorded; None where nothing is.
        playback: Knows who may watch which; None where everybody may.
        forget: Deletes what else there is of a user who is deleted.
    """

    def __init__(
        self,
        keys: KeyService,
        recordings: RecordingDesk | None,
        playback: PlaybackDesk | None,
        forget: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._forget = forget
        self._keys = keys
        self._recordings = recordings
        self._playback = playback

    def operations(self) -> list[Operation]:
        """The calls."""
        return [
            Operation(
                "DELETE", "/api/v1/users/{name}", self.delete_user, UserDeletion,
                path_model=UserPath, query=ReasonQuery, problems=(503,), right=Right.USERS,
            ),
            Operation(
                "GET", "/api/v1/users", self.list_users, UserPage, query=UserQuery, problems=(503,), right=Right.READ
            ),
            Operation(
                "GET", "/api/v1/users/{name}", self.get_user, User,
                path_model=UserPath, problems=(503,), right=Right.READ,
            ),
            Operation(
                "PATCH", "/api/v1/users/{name}", self.change_user, ChangedUser,
                path_model=UserPath, body=UserChange, other_answers={202: UnwrittenSuspension}, problems=(503,),
                right=Right.USERS,
            ),
        ]  # fmt: skip

    async def list_users(self, _: web.Request, query: UserQuery) -> web.Response:
        """List users, by name."""
        page = await self._keys.list_users(state=query.state, search=query.search, after=query.after, limit=query.limit)
        return answer(UserPage.of(page, self._wishes, self._policies))

    async def get_user(self, request: web.Request) -> web.Response:
        """Show a user."""
        return answer(User.of(await self._keys.get_user(request.match_info["name"]), self._wishes, self._policies))

    async def change_user(self, request: web.Request, body: UserChange) -> web.Response:
        """Suspend or restore a user, set the user's limits, or decide over list entry, recordings and viewers.

        A suspended user's keys open no stream, their streams are closed when this is answered, and the channel answers
        viewers with 410. A key store that cannot be written keeps nothing on the air: then the status of a suspension
        is 202, and `unwritten` says what is written later.
        """
        name, by = request.match_info["name"], request[ACTOR]
        closed: tuple[str, ...] = ()
        nodes: Mapping[str, str] = {}
        if body.state is UserState.SUSPENDED:
            # It comes first, for it can be done whatever the key store does.
            suspension = await self._keys.suspend(name, reason=body.reason, by=by)
            if suspension.unwritten:
                pending = UnwrittenSuspension.of(suspension)
                others = sorted(body.model_fields_set & {"limits", "listed", "playback", "record"})
                left = f"; not changed: {', '.join(others)}" if others else ""
                return answer(pending.model_copy(update={"unwritten": pending.unwritten + left}), status=202)
            closed, nodes = suspension.closed, suspension.nodes
        # The limits first: a restored user goes on the air with the new limits.
        if body.limits is not None:
            await self._keys.limit(name, body.limits.model_dump(exclude_unset=True), reason=body.reason, by=by)
        if "record" in body.model_fields_set and self._recordings is not None:
            await self._recordings.wish(name, record=body.record, reason=body.reason, by=by)
        if "playback" in body.model_fields_set and self._playback is not None:
            await self._playback.decide(name, body.playback, reason=body.reason, by=by)
        if body.listed is not None:
            await self._keys.list_channel(name, listed=body.listed, reason=body.reason, by=by)
        if body.state is UserState.ACTIVE:
            await self._keys.restore(name, reason=body.reason, by=by)
        user = User.of(await self._keys.get_user(name), self._wishes, self._policies)
        return answer(ChangedUser(**dict(user), closed=list(closed), nodes=nodes))

    async def delete_user(self, request: web.Request, query: ReasonQuery) -> web.Response:
        """Close a user's streams, and delete the user with all keys and recordings.

        The acts on them stay in the audit log, by the user's name. The name is free from then on: a new key for it
        opens the same channel.
        """
        name, by = request.match_info["name"], request[ACTOR]
        try:
            result = await self._keys.delete_user(name, reason=query.reason, by=by)
        except UserNotFoundError:
            # An earlier deletion may have come no further than this: the database was away, or the server ended.
            await self._forget_user(name, query.reason, by)
            raise
        await self._forget_user(name, query.reason, by)
        return answer(UserDeletion.of(result))

    @property
    def _policies(self) -> Mapping[str, str]:
        """Who may watch the channels for which that is decided."""
        return self._playback.policies if self._playback is not None else NO_POLICIES

    @property
    def _wishes(self) -> Mapping[str, bool]:
        """Users for whom it is decided whether they are recorded."""
        return self._recordings.wishes if self._recordings is not None else NO_WISHES

    async def _forget_user(self, name: str, reason: str, by: Actor) -> None:
        """Delete what a user who is deleted has beside keys."""
        if self._recordings is not None:
            await self._recordings.forget_user(name, reason=reason, by=by)
        if self._playback is not None:
            await self._playback.forget_user(name)
        if self._forget is not None:
            await self._forget(name)
