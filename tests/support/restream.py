"""A target of restreaming, connections to it that a test decides over, and frames to send there."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from streamd.formats.flv.frame import FrameHead
from streamd.formats.flv.tag import FlvTag, TagType
from streamd.media.packet import Track, TrackKind
from streamd.services.events.event import unheard
from streamd.services.restream.link import LinkSigns
from streamd.services.restream.place import read_place
from streamd.services.restream.secret_box import SecretBox, new_secret_key
from streamd.services.restream.service import RestreamOptions, RestreamService
from streamd.services.restream.target import TargetRecord
from streamd.services.restream.target_store import TargetStore

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.formats.amf.values import Value
    from streamd.formats.payload import Payload
    from streamd.services.events.event import EventSink
    from streamd.services.restream.link import Dialer, LinkOwner
    from streamd.services.store.database import Database

H264 = Track(1, TrackKind.VIDEO, "avc1.64001f", 90_000, b"avcC", width=1280, height=720)
AAC = Track(2, TrackKind.AUDIO, "mp4a.40.2", 48_000, b"\x11\x90", channels=2, frame_ticks=1024)


def target(target_id: str = "tgt_1", *, key: str = "a-secret-stream-key", enabled: bool = True) -> TargetRecord:
    return TargetRecord(
        target_id=target_id,
        user="alice",
        place=read_place("rtmp://a.example/live2"),
        stream_key=key,
        key_hint="…-key",
        label="Example",
        is_enabled=enabled,
        created_at=datetime(2026, 3, 1, tzinfo=UTC),
    )


def video(ms: int, *, is_keyframe: bool = False, size: int = 100) -> FlvTag:
    tag = FlvTag(TagType.VIDEO, ms, (b"\x17" if is_keyframe else b"\x27") + b"\x01\0\0\0" + bytes(size - 5))
    tag.head = FrameHead(5, 2, is_keyframe=is_keyframe, track_id=0, track_number=0)
    return tag


def audio(ms: int) -> FlvTag:
    tag = FlvTag(TagType.AUDIO, ms, b"\xaf\x01 sound")
    tag.head = FrameHead(2, 2, is_keyframe=False, track_id=0, track_number=0)
    return tag


@dataclass(eq=False)
class StandInLink:
    """A connection whose far end is the test."""

    owner: LinkOwner
    sent: list[tuple[int, int, bytes]] = field(default_factory=list)
    queued_bytes: int = 0
    acked_bytes: int = 0
    is_waiting: bool = False
    is_closed: bool = False
    flushes: int = 0
    _taken: list[tuple[int, int, bytes]] = field(default_factory=list)

    def write(self, tag_type: int, timestamp_ms: int, body: bytes | Payload, /) -> None:
        self._taken.append((tag_type, timestamp_ms, bytes(body)))

    def write_metadata(self, timestamp_ms: int, values: dict[str, Value], /) -> None:
        assert values
        self._taken.append((TagType.SCRIPT, timestamp_ms, b"metadata"))

    def flush(self) -> None:
        self.flushes += 1
        self.sent += self._taken
        self._taken.clear()

    def signs(self) -> LinkSigns:
        return LinkSigns(self.acked_bytes, self.is_waiting)

    def close(self) -> None:
        self.is_closed = True


@dataclass
class StandInDialer:
    """Makes connections that a test decides over."""

    links: list[StandInLink] = field(default_factory=list)

    def dial(self, target: TargetRecord, owner: LinkOwner, /) -> StandInLink:
        assert target.stream_key
        self.links.append(StandInLink(owner))
        return self.links[-1]


def restream_of(
    database: Database,
    clock: Clock,
    dialer: Dialer | None = None,
    *,
    options: RestreamOptions | None = None,
    tell: EventSink = unheard,
    box: SecretBox | None = None,
) -> RestreamService:
    """Restreaming whose connections a test decides over."""
    box = box or SecretBox([new_secret_key()])
    return RestreamService(
        TargetStore(database, lambda: box),
        dialer=dialer or StandInDialer(),
        clock=clock,
        draw=lambda: 0.5,
        options=options or RestreamOptions(),
        tell=tell,
    )
