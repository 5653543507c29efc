"""Keys, users and the audit log for the command line: over a running server, or on the store itself.

``AdminClient`` and ``LocalKeys`` answer alike, in the admin API's own types. On the store nothing
can be closed; servers that share it look every few seconds for what was changed there
(``SweepOptions.recheck_interval_s``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import aiohttp
from pydantic import TypeAdapter, ValidationError

from streamd.doors.web.admin.guards import ACCOUNT_FIELD
from streamd.doors.web.models.audit import AuditPage
from streamd.doors.web.models.common import Problem
from streamd.doors.web.models.exports import ExportShown
from streamd.doors.web.models.keys import Import, Key, KeyDeletion, KeyPage, NewKey, Revocation
from streamd.doors.web.models.playback import (
    NewPlaybackKeyAnswer,
    PlaybackKey,
    PlaybackKeyList,
    PlaybackToken,
    RevocationAnswer,
)
from streamd.doors.web.models.recordings import Recording, RecordingPage
from streamd.doors.web.models.streams import Kick, Stream, StreamList
from streamd.doors.web.models.users import ChangedUser, UnwrittenSuspension, User, UserDeletion, UserPage
from streamd.errors import ImportRefusedError, StreamdError, UserNotFoundError
from streamd.process.account import TOKEN_VARIABLE
from streamd.process.moderation_client import RemoteModeration
from streamd.process.operator_desk import LocalOperators, RemoteOperators
from streamd.services.audit.records import AuditEntry
from streamd.services.keys.records import UserState
from streamd.services.keys.request import PAGE_LIMIT_MAX

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from streamd.clock import Clock
    from streamd.process.operator_desk import OperatorDesk
    from streamd.services.audit.records import Actor
    from streamd.services.keys.importer import ForeignKey
    from streamd.services.keys.service import KeyService
    from streamd.services.operators.service import OperatorService
    from streamd.services.recording.index import RecordingIndex

# A revocation of many streams is done well within a second; a server that needs this long is stuck.
REQUEST_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 3.0
# A file is fetched in pieces of this size.
FETCHED_BYTES = 256 * 1024

_SUSPENSION: TypeAdapter[ChangedUser | UnwrittenSuspension] = TypeAdapter(ChangedUser | UnwrittenSuspension)


class AdminUnreachableError(StreamdError):
    """The admin address does not answer; nothing was asked."""


class AdminApiError(StreamdError):
    """The admin API refused, or could not do it.

    Args:
        status: HTTP status.
        detail: Its words.
        errors: Each fault, where it lists them.
    """

    def __init__(self, status: int, detail: str, errors: Sequence[str] = ()) -> None:
        super().__init__("; ".join((detail, *errors)))
        self.status = status
        self.errors = list(errors)


class KeyDesk(Protocol):
    """Where keys are issued, rotated and revoked, users suspended, and all of it can be read."""

    operators: OperatorDesk

    async def issue(self, user: str, *, label: str, expires_at: datetime | None) -> NewKey:
        """Make a key."""

    async def import_keys(self, given: Sequence[ForeignKey], *, allows_weak: bool, only_checks: bool) -> Import:
        """Take over keys, at most ``KEYS_MAX``; raises ``ImportRefusedError`` with their faults."""

    async def list_keys(self, user: str | None) -> list[Key]:
        """All keys, or all of one user's, in the order they were issued."""

    async def rotate(self, key_id: str, *, overlap_s: float) -> NewKey:
        """Replace a key."""

    async def revoke(self, key_id: str, *, reason: str) -> Revocation:
        """Kill a key."""

    async def delete_key(self, key_id: str, *, reason: str) -> KeyDeletion:
        """Kill a key, and delete it."""

    async def delete_user(self, name: str, *, reason: str) -> UserDeletion:
        """Delete a user with all keys."""

    async def list_users(self, state: UserState | None) -> list[User]:
        """All users, or all in one state, by name."""

    async def find_user(self, name: str) -> User | None:
        """One user; None where there is none of this name."""

    async def suspend_user(self, name: str, *, reason: str) -> ChangedUser | UnwrittenSuspension:
        """Suspend a user."""

    async def restore_user(self, name: str, *, reason: str) -> User:
        """End a user's suspension."""

    async def limit_user(self, name: str, change: Mapping[str, int | None], *, reason: str) -> User:
        """Change what a user may send: fields of ``UserLimits``, None for the server's; the others stay."""

    async def list_channel(self, name: str, *, listed: bool, reason: str) -> User:
        """Put a user's channel into the public list, or take it out."""

    async def list_audit(self, *, after: int, limit: int) -> AuditPage:
        """Rows of the audit log, from the last back."""


