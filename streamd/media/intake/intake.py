"""The gate in front of the demuxer: which tags it may see, and when it is opened.

libavformat decides at open which streams there are, and does not survive a tag that makes another one later; so
every tag is read here first. The gate waits until the codec configurations and the first keyframe are in, then
lets through what belongs to the tracks as they were opened, in one canonical framing, and asks for a new demuxer
at the next keyframe when a configuration changes or a track appears. It drops, and counts, everything else.

Sound that stops while the pictures go on would let players stand still, for they play both or neither. Where the codec
has a frame of silence, the gate goes on with that; else the track is left out from the next keyframe on.

How long it waits is told by the tags' own timestamps, and bounded by ``IntakeLimits`` in time, tags and bytes:
nothing waits for ever for a track that does not come.
"""

from __future__ import annotations

import enum
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from streamd.errors import CodecConfigError, FlvError, UnsupportedCodecError
from streamd.formats.codecs.codec import (
    AUDIO_CODECS,
    CODECS_WITHOUT_HEADER,
    VIDEO_CODECS,
    CodecConfig,
    canonical_record,
    parse_config,
)
from streamd.formats.codecs.silence import silent_frame
from streamd.formats.flv import audio, video
from streamd.formats.flv.audio import AudioPacket, AudioPacketType, parse_audio
from streamd.formats.flv.frame import FrameHead, head_sizes
from streamd.formats.flv.metadata import StreamMetadata
from streamd.formats.flv.tag import FlvTag, TagType
from streamd.formats.flv.video import FrameType, VideoPacket, VideoPacketType, parse_video
from streamd.formats.payload import first_bytes
from streamd.limits import DEFAULT
from streamd.media.intake.header_reader import HeaderReader, check_size, digest

# libavformat discards the timestamps of a frame that is shown more than 15 minutes after it is decoded. Encoders
# reorder over a few frames.
COMPOSITION_TIME_MAX_MS = 15 * 60 * 1000


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """What a stream that is not complete yet may cost, in waiting and in memory."""

    track_wait_ms: int = 1_000
    """Media time to wait for the first frame of every track. Encoders begin all within some frames; one that starts
    its audio device later than this gets a new demuxer then."""
    audio_silent_ms: int = 1_000
    """Media time without a frame after which silence takes an audio track's place. Encoders interleave their tracks up
    to a second apart; players have half a second more than that in hand."""
    audio_gone_ms: int = 2_000
    """The same after which a track has stopped for which there is no silence."""
    video_gone_ms: int = 5_000
    """The same for video, whose frames may be seconds apart: slides."""
    keyframe_wait_ms: int = 10_000
    """Media time for which audio waits for a keyframe of a video track that is configured: the longest keyframe
    interval that a playlist of ours has room for."""
    opening_tags_max: int = 4_096
    """Tags, whatever their timestamps say: 10 s at 120 frames a second, with audio, and as much again."""
    opening_bytes_max: int = 16 * 1024 * 1024
    """Two messages of the largest size that RTMP lets in."""
    tracks_max: int = DEFAULT.tracks_max
    """Tracks of a kind. OBS's enhanced broadcasting sends five of video, and has six for audio; each costs a
    rendition's memory."""
    reopen_tags_min: int = 32
    """Tags between one demuxer and the next, so that a codec changing on every frame cannot make us open one (some
    milliseconds of work) for each. Half a second of an ordinary stream."""
    silent_frames_max: int = 1_536
    """Frames of silence that may be owed at once: those of eight tracks between two roll calls of 4 pictures a second.
    Each takes as long as a frame of the publisher's, who sends nothing for it; more become due with time alone
    (``Intake.allow_silence``)."""


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
    """More tracks of a kind than ``IntakeLimits.tracks_max``."""
    COMPOSITION_TIME = "composition_time"
    """Beyond ``COMPOSITION_TIME_MAX_MS``."""
    BEFORE_KEYFRAME = "before_keyframe"
    """A frame that nothing can decode or show before the keyframe with which the stream, or its track, begins."""
    HEADER_FLOOD = "header_flood"
    """A sequence header, or a frame that stands for another one, past what ``HeaderReader`` reads."""


@dataclass(frozen=True, slots=True)
class TrackHeader:
    """A track as its sequence header describes it."""

    kind: TagType
    """``AUDIO`` or ``VIDEO``."""
    codec: str
    """FourCC."""
    record: bytes
    """Codec configuration: avcC, AudioSpecificConfig…; a frame, for a codec that has none."""
    config: CodecConfig
    """The same, read."""
    track_id: int = 0
    """Multitrack id."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The tag was taken in; there is nothing to do."""


