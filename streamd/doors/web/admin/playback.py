"""The calls of the admin API about who may watch."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiohttp import hdrs

from streamd.doors.web.admin.guards import ACTOR
from streamd.doors.web.json_api import InvalidRequestError, NotFoundError, answer
from streamd.doors.web.models.common import ReasonQuery
from streamd.doors.web.models.playback import (
    NewPlaybackKeyAnswer,
    PlaybackChange,
    PlaybackKey,
    PlaybackKeyList,
    PlaybackKeyPath,
    PlaybackKeyRequest,
    PlaybackRotateRequest,
    PlaybackToken,
    PlaybackTokenRequest,
    RevocationAnswer,
    RevokeRequest,
)
from streamd.doors.web.openapi import Operation
from streamd.errors import PlaybackKeyNotFoundError, PlaybackRefusedError
from streamd.services.keys.records import USER_NAME
from streamd.services.operators.roles import Right
from streamd.services.playback.policy import Policy
from streamd.services.recording.recording_id import is_recording_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from streamd.clock import Clock
    from streamd.services.audit.records import Actor
    from streamd.services.playback.service import PlaybackService


class PlaybackDesk:
    """Makes and withdraws keys and tokens of viewers, and decides over channels.

    Args:
        playback: The acts.
        clock: For the times of tokens.
    """

    def __init__(self, playback: PlaybackService, clock: Clock) -> None:
        self._playback = playback
        self._clock = clock

    def operations(self) -> list[Operation]:
        """Every call, with its input, its answer and its errors."""
        one = "/api/v1/playback-keys/{id}"
        return [
            Operation(
                "GET", "/api/v1/playback-keys", self.list_playback_keys, PlaybackKeyList, right=Right.READ_KEYS
            ),
            Operation(
                "POST", "/api/v1/playback-keys", self.add_playback_key, NewPlaybackKeyAnswer, 201,
                body=PlaybackKeyRequest, problems=(409, 503), right=Right.KEYS,
            ),
            Operation(
                "POST", f"{one}/rotate", self.rotate_playback_key, NewPlaybackKeyAnswer, 201,
                path_model=PlaybackKeyPath, body=PlaybackRotateRequest, problems=(409, 503), right=Right.KEYS,
            ),
            Operation(
                "DELETE", one, self.delete_playback_key, PlaybackKey,
                path_model=PlaybackKeyPath, query=ReasonQuery, problems=(409, 503), right=Right.KEYS,
            ),
            Operation(
                "POST", "/api/v1/playback-tokens", self.sign_playback_token, PlaybackToken, 201,
                body=PlaybackTokenRequest, right=Right.KEYS,
            ),
            Operation(
                "POST", "/api/v1/playback/revoke", self.revoke_playback, RevocationAnswer,
                body=RevokeRequest, other_answers={202: RevocationAnswer}, problems=(409,), right=Right.KEYS,
            ),
        ]  # fmt: skip

    @property
    def policies(self) -> Mapping[str, str]:
        """Who may watch the channels and recordings for which that is decided, by name and id."""
        return {name: rule.policy.value for name, rule in self._playback.gate.policies.rules.items()}

    async def decide(
        self,
        name: str,
        change: Policy | PlaybackChange | None,
        *,
        reason: str,
        by: Actor,
        of_recording: bool = False,
    ) -> None:
        """Decide who may watch a channel or recording; None leaves it to the configuration, or to its channel.

        Raises:
            KeyRequestError: There is no password where one is needed.
            UserNotFoundError: There is no such user.
            StoreUnavailableError: It could not be written.
        """
        policy = change.policy if isinstance(change, PlaybackChange) else change
        password = change.password if isinstance(change, PlaybackChange) else None
        await self._playback.set_rule(name, policy, by=by, password=password, reason=reason, of_recording=of_recording)

    async def forget_user(self, name: str) -> None:
        """Drop what is decided of a user who is deleted."""
        await self._playback.forget(name)

    async def list_playback_keys(self, _: web.Request) -> web.Response:
        """List the keys that viewers' tokens are signed with."""
        return answer(PlaybackKeyList(keys=[PlaybackKey.of(record) for record in self._playback.list_keys()]))

    async def add_playback_key(self, request: web.Request, body: PlaybackKeyRequest) -> web.Response:
        """Make a key that viewers' tokens are signed with, or take the public half of yours.

        The answer is the only one that ever holds the private half.
        """
        made = await self._playback.add_key(
            body.algorithm, by=request[ACTOR], label=body.label, public_key=body.public_key
        )
        return self._new(NewPlaybackKeyAnswer.of_new(made))

    async def rotate_playback_key(self, request: web.Request, body: PlaybackRotateRequest) -> web.Response:
        """Replace a playback key by a new one of the same algorithm.

        The old one is good for new tokens until the overlap is over; whoever watches by one of them watches on.
        """
        try:
            made = await self._playback.rotate_key(
                request.match_info["id"], by=request[ACTOR], overlap_s=body.overlap_s
            )
        except PlaybackKeyNotFoundError as exc:
            raise NotFoundError(str(exc)) from exc
        return self._new(NewPlaybackKeyAnswer.of_new(made))

    async def delete_playback_key(self, request: web.Request, query: ReasonQuery) -> web.Response:
        """Withdraw a playback key, cut whoever watches by a token of it, and delete it."""
        kid = request.match_info["id"]
        try:
            known = self._playback.find_key(kid)
            await self._playback.delete_key(kid, by=request[ACTOR], reason=query.reason)
        except PlaybackKeyNotFoundError as exc:
            raise NotFoundError(str(exc)) from exc
        return answer(PlaybackKey.of(known))

    async def sign_playback_token(self, _: web.Request, body: PlaybackTokenRequest) -> web.Response:
        """Sign a token for one channel or recording, for those who will not sign themselves."""
        if not USER_NAME.fullmatch(body.channel) and not is_recording_id(body.channel):
            raise InvalidRequestError(422, "channel is no name of a channel and no id of a recording")
        asked = body.model_dump(exclude_none=True, exclude={"channel", "ttl_s"})
        claims = {"jti": secrets.token_hex(8), **asked, "aud": list(body.aud), "sub": body.channel}
        try:
            token = self._playback.sign(claims, ttl_s=body.ttl_s)
        except PlaybackRefusedError as exc:
            # It would be refused when it is shown.
            raise InvalidRequestError(422, "a claim has a form that no token may have: aud, ip, cc or ref") from exc
        at = int(self._clock.now().timestamp()) + body.ttl_s
        is_recording = is_recording_id(body.channel)
        playlist = f"/vod/{body.channel}/index.m3u8" if is_recording else f"/live/{body.channel}/index.m3u8"
        watch = f"/watch/vod/{body.channel}" if is_recording else f"/watch/{body.channel}"
        return answer(
            PlaybackToken(
                token=token,
                jti=claims["jti"],
                expires_at=datetime.fromtimestamp(at, UTC),
                playlist=f"{playlist}?token={token}",
                watch=f"{watch}?token={token}",
            ),
            status=201,
        )

    async def revoke_playback(self, request: web.Request, body: RevokeRequest) -> web.Response:
        """Withdraw a token, or what a viewer, a key or a channel was given.

        When this is answered, nothing more of it is watched on this server, and what waits has an answer. A store that
        cannot be written changes nothing about that: then the status is 202, and `unwritten` says what is written
        later.
        """
        kind, value = body.named
        done = await self._playback.revoke(kind, value, by=request[ACTOR], reason=body.reason)
        return answer(RevocationAnswer.of(done), status=202 if done.unwritten else 200)

    def _new(self, key: NewPlaybackKeyAnswer) -> web.Response:
        return answer(key, status=201, headers={hdrs.LOCATION: f"/api/v1/playback-keys/{key.id}"})
