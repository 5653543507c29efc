"""The target of a report, a decision or an order: one box that takes any URL, name, key id, recording or clip.

A URL is read by its path, and one of another site is refused: nobody here can do anything about that.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from streamd.errors import KeyNotFoundError, TargetNotFoundError, TargetRefusedError
from streamd.services.keys.records import USER_NAME
from streamd.services.keys.stream_key import StreamKey, is_key_id
from streamd.services.recording.clip_records import ClipFilter
from streamd.services.recording.recording_id import is_clip_id, is_recording_id
from streamd.services.recording.records import RecordingFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from streamd.services.keys.records import KeyRecord
    from streamd.services.recording.clip_records import Clip
    from streamd.services.recording.records import RecordingRecord
    from streamd.services.store.page import Page

# As browsers send; a longer one names nothing of ours.
URL_CHARS_MAX: Final = 2048
# Recordings of a channel, and clips, whose paths caches are told: they keep them for a minute, and what was watched in
# that is among the newest, nearly always.
RECORDED_MAX: Final = 500
# RFC 3986 section 3: scheme, authority without user and port, path; what follows it says nothing about what it names.
_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?:[^/?#@\s]*@)?"
    r"(?P<host>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?(?P<path>/[^?#\s]*)?(?:[?#].*)?"
)
_SCHEMES: Final = frozenset(("http", "https", "rtmp", "rtmps"))
# A path as browsers show it: ``/watch/name``, ``/watch/vod/rec_…``, ``/clip/clip_…``, ``/embed/name``,
# ``/live/name.flv``, ``/live/name/…``, ``/vod/rec_….mp4``, ``/vod/rec_…/…``, ``/report/name``, and calls of the API.
_RECORDED: Final = re.compile(
    r"/(?:watch/vod|clip|vod(?:/~[^/]*)?|api/v1/(?:recordings|clips))/(?P<id>[a-z0-9_]+)(?:[./].*)?"
)
_CHANNEL: Final = re.compile(r"/(?:watch|embed|live|report|api/v1/streams)/(?P<name>[a-z0-9_-]+)(?:[./].*)?")
_LOOPBACK: Final = frozenset(("localhost", "127.0.0.1", "[::1]"))


class TargetKind(enum.StrEnum):
    """The kind of a target."""

    CHANNEL = "channel"
    """All of a channel, which is a user's: live, past, recordings, clips and pictures."""
    KEY = "key"
    """A key, and the channel that it opens: all that was shown with it."""
    RECORDING = "recording"
    CLIP = "clip"