@dataclass(frozen=True, slots=True)
class Open:
    """Close the demuxer, if there is one, and open a new one with these tags."""

    tracks: tuple[TrackHeader, ...]
    """The tracks to open: video, then audio, each by its id."""
    headers: tuple[FlvTag, ...]
    """A sequence header for each track, in their order; a frame that is not to be played, for a codec that has none."""
    tags: tuple[FlvTag, ...]
    """Frames. The first of each video track is a keyframe."""
    frame_rate_hint: float
    """Frames a second that the publisher's metadata claims; 0 where it claims none."""


@dataclass(frozen=True, slots=True)
class Split:
    """Receive each of these tags in its place: the message carries several tracks, or silence goes before it."""

    tags: tuple[FlvTag, ...]
    """In order."""
    is_multitrack: bool = field(default=False, compare=False)
    """They are the tracks of one message, and not silence."""


@dataclass(frozen=True, slots=True)
class Drop:
    """The tag goes no further; it is counted in ``Intake.drops``."""

    reason: DropReason
    detail: str = ""
    """What a log line should add: the codec, or what is malformed."""
    limit: str = field(default="", compare=False)
    """Name of the bound that was passed; empty where none was."""


Action: TypeAlias = FlvTag | Hold | Open | Split | Drop
"""A tag is the frame to give to the demuxer that is open, or being opened: most often the very one that came."""

_Key: TypeAlias = tuple[TagType, int]
"""A track: its kind and its multitrack id."""
_Packet = TypeVar("_Packet", VideoPacket, AudioPacket)

_HOLD = Hold()
# The high bytes of a composition time within a minute of zero.
_SMALL_COMPOSITION_TIMES = (0x00, 0xFF)
# The first byte of a multitrack header, without the frame type.
_VIDEO_MULTITRACK_MASK = 0x8F
_VIDEO_MULTITRACK = 0x80 | VideoPacketType.MULTITRACK
_AUDIO_MULTITRACK = 0x90 | AudioPacketType.MULTITRACK
_CODECS = {TagType.VIDEO: VIDEO_CODECS, TagType.AUDIO: AUDIO_CODECS}
# How often it is looked whether every track still sends, in tags: half a second of video alone.
_ROLL_CALL_TAGS = 16
# As many slides take less; more is a leap of the publisher's clock.
_ROLL_CALL_MS_MAX = 60_000
# Silence that is made at once: between two roll calls of 4 pictures a second.
_SILENCE_MS_MAX = 5_000
# Tracks of which it is kept in mind why they are not carried; health tells of a few.
_REFUSALS_MAX = 64
# What a frame that is held costs beside its payload: the tag, its place in the queue, and what names it there.
_HELD_TAG_BYTES = 256
# Keyframes of several video tracks belong together if they are this close: a frame at 10 a second.
_KEYFRAMES_TOGETHER_MS = 100


