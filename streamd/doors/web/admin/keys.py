"""The calls about stream keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from streamd.doors.web.admin.guards import ACTOR
from streamd.doors.web.json_api import InvalidRequestError, answer
from streamd.doors.web.models.common import ReasonQuery, ReasonRequest
from streamd.doors.web.models.keys import (
    Import,
    ImportRequest,
    IssueRequest,
    Key,
    KeyDeletion,
    KeyPage,
    KeyPath,
    KeyQuery,
    NewKey,
    Revocation,
    RotateRequest,
)
from streamd.doors.web.openapi import Operation
from streamd.errors import ImportRefusedError
from streamd.services.keys.foreign_key import ForeignKey
from streamd.services.operators.roles import Right

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamd.services.keys.service import KeyService


class KeyDesk:
    """Issues, shows, rotates and revokes them.

    Args:
        keys: The key service.
        rtmp_urls: The server addresses for broadcasters, shown with a new key.
    """

    def __init__(self, keys: KeyService, rtmp_urls: Sequence[str]) -> None:
        self._keys = keys
        self._rtmp_urls = rtmp_urls

    def operations(self) -> list[Operation]:
        """The calls."""
        return [
            Operation(
                "POST", "/api/v1/keys", self.issue_key, NewKey, 201, body=IssueRequest, problems=(503,),
                right=Right.KEYS,
            ),
            Operation(
                "POST", "/api/v1/keys/import", self.import_keys, Import, body=ImportRequest, problems=(503,),
                right=Right.KEYS,
            ),
            Operation(
                "GET", "/api/v1/keys", self.list_keys, KeyPage, query=KeyQuery, problems=(503,), right=Right.READ_KEYS
            ),
            Operation(
                "GET", "/api/v1/keys/{id}", self.get_key, Key,
                path_model=KeyPath, problems=(503,), right=Right.READ_KEYS,
            ),
            Operation(
                "POST", "/api/v1/keys/{id}/rotate", self.rotate_key, NewKey, 201,
                path_model=KeyPath, body=RotateRequest, problems=(409, 503), right=Right.KEYS,
            ),
            Operation(
                "POST", "/api/v1/keys/{id}/revoke", self.revoke_key, Revocation,
                path_model=KeyPath, body=ReasonRequest, other_answers={202: Revocation}, problems=(503,),
                right=Right.KEYS,
            ),
            Operation(
                "DELETE", "/api/v1/keys/{id}", self.delete_key, KeyDeletion,
                path_model=KeyPath, query=ReasonQuery, problems=(503,), right=Right.KEYS,
            ),
        ]  # fmt: skip

    async def issue_key(self, request: web.Request, body: IssueRequest) -> web.Response:
        """Make a stream key.

        The answer is the only one that ever holds the key itself. An unknown user is created.
        """
        issued = await self._keys.issue(body.user, label=body.label, expires_at=body.expires_at, by=request[ACTOR])
        return self._new_key(NewKey.of(issued, self._rtmp_urls))

    async def import_keys(self, request: web.Request, body: ImportRequest) -> web.Response:
        """Take over keys of another service, all or none; encoders keep the key they have.

        Importing again changes nothing. No answer repeats a secret.
        """
        given = [ForeignKey(**key.model_dump()) for key in body.keys]
        try:
            results = await self._keys.importer.take(
                given, by=request[ACTOR], allows_weak=body.allow_weak, only_checks=body.check_only
            )
        except ImportRefusedError as exc:
            raise InvalidRequestError(422, str(exc), exc.faults) from exc
        return answer(Import.of(results))

    async def list_keys(self, _: web.Request, query: KeyQuery) -> web.Response:
        """List stream keys, in the order they were issued, or from the last back."""
        page = await self._keys.list_keys(
            user=query.user,
            state=query.state,
            search=query.search,
            after=query.after,
            limit=query.limit,
            is_newest_first=query.newest_first,
        )
        return answer(KeyPage.of(page, self._keys.state_of))

    async def get_key(self, request: web.Request) -> web.Response:
        """Show a stream key, without its secret."""
        record = await self._keys.get_key(request.match_info["id"])
        return answer(Key.of(record, self._keys.state_of(record)))

    async def rotate_key(self, request: web.Request, body: RotateRequest) -> web.Response:
        """Replace a stream key by a new one.

        The old key dies at once, or when the overlap is over; a stream that still runs on it then is closed.
        """
        issued = await self._keys.rotate(request.match_info["id"], overlap_s=body.overlap_s, by=request[ACTOR])
        return self._new_key(NewKey.of(issued, self._rtmp_urls))

    async def revoke_key(self, request: web.Request, body: ReasonRequest) -> web.Response:
        """Kill a stream key for good, and close what runs on it.

        When this is answered, the publisher's socket is closed, the playlist has ended, and every waiting viewer has an
        answer. A second revocation has the same answer. A key store that cannot be written keeps nothing on the air:
        then the status is 202, and `unwritten` says what is written later.
        """
        result = await self._keys.revoke(request.match_info["id"], reason=body.reason, by=request[ACTOR])
        return answer(Revocation.of(result), status=202 if result.unwritten else 200)

    async def delete_key(self, request: web.Request, query: ReasonQuery) -> web.Response:
        """Revoke a stream key, and delete what is kept of it.

        Its hash, label, last use and the addresses from which it was tried are gone; the acts on it stay in the audit
        log, by its id.
        """
        result = await self._keys.delete_key(request.match_info["id"], reason=query.reason, by=request[ACTOR])
        return answer(KeyDeletion.of(result))

    def _new_key(self, key: NewKey) -> web.Response:
        return answer(key, status=201, headers={hdrs.LOCATION: f"/api/v1/keys/{key.id}"})