class LocalKeys:
    """Keys, users and the audit log on the store itself.

    Args:
        service: On a store that was started.
        rtmp_urls: The addresses that broadcasters could type as server, RTMPS first.
        recordings: The index of recordings in the same database.
        clock: For the audit log.
        operators: On the same database.
        by: The actor.

    Attributes:
        operators: The people who act through the admin API.
    """

    def __init__(
        self,
        service: KeyService,
        rtmp_urls: Sequence[str],
        recordings: RecordingIndex,
        clock: Clock,
        operators: OperatorService,
        by: Actor,
    ) -> None:
        self.operators: OperatorDesk = LocalOperators(operators, by)
        self._by = by
        self._service = service
        self._rtmp_urls = rtmp_urls
        self._recordings = recordings
        self._clock = clock

    async def issue(self, user: str, *, label: str, expires_at: datetime | None) -> NewKey:
        """Make a key."""
        issued = await self._service.issue(user, label=label, expires_at=expires_at, by=self._by)
        return NewKey.of(issued, self._rtmp_urls)

    async def import_keys(self, given: Sequence[ForeignKey], *, allows_weak: bool, only_checks: bool) -> Import:
        """Take over keys."""
        results = await self._service.importer.take(
            given, by=self._by, allows_weak=allows_weak, only_checks=only_checks
        )
        return Import.of(results)

    async def list_keys(self, user: str | None) -> list[Key]:
        """All keys, or all of one user's, in the order they were issued."""
        keys: list[Key] = []
        after: int | None = 0
        while after is not None:
            records = await self._service.list_keys(user=user, after=after, limit=PAGE_LIMIT_MAX)
            page = KeyPage.of(records, self._service.state_of)
            keys += page.keys
            after = page.next_after
        return keys

    async def rotate(self, key_id: str, *, overlap_s: float) -> NewKey:
        """Replace a key."""
        return NewKey.of(await self._service.rotate(key_id, overlap_s=overlap_s, by=self._by), self._rtmp_urls)

    async def revoke(self, key_id: str, *, reason: str) -> Revocation:
        """Kill a key."""
        return Revocation.of(await self._service.revoke(key_id, reason=reason, by=self._by))

    async def delete_key(self, key_id: str, *, reason: str) -> KeyDeletion:
        """Kill a key, and delete it."""
        return KeyDeletion.of(await self._service.delete_key(key_id, reason=reason, by=self._by))

    async def delete_user(self, name: str, *, reason: str) -> UserDeletion:
        """Delete a user with all keys and recordings, whose files the next server removes."""
        result = await self._service.delete_user(name, reason=reason, by=self._by)
        entry = AuditEntry(
            self._clock.now(),
            self._by.name,
            "recording.deleted",
            user=name,
            stream=name,
            reason=reason or "user deleted",
        )
        await self._recordings.forget_user(name, entry)
        return UserDeletion.of(result)

    async def list_users(self, state: UserState | None) -> list[User]:
        """All users, or all in one state, by name."""
        users: list[User] = []
        after: str | None = ""
        while after is not None:
            page = UserPage.of(await self._service.list_users(state=state, after=after, limit=PAGE_LIMIT_MAX))
            users += page.users
            after = page.next_after
        return users

    async def find_user(self, name: str) -> User | None:
        """One user; None where there is none of this name."""
        try:
            return User.model_validate(await self._service.get_user(name))
        except UserNotFoundError:
            return None

    async def suspend_user(self, name: str, *, reason: str) -> ChangedUser | UnwrittenSuspension:
        """Suspend a user; on the store itself it is written, or an error."""
        result = await self._service.suspend(name, reason=reason, by=self._by)
        user = User.model_validate(result.user)
        return ChangedUser(**dict(user), closed=list(result.closed))

    async def restore_user(self, name: str, *, reason: str) -> User:
        """End a user's suspension."""
        return User.model_validate(await self._service.restore(name, reason=reason, by=self._by))

    async def limit_user(self, name: str, change: Mapping[str, int | None], *, reason: str) -> User:
        """Change what a user may send."""
        return User.model_validate(await self._service.limit(name, change, reason=reason, by=self._by))

    async def list_channel(self, name: str, *, listed: bool, reason: str) -> User:
        """Put a user's channel into the public list, or take it out."""
        return User.model_validate(await self._service.list_channel(name, listed=listed, reason=reason, by=self._by))

    async def list_audit(self, *, after: int, limit: int) -> AuditPage:
        """Rows of the audit log, from the last back."""
        return AuditPage.of(await self._service.list_audit(after=after, limit=limit, is_newest_first=True))