class Intake:
    """The gate of one publisher.

    Feed it every tag in order and do what it answers. Demuxing may lag behind: after ``Open`` it lets frames through
    at once, and the owner queues those until the demuxer is open.

    Attributes:
        metadata: What the publisher's last onMetaData claims; the owner sets it.
        drops: How many tags, or tracks of tags, were dropped, by reason.
        refusals: Why the tracks that cannot be carried are not, until they have a good sequence header.
        may_reopen: Whether the owner can take another ``Open``; while not, tracks that have changed are dropped.
    """

    def __init__(self, limits: IntakeLimits | None = None) -> None:
        self.metadata = StreamMetadata()
        self.drops: Counter[DropReason] = Counter()
        self.refusals: dict[_Key, Drop] = {}
        self._limits = limits or IntakeLimits()
        # The last good sequence header of each track, which of them send frames, and which have stopped.
        self._headers: dict[_Key, TrackHeader] = {}
        self._started: set[_Key] = set()
        self._gone: set[_Key] = set()
        self._header_reader = HeaderReader()
        # Codec and record of those that came when no more of them were to be read: an encoder sends its own once.
        self._late: dict[_Key, tuple[str, bytes]] = {}
        # What the demuxer would not take: a codec, and what its header is known again by.
        self._unfit: dict[_Key, tuple[str, bytes | CodecConfig]] = {}
        self.may_reopen = True
        # Those that the demuxer was opened with; empty while none is open.
        self._opened: dict[_Key, TrackHeader] = {}
        self._tracks_differ = False
        self._frame_heads: dict[bytes, tuple[_Presence, FrameHead]] = {}
        self._frame_head_sizes: tuple[int, ...] = ()
        self._was_open = False
        self._tags_since_open = 0
        self._tags_before_open = 0
        # When each track was heard last: those that are open, and those that want to be.
        self._presences: dict[_Key, _Presence] = {}
        # Tracks that would be silent without us.
        self._silences: dict[_Key, _Silence] = {}
        # What is to go before the next tag.
        self._silent_tags: list[FlvTag] = []
        self._silent_frames_left = self._limits.silent_frames_max
        self._roll_call_ms = 0
        self._held: deque[tuple[_Key, FlvTag]] = deque()
        self._held_bytes = 0
        self._wait_start_ms: int | None = None
        self._wait_tags = 0

    def receive(self, tag: FlvTag) -> Action:
        """Decide about the next tag of the publisher."""
        passed = self.pass_frames((tag,))
        if self._silent_tags:
            silent_tags, self._silent_tags = self._silent_tags, []
            return Split((*silent_tags, tag))
        if passed:
            return tag
        self._tags_since_open += 1
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

    def pass_frames(self, tags: Sequence[FlvTag]) -> int:
        """Let those of the next tags through that are frames of open tracks, up to the first that may be anything else.

        Nearly every tag is one, and its first bytes say so. The way round, with the header read in full, comes to the
        same, and takes four times as long.

        Returns:
            How many tags to give to the demuxer; the one behind them, if there is one, is for ``receive``.
        """
        passed = 0
        while passed < len(tags):
            # However many come at once, the roll is called at every so many.
            room = _ROLL_CALL_TAGS - self._tags_since_open % _ROLL_CALL_TAGS
            stretch = tags if not passed and len(tags) <= room else tags[passed : passed + room]
            if len(stretch) == room and self._opened:
                self._call_roll(stretch[0])
                if self._silent_tags:
                    break
            frames = self._count_frames(stretch)
            self._tags_since_open += frames
            passed += frames
            if frames < len(stretch):
                break
        return passed

    def _count_frames(self, tags: Sequence[FlvTag]) -> int:
        """Note of the next tags those that are frames of open tracks, and say how many they are."""
        heads, head_sizes = self._frame_heads, self._frame_head_sizes
        frames = 0
        for tag in tags:
            first = first_bytes(tag.payload)
            for size in head_sizes:
                known = heads.get(first[:size])
                if known is not None:
                    break
            else:
                break
            presence, head = known
            if presence.kind != tag.tag_type or len(tag.payload) <= head.body_at:
                break
            composition_time_at = head.composition_time_at
            if composition_time_at and first[composition_time_at] not in _SMALL_COMPOSITION_TIMES:
                break
            presence.note(tag.timestamp_ms)
            frames += 1
        return frames

    def refuse(self, header: TrackHeader, why: str) -> Drop:
        """Do without a track whose header the demuxer does not take, until it has another; the demuxer did not open."""
        key = (header.kind, header.track_id)
        self._unfit[key] = _known_by(header)
        self._close()
        self._set_header(key, None)
        self._start_waiting()
        return self._refuse(key, DropReason.BAD_CODEC_CONFIG, why)

    def restart(self) -> None:
        """Do without the demuxer that is open, which is of no more use: the next keyframe opens another."""
        self._close()
        self._start_waiting()

    # What a tag is.

    def _receive_video(self, tag: FlvTag) -> Action:
        payload = bytes(tag.payload)
        packets = parse_video(payload, self._limits.tracks_max + 1)
        if not packets:
            return self._drop(DropReason.COMMAND_FRAME)
        packet = packets[0]
        if len(packets) > 1:
            if packet.packet_type in (VideoPacketType.CODED_FRAMES, VideoPacketType.CODED_FRAMES_X):
                packets = self._without_empty(packets)
            shares = (_with_payload(tag, payload, video.single_track(payload, each)) for each in packets)
            return Split(tuple(shares), is_multitrack=True)
        match packet.packet_type:
            case VideoPacketType.CODED_FRAMES | VideoPacketType.CODED_FRAMES_X:
                key = (TagType.VIDEO, packet.track_id)
                dropped = self._check_frame(key, payload, packet)
                if dropped is not None:
                    return dropped
                if abs(packet.composition_time_ms) > COMPOSITION_TIME_MAX_MS:
                    return self._drop(DropReason.COMPOSITION_TIME, f"{packet.composition_time_ms} ms")
                canonical = _with_payload(tag, payload, video.single_track(payload, packet))
                return self._receive_frame(canonical, key, can_start=packet.frame_type == FrameType.KEY)
            case VideoPacketType.SEQUENCE_START:
                return self._receive_header(payload, TagType.VIDEO, packet)
            case VideoPacketType.SEQUENCE_END:
                return self._drop(DropReason.SEQUENCE_END)
            case VideoPacketType.METADATA:
                return self._drop(DropReason.METADATA)
            case _:
                # MPEG2TSSequenceStart: AV1's descriptor for a transport stream, not a configuration record.
                key = (TagType.VIDEO, packet.track_id)
                return self._refuse(key, DropReason.UNSUPPORTED_CODEC, f"{packet.codec} in MPEG-2 TS form")

    def _receive_audio(self, tag: FlvTag) -> Action:
        payload = bytes(tag.payload)
        packets = parse_audio(payload, self._limits.tracks_max + 1)
        packet = packets[0]
        if len(packets) > 1:
            if packet.packet_type is AudioPacketType.CODED_FRAMES:
                packets = self._without_empty(packets)
            shares = (_with_payload(tag, payload, audio.single_track(payload, each)) for each in packets)
            return Split(tuple(shares), is_multitrack=True)
        match packet.packet_type:
            case AudioPacketType.CODED_FRAMES:
                key = (TagType.AUDIO, packet.track_id)
                dropped = self._check_frame(key, payload, packet)
                if dropped is not None:
                    return dropped
                canonical = _with_payload(tag, payload, audio.single_track(payload, packet))
                return self._receive_frame(canonical, key, can_start=True)
            case AudioPacketType.SEQUENCE_START:
                return self._receive_header(payload, TagType.AUDIO, packet)
            case AudioPacketType.SEQUENCE_END:
                return self._drop(DropReason.SEQUENCE_END)
            case _:
                return self._drop(DropReason.METADATA)

    def _receive_header(self, payload: bytes, kind: TagType, packet: VideoPacket | AudioPacket) -> Action:
        codec = packet.codec
        if codec in CODECS_WITHOUT_HEADER:
            # FFmpeg sends one all the same, of no bytes.
            return self._drop(DropReason.EMPTY, codec)
        key = (kind, packet.track_id)
        self._late.pop(key, None)
        known = self._headers.get(key)
        try:
            if codec not in _CODECS[kind]:
                raise UnsupportedCodecError(codec)
            check_size(packet.end - packet.start)
            record = canonical_record(codec, payload[packet.start : packet.end])
        except (CodecConfigError, UnsupportedCodecError) as exc:
            return self._refuse_header(key, exc)
        if known is not None and known.codec == codec and known.record == record:
            self.refusals.pop(key, None)
            return self._drop(DropReason.REPEATED_HEADER)
        if known is None and self._is_full(kind):
            return self._refuse(key, DropReason.EXTRA_TRACK, f"track {packet.track_id}", "tracks_max")
        return self._read_header(key, codec, record)

    def _read_header(self, key: _Key, codec: str, record: bytes) -> Action:
        """Let a track begin anew with a sequence header, if that is fit and may be read now."""
        try:
            config = self._header_reader.read(codec, record, self._tags)
        except (CodecConfigError, UnsupportedCodecError) as exc:
            drop = self._refuse_header(key, exc)
            if drop.reason is DropReason.HEADER_FLOOD:
                self._late[key] = codec, record
            return drop
        self._set_header(key, TrackHeader(key[0], codec, record, config, key[1]))
        return _HOLD

    def _read_late_header(self, key: _Key, codec: str) -> bool:
        """Read the sequence header of a frame that came when no more of them were to be read, if one may be now.

        Returns:
            Whether the track has a header of this codec now.
        """
        late = self._late.get(key)
        if late is None or late[0] != codec or not self._header_reader.may_read(self._tags):
            return False
        del self._late[key]
        return self._read_header(key, *late) is _HOLD

    def _refuse_header(self, key: _Key, error: CodecConfigError | UnsupportedCodecError) -> Drop:
        if isinstance(error, UnsupportedCodecError):
            drop = self._refuse(key, DropReason.UNSUPPORTED_CODEC, error.codec)
        else:
            reason = DropReason.HEADER_FLOOD if error.limit == "sequence_headers_max" else DropReason.BAD_CODEC_CONFIG
            drop = self._refuse(key, reason, str(error), error.limit)
        if key in self._headers:
            # Whatever the new one is worth, what follows it is not in the form that the old one described.
            self._set_header(key, None)
        return drop

    @property
    def _tags(self) -> int:
        """How many tags there have been."""
        return self._tags_before_open + self._tags_since_open

    def _without_empty(self, packets: list[_Packet]) -> list[_Packet]:
        """Drop the frames of no bytes, which are not worth a tag of their own."""
        kept = [packet for packet in packets if packet.start < packet.end]
        self.drops[DropReason.EMPTY] += len(packets) - len(kept)
        return kept

    def _check_frame(self, key: _Key, payload: bytes, packet: VideoPacket | AudioPacket) -> Drop | None:
        """Say why a frame cannot be decoded whatever is opened, or None."""
        if packet.start >= packet.end:
            return self._drop(DropReason.EMPTY)
        codec = packet.codec
        if codec not in _CODECS[key[0]]:
            return self._refuse(key, DropReason.UNSUPPORTED_CODEC, codec)
        header = self._headers.get(key)
        if codec in CODECS_WITHOUT_HEADER:
            return self._read_frame_header(key, codec, payload[packet.start : packet.end], header)
        if (header is not None and header.codec == codec) or self._read_late_header(key, codec):
            return None
        return self._drop(DropReason.NO_HEADER, codec)

    def _read_frame_header(self, key: _Key, codec: str, frame: bytes, known: TrackHeader | None) -> Drop | None:
        """Take a frame for its own sequence header where the codec has none; say why it is not fit for it, or None."""
        try:
            check_size(len(frame))
            config = parse_config(codec, frame)
        except UnsupportedCodecError as exc:
            return self._refuse(key, DropReason.UNSUPPORTED_CODEC, exc.codec)
        except CodecConfigError as exc:
            return self._refuse(key, DropReason.BAD_CODEC_CONFIG, str(exc), exc.limit)
        if known is None and self._is_full(key[0]):
            return self._refuse(key, DropReason.EXTRA_TRACK, f"track {key[1]}", "tracks_max")
        if known is None or known.codec != codec or known.config != config:
            if self._unfit.get(key) == (codec, config):
                return self._refuse(key, DropReason.BAD_CODEC_CONFIG, codec)
            try:
                self._header_reader.take(self._tags)
            except CodecConfigError as exc:
                return self._refuse(key, DropReason.HEADER_FLOOD, codec, exc.limit)
            self._set_header(key, TrackHeader(key[0], codec, frame, config, key[1]))
        self.refusals.pop(key, None)
        return None

    def _is_full(self, kind: TagType) -> bool:
        return sum(key[0] is kind for key in self._headers.keys() | self._late.keys()) >= self._limits.tracks_max

    def _set_header(self, key: _Key, header: TrackHeader | None) -> None:
        """Let a track begin anew with another sequence header, or end with a broken one."""
        self._headers.pop(key, None)
        if header is not None and key in self._unfit and self._unfit[key] == _known_by(header):
            header = None
        if key in self._started:
            self._started.discard(key)
            # Nothing is held of a track that has not begun.
            self._forget_held(key)
        self._gone.discard(key)
        self._silences.pop(key, None)
        if header is not None:
            self._headers[key] = header
            self.refusals.pop(key, None)
        elif key not in self._opened:
            self._presences.pop(key, None)
        if self._opened:
            self._compare_tracks()

    # What becomes of a frame.

    def _receive_frame(self, tag: FlvTag, key: _Key, *, can_start: bool) -> Action:
        """Decide about a frame of a track whose header is known.

        Args:
            tag: The frame in its canonical framing.
            key: Its track.
            can_start: A decoder can start with it.
        """
        if not self._opened:
            return self._receive_while_closed(tag, key, can_start=can_start)
        silence = self._silences.get(key)
        if silence is not None and tag.payload is not silence.payload:
            # The sound is back; what is missing before it is silent as well.
            del self._silences[key]
            self._compare_tracks()
            return Split((*(self._make_silence(silence, tag.timestamp_ms) or ()), tag))
        self._presences.setdefault(key, _Presence(key[0])).note(tag.timestamp_ms)
        if key not in self._started:
            if not can_start:
                return self._drop(DropReason.BEFORE_KEYFRAME)
            self._started.add(key)
            self._gone.discard(key)
            self._compare_tracks()
        if not self._tracks_differ:
            return tag
        # The tracks are not those of the demuxer that is open.
        lead = self._lead()
        may_reopen = self.may_reopen and self._tags_since_open >= self._limits.reopen_tags_min
        if can_start and lead in (key, None) and may_reopen:
            self._close()
            return self._receive_while_closed(tag, key, can_start=True)
        if self._headers[key] == self._opened.get(key):
            return tag
        if key[0] is TagType.AUDIO and self.may_reopen and self._has_waited(tag, self._limits.keyframe_wait_ms):
            self._close()
            return self._open(((key, tag),))
        return self._drop(DropReason.BEFORE_KEYFRAME)

    def _receive_while_closed(self, tag: FlvTag, key: _Key, *, can_start: bool) -> Action:
        if not can_start and key not in self._started:
            return self._drop(DropReason.BEFORE_KEYFRAME)
        lead = self._lead()
        if key == lead and key not in self._started:
            self._start_waiting()
            self._drop_held_before(tag.timestamp_ms)
        self._started.add(key)
        self._gone.discard(key)
        self._held.append((key, tag))
        self._held_bytes += len(tag.payload)
        if self._may_open(tag):
            return self._open(tuple(self._held))
        if lead not in self._started:
            # Audio waits for video. What is shown before the keyframe is dropped then, so that a little is enough.
            self._trim_held(tag.timestamp_ms - self._limits.track_wait_ms)
        return _HOLD

    def _may_open(self, tag: FlvTag) -> bool:
        """Decide whether what is held is a stream, or all of one that will come in time."""
        if self._held_bytes > self._limits.opening_bytes_max:
            return True
        lead = self._lead()
        if lead is not None and lead not in self._started:
            return self._has_waited(tag, self._limits.keyframe_wait_ms)
        is_known = self._was_open or (
            (lead is not None or self.metadata.lacks_video)
            and (self.metadata.lacks_audio or any(kind is TagType.AUDIO for kind, _ in self._headers))
        )
        is_complete = is_known and self._headers.keys() - self._gone <= self._started
        return is_complete or self._has_waited(tag, self._limits.track_wait_ms)

    def _open(self, frames: tuple[tuple[_Key, FlvTag], ...]) -> Open:
        self._opened = {key: self._headers[key] for key in sorted(self._started, key=_rank)}
        self._was_open = True
        self._tags_before_open += self._tags_since_open
        self._tags_since_open = 0
        self._roll_call_ms = frames[-1][1].timestamp_ms
        self._presences = {key: _Presence(key[0]) for key in self._opened}
        for presence in self._presences.values():
            presence.note(self._roll_call_ms)
        self._forget_held()
        self._compare_tracks()
        time_ms = frames[0][1].timestamp_ms
        headers = tuple(FlvTag(header.kind, time_ms, _header_payload(header)) for header in self._opened.values())
        tags = tuple(tag for key, tag in frames if key in self._opened)
        return Open(tuple(self._opened.values()), headers, tags, self.metadata.frame_rate)

    def _close(self) -> None:
        """Have no demuxer open; what comes next is held until another one can be."""
        self._opened = {}
        self._silences.clear()
        self._silent_tags.clear()
        self._tracks_differ = False
        self._know_frame_heads({})
        self._forget_held()
        # Sound can go on anywhere, pictures with a keyframe alone.
        self._started = {key for key in self._started if key[0] is TagType.AUDIO}

    def _lead(self) -> _Key | None:
        """The video track that the others wait for, if there is one that has not stopped."""
        return min((key for key in self._headers if key[0] is TagType.VIDEO and key not in self._gone), default=None)

    def _compare_tracks(self) -> None:
        """Note whether the tracks are those of the demuxer that is open; if not, waiting for a keyframe begins."""
        differed = self._tracks_differ
        self._tracks_differ = {key: self._headers[key] for key in self._started} != self._opened
        self._know_frame_heads({} if self._tracks_differ else self._opened)
        if self._tracks_differ and not differed:
            self._start_waiting()

    def _know_frame_heads(self, tracks: Mapping[_Key, TrackHeader]) -> None:
        """Let the frames of these tracks through by their first bytes; not of those whose every frame is a header."""
        self._frame_heads = {
            first: (self._presences[key], head)
            for key, header in tracks.items()
            # What comes after silence has to be looked at.
            if header.codec not in CODECS_WITHOUT_HEADER and key not in self._silences
            for first, head in frame_heads(header).items()
        }
        self._frame_head_sizes = head_sizes(self._frame_heads)

    def _call_roll(self, tag: FlvTag) -> None:
        """Find out which of the open tracks have stopped while others go on, up to a tag."""
        if any(tag.payload is silence.payload for silence in self._silences.values()):
            return  # It is ours, of a time that has been looked at.
        timestamp_ms = tag.timestamp_ms
        if not 0 <= timestamp_ms - self._roll_call_ms <= _ROLL_CALL_MS_MAX:
            # Time leapt, or two tracks have clocks of their own: that says nothing of how long a track is missing.
            for presence in self._presences.values():
                presence.forget()
            if self._silences:
                self._silences.clear()
                self._compare_tracks()
            self._roll_call_ms = timestamp_ms
        for key, presence in self._presences.items():
            if presence.is_new:
                presence.missing_since_ms = None
                continue
            if key not in self._opened or key not in self._started:
                continue
            if presence.missing_since_ms is None:
                presence.missing_since_ms = self._roll_call_ms
            missing_ms = timestamp_ms - presence.missing_since_ms
            limits = self._limits
            if key[0] is TagType.AUDIO and self._is_to_be_silent(key, timestamp_ms, missing_ms):
                presence.missing_since_ms = None
            elif missing_ms >= (limits.audio_gone_ms if key[0] is TagType.AUDIO else limits.video_gone_ms):
                self._started.discard(key)
                self._gone.add(key)
                self._compare_tracks()
        for key, silence in tuple(self._silences.items()):
            silent_tags = self._make_silence(silence, timestamp_ms)
            if silent_tags is None:
                # Media comes much faster than time passes: the track has stopped, as one has for which there is no
                # silence.
                del self._silences[key]
                self._started.discard(key)
                self._gone.add(key)
                self._compare_tracks()
            else:
                self._silent_tags += silent_tags
        for presence in self._presences.values():
            presence.is_new = False
        self._roll_call_ms = timestamp_ms

    def _is_to_be_silent(self, key: _Key, timestamp_ms: int, missing_ms: int) -> bool:
        """Let silence take the place of an audio track, if it is time to, and there is silence of its codec.

        Args:
            key: The track.
            timestamp_ms: Of another one.
            missing_ms: For how long it has been missing by the others' clock, short of the time between two roll calls.
        """
        heard_ms = self._presences[key].heard_ms
        if heard_ms is None or key in self._silences:
            return False
        after_ms = self._limits.audio_silent_ms
        # Where the two times are far apart, the tracks have clocks of their own.
        if missing_ms < after_ms // 2 or not after_ms <= timestamp_ms - heard_ms <= _SILENCE_MS_MAX:
            return False
        silence = _silence(self._opened[key], heard_ms)
        if silence is None:
            return False
        self._silences[key] = silence
        self._compare_tracks()
        return True

    def _make_silence(self, silence: _Silence, timestamp_ms: int) -> list[FlvTag] | None:
        """Return the silence that is due up to a time; None where it is more than may be made now."""
        count = silence.count_until(timestamp_ms)
        if count > self._silent_frames_left:
            return None
        self._silent_frames_left -= count
        return silence.take(count)

    def allow_silence(self, frames: int) -> None:
        """Let more silence be made: as much of it as the time that has passed, and not the publisher's, has room for.

        Args:
            frames: How many frames more; what is not used adds up to ``IntakeLimits.silent_frames_max``.
        """
        self._silent_frames_left = min(self._limits.silent_frames_max, self._silent_frames_left + frames)

    @property
    def is_silent(self) -> bool:
        """Whether the publisher's sound has stopped, and all that there is of it is ours."""
        return bool(self._silences) and all(key in self._silences for key in self._opened if key[0] is TagType.AUDIO)

    # What waits.

    def _start_waiting(self) -> None:
        self._wait_start_ms = None
        self._wait_tags = 0

    def _has_waited(self, tag: FlvTag, wait_ms: int) -> bool:
        """Count ``tag`` as waiting, and say whether that is enough: by media time, or by tags where time stands."""
        self._wait_tags += 1
        if self._wait_start_ms is None or tag.timestamp_ms < self._wait_start_ms:
            self._wait_start_ms = tag.timestamp_ms
        waited_ms = tag.timestamp_ms - self._wait_start_ms
        return waited_ms >= wait_ms or self._wait_tags >= self._limits.opening_tags_max

    def _drop_held_before(self, timestamp_ms: int) -> None:
        """Drop sound before a time, and with their keyframe the pictures of a track that began well before it."""
        if not self._held or self._held[0][1].timestamp_ms >= timestamp_ms:
            return
        early_ms = timestamp_ms - _KEYFRAMES_TOGETHER_MS
        kept: list[tuple[_Key, FlvTag]] = []
        for key, tag in self._held:
            is_video = key[0] is TagType.VIDEO
            if is_video and tag.timestamp_ms < early_ms:
                self._started.discard(key)
            if (is_video and key in self._started) or (not is_video and tag.timestamp_ms >= timestamp_ms):
                kept.append((key, tag))
        self.drops[DropReason.BEFORE_KEYFRAME] += len(self._held) - len(kept)
        self._hold_only(kept)

    def _trim_held(self, timestamp_ms: int) -> None:
        """Drop what is held from before a time, as far as it stands in front: each tag is looked at once."""
        held = self._held
        while held and held[0][1].timestamp_ms < timestamp_ms:
            key, tag = held[0]
            if key[0] is TagType.VIDEO:
                if tag.timestamp_ms < timestamp_ms - _KEYFRAMES_TOGETHER_MS:
                    self._drop_held_before(timestamp_ms)
                return
            held.popleft()
            self._held_bytes -= len(tag.payload)
            self.drops[DropReason.BEFORE_KEYFRAME] += 1

    def _forget_held(self, forgotten: _Key | None = None) -> None:
        """Let go of the frames that are held, or of those of one track."""
        self._hold_only([(key, tag) for key, tag in self._held if forgotten not in (key, None)])

    def _hold_only(self, kept: list[tuple[_Key, FlvTag]]) -> None:
        self._held = deque(kept)
        self._held_bytes = sum(len(tag.payload) for _, tag in kept)

    @property
    def held_bytes(self) -> int:
        """What it keeps of what the publisher sent, bytes: frames that are held, and sequence headers."""
        frames = self._held_bytes + len(self._held) * _HELD_TAG_BYTES
        headers = {id(header): header for tracks in (self._headers, self._opened) for header in tracks.values()}
        late_bytes = sum(len(record) for _, record in self._late.values())
        return frames + sum(len(header.record) for header in headers.values()) + late_bytes

    def _refuse(self, key: _Key, reason: DropReason, detail: str, limit: str = "") -> Drop:
        """Drop what cannot be carried of a track, and keep in mind why."""
        drop = self._drop(reason, detail, limit)
        if key in self.refusals or len(self.refusals) < _REFUSALS_MAX:
            self.refusals[key] = drop
        return drop

    def _drop(self, reason: DropReason, detail: str = "", limit: str = "") -> Drop:
        self.drops[reason] += 1
        return Drop(reason, detail, limit)


