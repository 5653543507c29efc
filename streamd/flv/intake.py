"""The gate in front of the demuxer: which tags it may see, and when it is opened.

libavformat decides at open which streams there are, and does not survive a tag that makes another one later; so
every tag is read here first. The gate waits until the codec configurations and the first keyframe are in, then
lets through what belongs to the tracks as they were opened, in one canonical framing, and asks for a new demuxer
at the next keyframe when a configuration changes or a track appears. It drops, and counts, everything else.

How long it waits is told by the tags' own timestamps, and bounded by ``IntakeLimits`` in time, tags and bytes:
nothing waits for ever for a track that does not come.
"""

from __future__ import annotations

import enum
from collections import Counter, deque
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from streamd.errors import CodecConfigError, FlvError, UnsupportedCodecError
from streamd.flv import audio, video
from streamd.flv.audio import AudioPacket, AudioPacketType, parse_audio
from streamd.flv.codec import AAC, CODECS, H264, CodecConfig, parse_config
from streamd.flv.metadata import StreamMetadata
from streamd.flv.tag import FlvTag, TagType
from streamd.flv.video import FrameType, VideoPacket, VideoPacketType, parse_video

# libavformat discards the timestamps of a frame that is shown more than 15 minutes after it is decoded. Encoders
# reorder over a few frames.
COMPOSITION_TIME_MAX_MS = 15 * 60 * 1000


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """What a stream that is not complete yet may cost, in waiting and in memory."""

    track_wait_ms: int = 1_000
    """Media time to wait for the second track. Encoders send its configuration before their first frame;
    one that starts its audio device later than this gets a new demuxer then."""
    keyframe_wait_ms: int = 10_000
    """Media time for which audio waits for a keyframe of a video track that is configured: the longest keyframe
    interval that a playlist of ours has room for."""
    held_tags_max: int = 4_096
    """Tags, whatever their timestamps say: 10 s at 120 frames a second, with audio, and as much again."""
    held_bytes_max: int = 16 * 1024 * 1024
    """Two messages of the largest size that RTMP lets in."""
    reopen_tags_min: int = 32
    """Tags between one demuxer and the next, so that a codec changing on every frame cannot make us open one (some
    milliseconds of work) for each. Half a second of an ordinary stream."""


class DropReason(enum.Enum):
    """Why a tag goes no further."""

    SCRIPT = "script"
    """Script data, or a tag type that carries no media; metadata comes in by ``Intake.metadata``."""
    EMPTY = "empty"
    """No payload: what Enhanced RTMP sends for silence."""
    MALFORMED = "malformed"
    """It ends inside its header, or uses a value that the specification reserves."""
    COMMAND_FRAME = "command_frame"
    METADATA = "metadata"
    """Colour or channel information in band."""
    SEQUENCE_END = "sequence_end"
    REPEATED_HEADER = "repeated_header"
    """A sequence header equal to the last one."""
    UNSUPPORTED_CODEC = "unsupported_codec"
    BAD_CODEC_CONFIG = "bad_codec_config"
    NO_HEADER = "no_header"
    """A frame of a track whose codec configuration has not come, or was for another codec."""
    EXTRA_TRACK = "extra_track"
    """A multitrack id other than 0."""
    COMPOSITION_TIME = "composition_time"
    """Beyond ``COMPOSITION_TIME_MAX_MS``."""
    BEFORE_KEYFRAME = "before_keyframe"
    """A frame that nothing can decode or show before the keyframe with which the stream begins."""


@dataclass(frozen=True, slots=True)
class TrackHeader:
    """A track as its sequence header describes it."""

    kind: TagType
    """``AUDIO`` or ``VIDEO``."""
    codec: str
    """FourCC."""
    record: bytes
    """Codec configuration as sent: avcC, AudioSpecificConfig…"""
    config: CodecConfig
    """The same, read."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The tag was taken in; there is nothing to do."""


@dataclass(frozen=True, slots=True)
class Open:
    """Close the demuxer, if there is one, and open a new one with these tags."""

    tracks: tuple[TrackHeader, ...]
    """The tracks to open, video first."""
    tags: tuple[FlvTag, ...]
    """A sequence header for each track, in their order, then frames; with video, its first frame is a keyframe."""
    frame_rate_hint: float
    """Frames a second that the publisher's metadata claims; 0 where it claims none."""