class AdminClient:
    """Keys, users, streams and the audit log over the admin API; an asynchronous context manager.

    Args:
        host: Where the admin API is bound; brackets around IPv6 do not matter.
        port: Its port.
        token: The admin token, or an operator's.
        account: Whose account the command runs as, beside the admin token; empty beside an operator's, who has a name.

    Attributes:
        operators: The people who act through it.
        moderation: What moderators do.
    """

    def __init__(self, host: str, port: int, token: str, account: str = "") -> None:
        host = host.strip("[]")
        # Bound to all interfaces is reached by the loopback one.
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._headers = {"Authorization": f"Bearer {token}"} | ({ACCOUNT_FIELD: account} if account else {})
        self._is_named = not account
        self.operators: OperatorDesk = RemoteOperators(self._call)
        self.moderation = RemoteModeration(self._call)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            base_url=f"http://{self._address}",
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        )
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _exc: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def issue(self, user: str, *, label: str, expires_at: datetime | None) -> NewKey:
        """Make a key."""
        body = {"user": user, "label": label, "expires_at": expires_at and expires_at.isoformat()}
        return NewKey.model_validate_json(await self._call("POST", "/api/v1/keys", body))

    async def import_keys(self, given: Sequence[ForeignKey], *, allows_weak: bool, only_checks: bool) -> Import:
        """Take over keys."""
        keys = [
            {name: value for name, value in asdict(key).items() if value is not None}
            | ({} if key.expires_at is None else {"expires_at": key.expires_at.isoformat()})
            for key in given
        ]
        body = {"keys": keys, "allow_weak": allows_weak, "check_only": only_checks}
        try:
            return Import.model_validate_json(await self._call("POST", "/api/v1/keys/import", body))
        except AdminApiError as exc:
            if exc.status == 422 and exc.errors:
                raise ImportRefusedError(exc.errors) from exc
            raise

    async def list_keys(self, user: str | None) -> list[Key]:
        """All keys, or all of one user's, in the order they were issued."""
        keys: list[Key] = []
        after: int | None = 0
        while after is not None:
            query = {"after": str(after), "limit": str(PAGE_LIMIT_MAX)} | ({"user": user} if user else {})
            page = KeyPage.model_validate_json(await self._call("GET", "/api/v1/keys", query=query))
            keys += page.keys
            after = page.next_after
        return keys

    async def rotate(self, key_id: str, *, overlap_s: float) -> NewKey:
        """Replace a key."""
        answer = await self._call("POST", f"/api/v1/keys/{key_id}/rotate", {"overlap_s": overlap_s})
        return NewKey.model_validate_json(answer)

    async def revoke(self, key_id: str, *, reason: str) -> Revocation:
        """Kill a key, and what runs on it."""
        answer = await self._call("POST", f"/api/v1/keys/{key_id}/revoke", {"reason": reason})
        return Revocation.model_validate_json(answer)

    async def delete_key(self, key_id: str, *, reason: str) -> KeyDeletion:
        """Kill a key, and delete it."""
        query = {"reason": reason} if reason else {}
        return KeyDeletion.model_validate_json(await self._call("DELETE", f"/api/v1/keys/{key_id}", query=query))

    async def delete_user(self, name: str, *, reason: str) -> UserDeletion:
        """Delete a user with all keys."""
        query = {"reason": reason} if reason else {}
        return UserDeletion.model_validate_json(await self._call("DELETE", f"/api/v1/users/{name}", query=query))

    async def list_users(self, state: UserState | None) -> list[User]:
        """All users, or all in one state, by name."""
        users: list[User] = []
        after: str | None = ""
        while after is not None:
            query = {"after": after, "limit": str(PAGE_LIMIT_MAX)} | ({"state": state.value} if state else {})
            page = UserPage.model_validate_json(await self._call("GET", "/api/v1/users", query=query))
            users += page.users
            after = page.next_after
        return users

    async def find_user(self, name: str) -> User | None:
        """One user; None where there is none of this name."""
        try:
            return User.model_validate_json(await self._call("GET", f"/api/v1/users/{name}"))
        except AdminApiError as exc:
            if exc.status == 404:
                return None
            raise

    async def suspend_user(self, name: str, *, reason: str) -> ChangedUser | UnwrittenSuspension:
        """Suspend a user, and close what runs."""
        body = {"state": UserState.SUSPENDED.value, "reason": reason}
        return _SUSPENSION.validate_json(await self._call("PATCH", f"/api/v1/users/{name}", body))

    async def restore_user(self, name: str, *, reason: str) -> User:
        """End a user's suspension."""
        return await self._change_user(name, {"state": UserState.ACTIVE.value, "reason": reason})

    async def limit_user(self, name: str, change: Mapping[str, int | None], *, reason: str) -> User:
        """Change what a user may send."""
        return await self._change_user(name, {"limits": dict(change), "reason": reason})

    async def list_channel(self, name: str, *, listed: bool, reason: str) -> User:
        """Put a user's channel into the public list, or take it out."""
        return await self._change_user(name, {"listed": listed, "reason": reason})

    async def list_audit(self, *, after: int, limit: int) -> AuditPage:
        """Rows of the audit log, from the last back."""
        query = {"newest_first": "true", "after": str(after), "limit": str(limit)}
        return AuditPage.model_validate_json(await self._call("GET", "/api/v1/audit", query=query))

    async def list_streams(self) -> list[Stream]:
        """The streams that are live."""
        return StreamList.model_validate_json(await self._call("GET", "/api/v1/streams")).streams

    async def kick(self, name: str, *, reason: str) -> Kick:
        """Close a stream's publisher."""
        return Kick.model_validate_json(await self._call("POST", f"/api/v1/streams/{name}/kick", {"reason": reason}))

    async def list_recordings(self, *, user: str | None, state: str | None) -> list[Recording]:
        """All recordings, or those of a user or in a state, the newest first."""
        found: list[Recording] = []
        chosen = ({"user": user} if user else {}) | ({"state": state} if state else {})
        before: str | None = ""
        while before is not None:
            query = {"before": before, "limit": str(PAGE_LIMIT_MAX)} | chosen
            page = RecordingPage.model_validate_json(await self._call("GET", "/api/v1/recordings", query=query))
            found += page.recordings
            before = page.next_before
        return found

    async def get_recording(self, recording_id: str) -> Recording:
        """One recording."""
        return Recording.model_validate_json(await self._call("GET", f"/api/v1/recordings/{recording_id}"))

    async def delete_recording(self, recording_id: str, *, reason: str) -> Recording:
        """Delete a recording and its files."""
        answer = await self._call("DELETE", f"/api/v1/recordings/{recording_id}", query={"reason": reason})
        return Recording.model_validate_json(answer)

    async def export_recording(self, recording_id: str, *, variant: str, run: int) -> ExportShown:
        """Have a recording made into one MP4."""
        body = {"variant": variant, "run": run}
        answer = await self._call("POST", f"/api/v1/recordings/{recording_id}/export", body)
        return ExportShown.model_validate_json(answer)

    async def get_export(self, recording_id: str) -> ExportShown:
        """How far that has come."""
        return ExportShown.model_validate_json(await self._call("GET", f"/api/v1/recordings/{recording_id}/export"))

    async def fetch_export(self, recording_id: str, write: Callable[[bytes], object]) -> None:
        """Fetch the MP4, a piece at a time, however long that takes.

        Args:
            recording_id: Id of the recording.
            write: Takes each piece.

        Raises:
            AdminUnreachableError: The server does not answer.
            AdminApiError: There is no such file, or the server stopped before its end.
        """
        assert self._session is not None
        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_S, sock_read=REQUEST_TIMEOUT_S)
        path = f"/api/v1/recordings/{recording_id}/export.mp4"
        try:
            async with self._session.get(path, timeout=timeout) as response:
                if response.status != 200:
                    raise AdminApiError(response.status, f"{recording_id} has no export that is ready")
                async for piece in response.content.iter_chunked(FETCHED_BYTES):
                    write(piece)
        except aiohttp.ClientPayloadError as exc:
            raise AdminApiError(502, "the server stopped before the end of the file") from exc
        except (aiohttp.ClientConnectionError, TimeoutError) as exc:
            raise AdminUnreachableError("the admin API does not answer") from exc

    async def list_playback_keys(self) -> list[PlaybackKey]:
        """The keys of viewers' tokens."""
        return [*PlaybackKeyList.model_validate_json(await self._call("GET", "/api/v1/playback-keys")).keys]

    async def add_playback_key(self, body: dict[str, Any]) -> NewPlaybackKeyAnswer:
        """Make one, or take the public half of one."""
        return NewPlaybackKeyAnswer.model_validate_json(await self._call("POST", "/api/v1/playback-keys", body))

    async def rotate_playback_key(self, kid: str, *, overlap_s: float) -> NewPlaybackKeyAnswer:
        """Replace one."""
        path = f"/api/v1/playback-keys/{quote(kid, safe='')}/rotate"
        return NewPlaybackKeyAnswer.model_validate_json(await self._call("POST", path, {"overlap_s": overlap_s}))

    async def delete_playback_key(self, kid: str, *, reason: str) -> None:
        """Withdraw and delete one."""
        await self._call("DELETE", f"/api/v1/playback-keys/{quote(kid, safe='')}", query={"reason": reason})

    async def sign_playback_token(self, body: dict[str, Any]) -> PlaybackToken:
        """A token of the server's."""
        return PlaybackToken.model_validate_json(await self._call("POST", "/api/v1/playback-tokens", body))

    async def revoke_playback(self, body: dict[str, Any]) -> RevocationAnswer:
        """Withdraw a token, or what a viewer, a key or a channel was given."""
        return RevocationAnswer.model_validate_json(await self._call("POST", "/api/v1/playback/revoke", body))

    async def decide_playback(self, name: str, playback: object, *, reason: str) -> User:
        """Decide who may watch a channel."""
        return await self._change_user(name, {"playback": playback, "reason": reason})

    async def _change_user(self, name: str, change: dict[str, Any]) -> ChangedUser:
        return ChangedUser.model_validate_json(await self._call("PATCH", f"/api/v1/users/{name}", change))

    async def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        query: dict[str, str] | None = None,
        data: bytes | None = None,
        media_type: str = "",
    ) -> bytes:
        assert self._session is not None
        headers = {"Content-Type": media_type} if media_type else {}
        try:
            async with self._session.request(
                method, path, json=body, params=query, data=data, headers=headers
            ) as response:
                answer = await response.read()
                if response.ok:
                    return answer
                raise _refusal(response, answer, is_named=self._is_named)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as exc:
            raise AdminUnreachableError(f"nobody answers at the admin address {self._address}") from exc
        except TimeoutError as exc:
            raise AdminApiError(504, f"no answer from {self._address} within {REQUEST_TIMEOUT_S:g} s") from exc
        except (aiohttp.ClientError, ValidationError) as exc:
            raise AdminApiError(502, f"what answers at {self._address} is not streamd's admin API") from exc


def _refusal(response: aiohttp.ClientResponse, answer: bytes, *, is_named: bool) -> AdminApiError:
    try:
        problem = Problem.model_validate(json.loads(answer))
    except ValueError:
        return AdminApiError(response.status, f"HTTP {response.status} {response.reason}")
    if response.status == 401 and is_named:
        return AdminApiError(
            401, f"the server does not accept the token in {TOKEN_VARIABLE}: it was revoked, or expired"
        )
    if response.status == 401:
        return AdminApiError(
            401,
            "the server does not accept this data directory's admin token; "
            "give the command the configuration and the environment of the server",
        )
    return AdminApiError(response.status, problem.detail, problem.errors)
