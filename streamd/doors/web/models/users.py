"""Users, who are also channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Final, Self

from pydantic import Field, model_validator

from streamd.doors.web.models.common import PAGE_LIMIT_DEFAULT, ApiModel, Limit, Reason, UserName
from streamd.doors.web.models.nodes import DoneOnNodes
from streamd.doors.web.models.playback import NO_POLICIES, PlaybackChange
from streamd.services.keys.records import DeleteResult, SuspendResult, UserRecord, UserState
from streamd.services.keys.request import BITRATE_KBPS_RANGE, PICTURE_PIXELS_RANGE
from streamd.services.playback.policy import Policy

if TYPE_CHECKING:
    from streamd.services.store.page import Page

NO_WISHES: Final[Mapping[str, bool]] = MappingProxyType({})


class UserPath(ApiModel):
    """The user, or the stream of that name, in a path."""

    name: UserName


class UserLimits(ApiModel):
    """A user's limits; null is the limit of the server's configuration."""

    bitrate_kbps_max: Annotated[int, Field(ge=BITRATE_KBPS_RANGE[0], le=BITRATE_KBPS_RANGE[1])] | None = None
    """Kilobits a second, audio and video, over five seconds. A stream past it ends and says why, also one that runs
    already."""
    picture_pixels_max: Annotated[int, Field(ge=PICTURE_PIXELS_RANGE[0], le=PICTURE_PIXELS_RANGE[1])] | None = None
    """Width times height of a picture; 2088960 lets 1080p through, however it is padded. A stream with larger pictures
    ends and says why; one that runs already goes on until its encoder starts anew."""


class UserChange(ApiModel):
    """Changes of a user; fields that are left out stay."""

    state: UserState | None = None
    limits: UserLimits | None = None
    """Limits that are left out stay; null is the server's own limit again."""
    record: bool | None = None
    """Whether the user's broadcasts are recorded, from the next one on; null is the server's own rule again
    (`[recording] mode`)."""
    playback: Policy | PlaybackChange | None = None
    """Who may watch the channel; null is the server's own rule again (`[playback] policy`). Whoever watches without
    what is needed from now on is cut."""
    listed: bool | None = None
    """Whether the public list has the channel. It plays under its name all the same."""
    reason: Reason = ""
    """For the audit log, in your words."""

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        # Of the last two null is a change too.
        says_nothing = self.model_fields_set.isdisjoint({"record", "playback"})
        if says_nothing and self.state is None and self.limits is None and self.listed is None:
            raise ValueError("state, limits, listed, record or playback, or several of them")
        return self


class UserQuery(ApiModel):
    """Which users to list."""

    state: UserState | None = None
    search: Annotated[str, Field(max_length=64)] = ""
    """Only users whose name has this in it."""
    after: Annotated[str, Field(pattern="^[a-z0-9_-]{0,64}$")] = ""
    """``next_after`` of the page before."""
    limit: Limit = PAGE_LIMIT_DEFAULT


class User(ApiModel):
    """A user, who is also the channel of that name."""

    name: str
    state: UserState
    created_at: datetime
    suspended_at: datetime | None
    suspend_reason: str
    limits: UserLimits
    listed: bool
    """Whether the public list has the channel."""
    record: bool | None = None
    """Whether the user's broadcasts are recorded; null: as the server's configuration says."""
    playback: Policy | None = None
    """Who may watch the channel; null: as the server's configuration says."""

    @classmethod
    def of(
        cls,
        user: UserRecord,
        wishes: Mapping[str, bool] = NO_WISHES,
        policies: Mapping[str, str] = NO_POLICIES,
    ) -> Self:
        """The answer about a user.

        Args:
            user: The user.
            wishes: Users for whom it is decided whether they are recorded.
            policies: Users for whom it is decided who may watch them.
        """
        policy = policies.get(user.name)
        decided = {"record": wishes.get(user.name), "playback": None if policy is None else Policy(policy)}
        return cls.model_validate(user).model_copy(update=decided)


class UserDeletion(ApiModel):
    """A completed deletion of a user."""

    name: str
    keys: int
    """Keys that are gone with them."""
    closed: list[str]
    """Names of the streams that it closed."""

    @classmethod
    def of(cls, result: DeleteResult) -> Self:
        """The answer to deleting a user."""
        return cls(name=result.name, keys=len(result.keys), closed=list(result.closed))


class ChangedUser(User, DoneOnNodes):
    """A user who was changed."""

    closed: Sequence[str] = ()
    """Names of the streams that a suspension closed."""


class UnwrittenSuspension(DoneOnNodes):
    """A suspension that holds on this server, and that the key store does not have yet."""

    name: str
    state: UserState = UserState.SUSPENDED
    suspended_at: datetime
    suspend_reason: str
    closed: list[str]
    """Names of the streams that it closed."""
    unwritten: str
    """The facts that the key store does not have, the reason, and the consequence."""

    @classmethod
    def of(cls, result: SuspendResult) -> Self:
        """The answer to suspending."""
        return cls(
            name=result.name,
            suspended_at=result.suspended_at,
            suspend_reason=result.reason,
            closed=list(result.closed),
            unwritten=result.unwritten,
            nodes=result.nodes,
        )


class UserPage(ApiModel):
    """Users in the order of their names."""

    users: list[User]
    next_after: str | None
    """``after`` of the next page; null on the last."""

    @classmethod
    def of(
        cls,
        page: Page[UserRecord],
        wishes: Mapping[str, bool] = NO_WISHES,
        policies: Mapping[str, str] = NO_POLICIES,
    ) -> Self:
        """The answer to a list of users.

        Args:
            page: A piece of the list.
            wishes: Users for whom it is decided whether they are recorded.
            policies: Users for whom it is decided who may watch them.
        """
        return cls(
            users=[User.of(record, wishes, policies) for record in page.items],
            next_after=page.items[-1].name if page.has_more else None,
        )