@dataclass(frozen=True, slots=True)
class Feed:
    """Give these tags to the demuxer that is open, or being opened."""

    tags: tuple[FlvTag, ...]


@dataclass(frozen=True, slots=True)
class Drop:
    """The tag goes no further; it is counted in ``Intake.drops``."""

    reason: DropReason
    detail: str = ""
    """What a log line should add: the codec, or what is malformed."""


_Packet = TypeVar("_Packet", VideoPacket, AudioPacket)

Action: TypeAlias = Hold | Open | Feed | Drop

_HOLD = Hold()
# How the frames of almost all encoders begin: frame type and codec id, AVCPacketType 1; AAC, AACPacketType 1.
_PLAIN_HEADS = {
    b"\x17\x01": (TagType.VIDEO, H264),
    b"\x27\x01": (TagType.VIDEO, H264),
    b"\x37\x01": (TagType.VIDEO, H264),
    b"\xaf\x01": (TagType.AUDIO, AAC),
}
_PLAIN_HEADER_BYTES = 5
_SEQUENCE_HEADERS = {TagType.VIDEO: video.sequence_header, TagType.AUDIO: audio.sequence_header}


class Intake:
    """The gate of one publisher.

    Feed it every tag in order and do what it answers. Demuxing may lag behind: after ``Open`` it answers ``Feed``
    at once, and the owner queues those tags until the demuxer is open.

    Attributes:
        metadata: What the publisher's last onMetaData claims; the owner sets it.
        drops: How many tags, or tracks of tags, were dropped, by reason.
    """

    def __init__(self, limits: IntakeLimits | None = None) -> None:
        self.metadata = StreamMetadata()
        self.drops: Counter[DropReason] = Counter()
        self._limits = limits or IntakeLimits()
        # The last good sequence header of each track, and those that the demuxer was opened with.
        self._headers: dict[TagType, TrackHeader] = {}
        self._opened: dict[TagType, TrackHeader] = {}
        self._headers_differ = False
        self._plain_heads: dict[bytes, TagType] = {}
        self._was_open = False
        self._tags_since_open = 0
        self._held: deque[FlvTag] = deque()
        self._held_bytes = 0
        self._keyframe_is_held = False
        self._wait_start_ms: int | None = None
        self._wait_tags = 0

    def receive(self, tag: FlvTag) -> Action:
        """Decide about the next tag of the publisher."""
        self._tags_since_open += 1
        if self._is_plain_frame(tag):
            return Feed((tag,))
        if not tag.payload:
            return self._drop(DropReason.EMPTY)
        try:
            if tag.tag_type == TagType.VIDEO:
                return self._receive_video(tag)
            if tag.tag_type == TagType.AUDIO:
                return self._receive_audio(tag)
        except FlvError as exc:
            return self._drop(DropReason.MALFORMED, str(exc))
        return self._drop(DropReason.SCRIPT)

    def restart(self) -> None:
        """Forget the demuxer that was open: it failed. The next keyframe asks for another one."""
        self._opened = {}
        self._headers_differ = False
        self._plain_heads = {}
        self._forget_held()
        self._start_waiting()

    def _is_plain_frame(self, tag: FlvTag) -> bool:
        """Say whether a tag is a frame in an older header of a track that is open: nearly every one is.

        The way round, with the header read in full, comes to the same, and takes four times as long.
        """
        payload = tag.payload
        kind = self._plain_heads.get(payload[:2])
        if kind != tag.tag_type or len(payload) <= _PLAIN_HEADER_BYTES:
            return False
        # The high byte of a composition time within a minute of zero.
        return kind is TagType.AUDIO or payload[2] in (0x00, 0xFF)

    def _receive_video(self, tag: FlvTag) -> Action:
        packets = parse_video(tag.payload)
        if not packets:
            return self._drop(DropReason.COMMAND_FRAME)
        packet = self._track_zero(packets)
        if packet is None:
            return self._drop(DropReason.EXTRA_TRACK)
        match packet.packet_type:
            case VideoPacketType.CODED_FRAMES | VideoPacketType.CODED_FRAMES_X:
                dropped = self._check_frame(TagType.VIDEO, packet)
                if dropped is not None:
                    return dropped
                if abs(packet.composition_time_ms) > COMPOSITION_TIME_MAX_MS:
                    return self._drop(DropReason.COMPOSITION_TIME, f"{packet.composition_time_ms} ms")
                is_keyframe = packet.frame_type == FrameType.KEY
                canonical = _with_payload(tag, video.single_track(tag.payload, packet))
                return self._receive_frame(canonical, TagType.VIDEO, is_keyframe=is_keyframe)
            case VideoPacketType.SEQUENCE_START:
                return self._receive_header(tag, TagType.VIDEO, packet)
            case VideoPacketType.SEQUENCE_END:
                return self._drop(DropReason.SEQUENCE_END)
            case VideoPacketType.METADATA:
                return self._drop(DropReason.METADATA)
            case _:
                # MPEG2TSSequenceStart: AV1's descriptor for a transport stream, not a configuration record.
                return self._drop(DropReason.UNSUPPORTED_CODEC, f"{packet.codec} in MPEG-2 TS form")

    def _receive_audio(self, tag: FlvTag) -> Action:
        packets = parse_audio(tag.payload)
        packet = self._track_zero(packets)
        if packet is None:
            return self._drop(DropReason.EXTRA_TRACK)
        match packet.packet_type:
            case AudioPacketType.CODED_FRAMES:
                dropped = self._check_frame(TagType.AUDIO, packet)
                if dropped is not None:
                    return dropped
                canonical = _with_payload(tag, audio.single_track(tag.payload, packet))
                return self._receive_frame(canonical, TagType.AUDIO, is_keyframe=False)
            case AudioPacketType.SEQUENCE_START:
                return self._receive_header(tag, TagType.AUDIO, packet)
            case AudioPacketType.SEQUENCE_END:
                return self._drop(DropReason.SEQUENCE_END)
            case _:
                return self._drop(DropReason.METADATA)

    def _track_zero(self, packets: list[_Packet]) -> _Packet | None:
        """Pick the track that we carry out of a message; the others are counted."""
        if len(packets) > 1:
            self.drops[DropReason.EXTRA_TRACK] += len(packets) - 1
        for packet in packets:
            if packet.track_id == 0:
                return packet
        return None

    def _receive_header(self, tag: FlvTag, kind: TagType, packet: VideoPacket | AudioPacket) -> Action:
        record = tag.payload[packet.start : packet.end]
        known = self._headers.get(kind)
        if known is not None and known.codec == packet.codec and known.record == record:
            return self._drop(DropReason.REPEATED_HEADER)
        # Whatever the new one is worth, what follows it is not in the form that the old one described.
        self._headers.pop(kind, None)
        self._forget_held(kind)
        action: Action = _HOLD
        try:
            config = parse_config(packet.codec, record)
            self._headers[kind] = TrackHeader(kind, packet.codec, record, config)
        except UnsupportedCodecError as exc:
            action = self._drop(DropReason.UNSUPPORTED_CODEC, exc.codec)
        except CodecConfigError as exc:
            action = self._drop(DropReason.BAD_CODEC_CONFIG, str(exc))
        if self._opened:
            self._compare_headers()
        return action

    def _check_frame(self, kind: TagType, packet: VideoPacket | AudioPacket) -> Drop | None:
        """Say why a frame cannot be decoded whatever is opened, or None."""
        if packet.start >= packet.end:
            return self._drop(DropReason.EMPTY)
        header = self._headers.get(kind)
        if header is not None and header.codec == packet.codec:
            return None
        if packet.codec not in CODECS:
            return self._drop(DropReason.UNSUPPORTED_CODEC, packet.codec)
        return self._drop(DropReason.NO_HEADER, packet.codec)

    def _receive_frame(self, tag: FlvTag, kind: TagType, *, is_keyframe: bool) -> Action:
        """Decide about a frame of a track whose header is known.

        Args:
            tag: The frame in its canonical framing.
            kind: Its track.
            is_keyframe: It is a video keyframe.
        """
        if not self._opened:
            return self._receive_while_closed(tag, kind, is_keyframe=is_keyframe)
        if not self._headers_differ:
            return Feed((tag,))
        # The tracks are not those of the demuxer that is open.
        can_start = is_keyframe or TagType.VIDEO not in self._headers
        if can_start and self._tags_since_open >= self._limits.reopen_tags_min:
            return self._open((tag,))
        if self._headers[kind] == self._opened.get(kind):
            return Feed((tag,))
        if kind is TagType.AUDIO and self._has_waited(tag, self._limits.keyframe_wait_ms):
            return self._open((tag,), without_video=True)
        return self._drop(DropReason.BEFORE_KEYFRAME)

    def _receive_while_closed(self, tag: FlvTag, kind: TagType, *, is_keyframe: bool) -> Action:
        if kind is TagType.VIDEO and not (is_keyframe or self._keyframe_is_held):
            return self._drop(DropReason.BEFORE_KEYFRAME)
        if is_keyframe and not self._keyframe_is_held:
            self._keyframe_is_held = True
            self._start_waiting()
            self._drop_held_before(tag.timestamp_ms)
        self._held.append(tag)
        self._held_bytes += len(tag.payload)
        if self._may_open(tag):
            return self._open(tuple(self._held), without_video=not self._keyframe_is_held)
        if not self._keyframe_is_held:
            # Audio waits for video. What is shown before the keyframe is dropped then, so that a little is enough.
            self._drop_held_before(tag.timestamp_ms - self._limits.track_wait_ms)
        return _HOLD

    def _may_open(self, tag: FlvTag) -> bool:
        """Decide whether what is held is a stream, or all of one that will come in time."""
        if self._held_bytes > self._limits.held_bytes_max:
            return True
        if self._keyframe_is_held:
            is_complete = TagType.AUDIO in self._headers or self.metadata.lacks_audio or self._was_open
            return is_complete or self._has_waited(tag, self._limits.track_wait_ms)
        if TagType.VIDEO in self._headers:
            return self._has_waited(tag, self._limits.keyframe_wait_ms)
        is_complete = self.metadata.lacks_video or self._was_open
        return is_complete or self._has_waited(tag, self._limits.track_wait_ms)

    def _open(self, frames: tuple[FlvTag, ...], *, without_video: bool = False) -> Open:
        opened: dict[TagType, TrackHeader] = {
            kind: self._headers[kind]
            for kind in (TagType.VIDEO, TagType.AUDIO)
            if kind in self._headers and not (without_video and kind is TagType.VIDEO)
        }
        self._opened = opened
        self._was_open = True
        self._tags_since_open = 0
        self._forget_held()
        self._compare_headers()
        headers = tuple(
            FlvTag(header.kind, frames[0].timestamp_ms, _SEQUENCE_HEADERS[header.kind](header.codec, header.record))
            for header in opened.values()
        )
        return Open(tuple(opened.values()), headers + frames, self.metadata.frame_rate)

    def _compare_headers(self) -> None:
        """Note whether the tracks are those of the demuxer that is open; if not, waiting for a keyframe begins."""
        differed = self._headers_differ
        self._headers_differ = self._headers != self._opened
        codecs = set() if self._headers_differ else {header.codec for header in self._opened.values()}
        self._plain_heads = {head: kind for head, (kind, codec) in _PLAIN_HEADS.items() if codec in codecs}
        if self._headers_differ and not differed:
            self._start_waiting()

    def _start_waiting(self) -> None:
        self._wait_start_ms = None
        self._wait_tags = 0

    def _has_waited(self, tag: FlvTag, wait_ms: int) -> bool:
        """Count ``tag`` as waiting, and say whether that is enough: by media time, or by tags where time stands."""
        self._wait_tags += 1
        if self._wait_start_ms is None or tag.timestamp_ms < self._wait_start_ms:
            self._wait_start_ms = tag.timestamp_ms
        waited_ms = tag.timestamp_ms - self._wait_start_ms
        return waited_ms >= wait_ms or self._wait_tags >= self._limits.held_tags_max

    def _drop_held_before(self, timestamp_ms: int) -> None:
        while self._held and self._held[0].timestamp_ms < timestamp_ms:
            self._held_bytes -= len(self._held.popleft().payload)
            self.drops[DropReason.BEFORE_KEYFRAME] += 1

    def _forget_held(self, kind: TagType | None = None) -> None:
        """Let go of the frames that are held, or of those of one track."""
        kept = [tag for tag in self._held if kind is not None and tag.tag_type != kind]
        self._held = deque(kept)
        self._held_bytes = sum(len(tag.payload) for tag in kept)
        self._keyframe_is_held = self._keyframe_is_held and kind is TagType.AUDIO

    def _drop(self, reason: DropReason, detail: str = "") -> Drop:
        self.drops[reason] += 1
        return Drop(reason, detail)


def _with_payload(tag: FlvTag, payload: bytes) -> FlvTag:
    return tag if payload is tag.payload else tag._replace(payload=payload)