class _Presence:
    """When a track had its last frame, and since when it has had none.

    Args:
        kind: Of the track.
    """

    __slots__ = ("heard_ms", "is_new", "kind", "missing_since_ms")

    def __init__(self, kind: TagType) -> None:
        self.kind = int(kind)
        # Not known before the first, and after a leap of time.
        self.heard_ms: int | None = None
        # It was since the last roll call.
        self.is_new = False
        # The roll call since which there was none.
        self.missing_since_ms: int | None = None

    def note(self, timestamp_ms: int) -> None:
        """Take note of a frame."""
        self.heard_ms = timestamp_ms
        self.is_new = True

    def forget(self) -> None:
        """Take what was before the last roll call for unknown: time has leapt."""
        self.missing_since_ms = None
        if not self.is_new:
            self.heard_ms = None


class _Silence:
    """The silence that stands for a track's sound.

    Args:
        payload: Of each tag.
        heard_ms: When the last frame of sound was.
        frame_ticks: Samples in a frame, sound or silence.
        sample_rate: Samples a second.
    """

    __slots__ = ("_count", "_frame_ticks", "_heard_ms", "_sample_rate", "payload")

    def __init__(self, payload: bytes, heard_ms: int, frame_ticks: int, sample_rate: int) -> None:
        self.payload = payload
        self._heard_ms = heard_ms
        self._frame_ticks = frame_ticks
        self._sample_rate = sample_rate
        self._count = 1

    def count_until(self, timestamp_ms: int) -> int:
        """Return how many frames end by then, and follow those that were taken before."""
        if timestamp_ms - self._time_ms(self._count) > _SILENCE_MS_MAX:
            return 0  # Time has leapt.
        # The last one is that whose end, rounded down, is no later.
        ends = ((timestamp_ms - self._heard_ms + 1) * self._sample_rate - 1) // (self._frame_ticks * 1000)
        return max(0, ends - self._count)

    def take(self, count: int) -> list[FlvTag]:
        """Return the tags of the next frames."""
        start, self._count = self._count, self._count + count
        return [FlvTag(TagType.AUDIO, self._time_ms(number), self.payload) for number in range(start, self._count)]

    def _time_ms(self, count: int) -> int:
        return self._heard_ms + count * self._frame_ticks * 1000 // self._sample_rate


