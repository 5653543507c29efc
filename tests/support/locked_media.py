"""A signed live channel, a signed recording and a channel with a password, on a server of their own, with links."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.patience import PATIENCE_S
from tests.support.server import run_server, wait_until
from tests.support.tag_publisher import TagPublisher, publishing, repeated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streamd.formats.flv.tag import FlvTag
    from tests.support.server import LiveServer

PASSWORD = "open sesame"
LIVE, WORD, TAPED = "demo", "word", "taped"
_MEDIA_S = 4
# More than a player that begins three segments behind the end has to have.
_TAPED_S = 8


@dataclass(frozen=True)
class Locked:
    """The server, and what a viewer is given."""

    server: LiveServer
    recording: str
    """Id of the signed recording."""

    def links(self) -> dict[str, dict[str, Any]]:
        """A link of its own to each, by ``signed``, ``password`` and ``recording``; paths and tokens."""
        subjects = {"signed": LIVE, "password": WORD, "recording": self.recording}
        return {
            kind: self.server.admin("POST", "/api/v1/playback-tokens", {"channel": subject, "aud": ["v", "t", "s"]})
            for kind, subject in subjects.items()
        }

    def playlists(self) -> dict[str, str]:
        """Addresses of playlists, with tokens."""
        return {kind: self.server.http_url + link["playlist"] for kind, link in self.links().items()}


@contextlib.contextmanager
def locked_media(directory: Path, **options: Any) -> Iterator[Locked]:
    """Have all three until the block is left; pictures are small, and encoded once."""
    media = encoded((VideoTrack(),), (AudioTrack(),), _MEDIA_S)
    options = {"recording__mode": "asked", "recording__min_free_bytes": 0, **options}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(run_server(directory, **options))
        for name in (TAPED, LIVE, WORD):
            key = server.issue_key(name)
            if name == TAPED:
                server.admin("PATCH", f"/api/v1/users/{name}", {"record": True})
                with TagPublisher(server.rtmp_port, key) as publisher, _going_on(publisher, media):
                    wait_until(lambda: _is_long(server), PATIENCE_S, "a recording")
            else:
                publisher = stack.enter_context(TagPublisher(server.rtmp_port, key))
                stack.enter_context(_going_on(publisher, media))
        for name in (LIVE, WORD):
            server.wait_until_playable(name)
        wait_until(lambda: _recording(server)["state"] == "ready", PATIENCE_S, "the end of the recording")
        for name, rule in ((TAPED, "signed"), (LIVE, "signed"), (WORD, {"policy": "password", "password": PASSWORD})):
            server.admin("PATCH", f"/api/v1/users/{name}", {"playback": rule})
        yield Locked(server, _recording(server)["id"])


def _going_on(publisher: TagPublisher, media: tuple[FlvTag, ...]) -> contextlib.AbstractContextManager[None]:
    return publishing(publisher, repeated(media, 1000 * _MEDIA_S))


def _recording(server: LiveServer) -> dict[str, Any]:
    found: list[dict[str, Any]] = server.admin("GET", "/api/v1/recordings")["recordings"]
    return found[0] if found else {"duration_s": 0, "state": "none", "id": ""}


def _is_long(server: LiveServer) -> bool:
    return bool(_recording(server)["duration_s"] >= _TAPED_S)