@dataclass(frozen=True, slots=True)
class Target:
    """What an act is on."""

    kind: TargetKind
    id: str
    """Name of the channel, id of the key, the recording or the clip."""
    channel: str = ""
    """The channel that it belongs to; empty while that has not been looked up."""

    @property
    def path(self) -> str:
        """Where viewers see it; of a key, its channel."""
        match self.kind:
            case TargetKind.RECORDING:
                return f"/watch/vod/{self.id}"
            case TargetKind.CLIP:
                return f"/clip/{self.id}"
            case TargetKind.CHANNEL | TargetKind.KEY:
                return f"/watch/{self.channel}"

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths below which caches in front may have something of it, without a slash at the end."""
        match self.kind:
            case TargetKind.RECORDING | TargetKind.CLIP:
                return f"/vod/{self.id}", self.path
            case TargetKind.CHANNEL | TargetKind.KEY:
                name = self.channel
                if not name:
                    # A key whose channel could not be looked up: what is below "/live/" is everybody's.
                    return ()
                return f"/live/{name}", f"/watch/{name}", f"/embed/{name}", f"/api/v1/streams/{name}"


class FindsRecordings(Protocol):
    """The index of recordings."""

    async def find(self, recording_id: str, /) -> RecordingRecord | None:
        """Find a recording; None where there is none."""

    async def page(self, found: RecordingFilter, *, limit: int) -> Page[RecordingRecord]:
        """Recordings, the newest first."""


class FindsClips(Protocol):
    """The index of clips."""

    async def find(self, clip_id: str, /) -> Clip | None:
        """Find a clip; None where there is none."""

    async def page(self, found: ClipFilter, *, limit: int) -> Page[Clip]:
        """Clips, the newest first."""


class FindsKeys(Protocol):
    """The store of keys."""

    async def get_key(self, key_id: str, /) -> KeyRecord:
        """One key.

        Raises:
            KeyNotFoundError: There is none.
        """


class Targets:
    """Finds what a text names.

    Args:
        recordings: The index of recordings.
        clips: The index of clips.
        keys: The store of keys.
        public_url: How browsers reach the public port, without a slash at the end; asked for each time.
    """

    def __init__(
        self, recordings: FindsRecordings, clips: FindsClips, keys: FindsKeys, public_url: Callable[[], str]
    ) -> None:
        self._recordings = recordings
        self._clips = clips
        self._keys = keys
        self._public_url = public_url

    def read(self, text: str, own_hosts: Collection[str] = ()) -> Target:
        """Read a text without asking whether there is such a thing.

        Args:
            text: A URL of this server or its path, the name of a channel, or an id.
            own_hosts: Other hosts that are this server: the one that the request came to.

        Returns:
            The target; of anything but a channel, without its channel.

        Raises:
            TargetRefusedError: It is a URL of another site, or nothing that could name something of ours.
        """
        text = text.strip()
        if not text or len(text) > URL_CHARS_MAX or not text.isprintable():
            raise TargetRefusedError(f"a target is a URL, a name or an id of at most {URL_CHARS_MAX} characters")
        if "://" in text:
            text = self._path_of(text, own_hosts)
        if text.startswith("/"):
            return _of_path(text)
        if (key := StreamKey.parse(text)) is not None:
            # A moderator who found a key that leaked may paste all of it; its secret goes no further.
            return Target(TargetKind.KEY, key.key_id)
        if is_recording_id(text):
            return Target(TargetKind.RECORDING, text)
        if is_clip_id(text):
            return Target(TargetKind.CLIP, text)
        if is_key_id(text):
            # A channel may be named like an id; ``find`` tells them apart.
            return Target(TargetKind.KEY, text)
        if USER_NAME.fullmatch(text):
            return Target(TargetKind.CHANNEL, text, text)
        raise TargetRefusedError("this is no URL of this server, no name of a channel, and no id of a key or recording")

    async def find(self, text: str, own_hosts: Collection[str] = ()) -> Target:
        """Find what a text names, with its channel.

        A channel need not be known: it may be named before its first broadcast.

        Args:
            text: As ``read`` takes it.
            own_hosts: Likewise.

        Raises:
            TargetRefusedError: As ``read``.
            TargetNotFoundError: There is no such key, recording or clip.
            StoreUnavailableError: It cannot be looked up.
        """
        target = self.read(text, own_hosts)
        match target.kind:
            case TargetKind.CHANNEL:
                return target
            case TargetKind.RECORDING:
                record = await self._recordings.find(target.id)
                if record is None:
                    raise TargetNotFoundError(f"there is no recording {target.id}")
                return Target(target.kind, target.id, record.user)
            case TargetKind.CLIP:
                clip = await self._clips.find(target.id)
                if clip is None:
                    raise TargetNotFoundError(f"there is no clip {target.id}")
                return Target(target.kind, target.id, clip.user)
            case TargetKind.KEY:
                try:
                    return Target(target.kind, target.id, (await self._keys.get_key(target.id)).user)
                except KeyNotFoundError:
                    if text.strip() != target.id:
                        raise TargetNotFoundError("there is no such key") from None
                    return Target(TargetKind.CHANNEL, target.id, target.id)

    async def paths_of(self, target: Target) -> list[str]:
        """The paths of a target, and those of the newest recordings and clips of it, which are below ids of their own.

        Raises:
            StoreUnavailableError: They cannot be looked up.
        """
        recorded: list[Target] = []
        clips_of: ClipFilter | None = None
        if target.kind is TargetKind.RECORDING:
            clips_of = ClipFilter(recording_id=target.id)
        elif target.kind is not TargetKind.CLIP and target.channel:
            clips_of = ClipFilter(user=target.channel)
            records = await self._recordings.page(RecordingFilter(user=target.channel), limit=RECORDED_MAX)
            recorded += [Target(TargetKind.RECORDING, record.id) for record in records.items]
        if clips_of is not None:
            clips = await self._clips.page(clips_of, limit=RECORDED_MAX)
            recorded += [Target(TargetKind.CLIP, clip.id) for clip in clips.items]
        return [*target.paths, *(path for each in recorded for path in each.paths)]

    def _path_of(self, url: str, own_hosts: Collection[str]) -> str:
        """The path of a URL of this server, below its root.

        Raises:
            TargetRefusedError: It is of another site.
        """
        found = _URL.fullmatch(url)
        if found is None or found["scheme"].lower() not in _SCHEMES:
            raise TargetRefusedError("this is no http or rtmp URL")
        ours = _URL.fullmatch(self._public_url())
        host, path = found["host"].lower(), found["path"] or "/"
        known = {own.lower() for own in own_hosts} | ({ours["host"].lower()} if ours is not None else set())
        if host not in known and host not in _LOOPBACK:
            raise TargetRefusedError("this is a URL of another site")
        root = (ours["path"] or "").rstrip("/") if ours is not None else ""
        if root and (path == root or path.startswith(f"{root}/")):
            path = path[len(root) :]
        if found["scheme"].lower().startswith("rtmp"):
            # ``rtmp://host/app/key``: what is behind the last slash is the key that a broadcaster types.
            key = StreamKey.parse(path.rpartition("/")[2])
            if key is None:
                raise TargetRefusedError("the RTMP URL has no stream key in it")
            return key.reveal()
        return path


def _of_path(path: str) -> Target:
    if (found := _RECORDED.fullmatch(path)) is not None:
        if is_recording_id(found["id"]):
            return Target(TargetKind.RECORDING, found["id"])
        if is_clip_id(found["id"]):
            return Target(TargetKind.CLIP, found["id"])
    elif (found := _CHANNEL.fullmatch(path)) is not None and USER_NAME.fullmatch(found["name"]):
        return Target(TargetKind.CHANNEL, found["name"], found["name"])
    raise TargetRefusedError("this URL names no channel, recording or clip")