def _silence(header: TrackHeader, heard_ms: int) -> _Silence | None:
    """Make silence for a track from its last frame on; None where there is none of its codec."""
    frame = silent_frame(header.codec, header.config)
    if frame is None:
        return None
    payload = audio.coded_frame(header.codec, header.track_id, frame.access_unit)
    return _Silence(payload, heard_ms, frame.ticks, frame.sample_rate)


def frame_heads(header: TrackHeader) -> dict[bytes, FrameHead]:
    """List how the tags of a track's frames can begin as the gate lets them through, and what that says of them."""
    list_heads = video.frame_heads if header.kind is TagType.VIDEO else audio.frame_heads
    return list_heads(header.codec, header.track_id)


def has_multitrack_header(tag: FlvTag) -> bool:
    """Say whether a tag, as the gate lets it through, belongs to a track other than 0."""
    head = first_bytes(tag.payload)[0]
    if tag.tag_type == TagType.VIDEO:
        return head & _VIDEO_MULTITRACK_MASK == _VIDEO_MULTITRACK
    return head == _AUDIO_MULTITRACK


def _rank(key: _Key) -> tuple[bool, int]:
    """Video first, by id."""
    return key[0] is TagType.AUDIO, key[1]


def _header_payload(header: TrackHeader) -> bytes:
    if header.kind is TagType.VIDEO:
        return video.sequence_header(header.codec, header.track_id, header.record)
    if header.codec in CODECS_WITHOUT_HEADER:
        return audio.coded_frame(header.codec, header.track_id, header.record)
    return audio.sequence_header(header.codec, header.track_id, header.record)


def _known_by(header: TrackHeader) -> tuple[str, bytes | CodecConfig]:
    """What a header is known again by: one that the demuxer would not take, and that is not kept."""
    if header.codec in CODECS_WITHOUT_HEADER:
        return header.codec, header.config
    return header.codec, digest(header.record)


def _with_payload(tag: FlvTag, whole: bytes, payload: bytes) -> FlvTag:
    """Return a tag like another, whose payload is ``whole``, with this one."""
    return tag if payload is whole else FlvTag(tag.tag_type, tag.timestamp_ms, payload)
