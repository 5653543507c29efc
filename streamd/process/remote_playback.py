"""Who may watch, for the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from streamd.doors.web.models.playback import (
    NewPlaybackKeyAnswer,
    PlaybackKey,
    PlaybackKeyList,
    PlaybackToken,
    RevocationAnswer,
)
from streamd.services.recording.recording_id import is_recording_id

if TYPE_CHECKING:
    from streamd.process.admin_connection import Call


class RemotePlayback:
    """A server's locks on channels, and the keys and tokens that open them.

    Args:
        call: Asks its admin API.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

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

    async def decide_playback(self, name: str, playback: object, *, reason: str) -> None:
        """Decide who may watch a channel, or the recording of an id."""
        place = "recordings" if is_recording_id(name) else "users"
        await self._call("PATCH", f"/api/v1/{place}/{name}", {"playback": playback, "reason": reason})
