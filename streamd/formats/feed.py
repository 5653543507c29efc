"""The feed of a stream from the node that owns it to one that has viewers of it: records, each with its length.

A record is its kind in one byte, the length of the rest in four (the highest first), and the rest. The first record is
a ``Hello``; a ``State`` follows before any media. Numbers and lengths are looked at before anything is made of them.

The protocol is streamd's own, version 1; it is spoken between nodes of one cluster, and the cluster's secret opens it.
"""

from __future__ import annotations

import enum
import json
import struct
from dataclasses import dataclass

from streamd.errors import FeedError

VERSION = 1
# An epoch and a name of 64 letters each for stream and node; twice as much lets a later version add to it.
HELLO_BYTES_MAX = 1024
# 257 segments of 20 parts, each part a line of 40 bytes, and a CMAF header a segment of up to 4 kB: 1.3 MB.
STATE_BYTES_MAX = 4 * 1024 * 1024
# One part: a frame of the largest message that `limits.message_bytes_max` lets through, and the head of its fragment.
BODY_BYTES_MAX = 65 * 1024 * 1024
END_BYTES_MAX = 64
# Renditions of one stream: 32 tracks of each kind (`limits.tracks_max`), and as many that rest.
RENDITIONS_MAX = 128
# Ten digits of seconds since 2020, times the parts of a second; beyond it a count is no count of ours.
NUMBER_MAX = 2**48
# Of video 90,000, of sound its sample rate.
TIMESCALE_MAX = 2**24
TICKS_MAX = 2**50
# A segment is 10 s long at the most, and so is a part.
PART_S_MAX = 60

_FRAME = struct.Struct(">BI")
_BODY = struct.Struct(">BQ")
_PART = struct.Struct(">BBQqQIQq")
_SEGMENT_END = struct.Struct(">BQ")
_INDEPENDENT, _STARTS, _DISCONTINUOUS = 1, 2, 4


class RecordKind(enum.IntEnum):
    """The kinds of records."""

    HELLO = 1
    STATE = 2
    BODY = 3
    PART = 4
    SEGMENT_END = 5
    END = 6
    PING = 7


@dataclass(frozen=True, slots=True)
class Hello:
    """The owner says who it is."""

    name: str
    """The channel."""
    node: str
    """The owner."""
    epoch: int
    """Of its ownership: a number that grows with each owner of the channel."""


@dataclass(frozen=True, slots=True)
class State:
    """What the playlists say, whole; the bodies that the reader lacks follow in ``Body`` records."""

    body: bytes
    """A JSON document, of floor 2."""


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of a part that the last ``State`` lists."""

    rendition: int
    """Its place in the state's list."""
    number: int
    """Of the part."""
    content: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """A part that is new."""

    rendition: int
    """Its place in the last state's list."""
    number: int
    start_ticks: int
    duration_ticks: int
    timescale: int
    is_independent: bool
    starts_segment: bool
    is_discontinuous: bool
    msn: int
    """Of its segment."""
    program_date_time_ms: int
    """Of its segment, milliseconds since 1970."""
    content: bytes


@dataclass(frozen=True, slots=True)
class SegmentEnd:
    """The newest segment of a rendition is complete."""

    rendition: int
    msn: int


@dataclass(frozen=True, slots=True)
class End:
    """The stream has ended; a connection that ends without it says nothing of the stream."""

    reason: str
    """In one word."""


@dataclass(frozen=True, slots=True)
class Ping:
    """The owner is there, and has nothing else to say."""


Record = Hello | State | Body | Part | SegmentEnd | End | Ping

_BYTES_MAX = {
    RecordKind.HELLO: HELLO_BYTES_MAX,
    RecordKind.STATE: STATE_BYTES_MAX,
    RecordKind.BODY: _BODY.size + BODY_BYTES_MAX,
    RecordKind.PART: _PART.size + BODY_BYTES_MAX,
    RecordKind.SEGMENT_END: _SEGMENT_END.size,
    RecordKind.END: END_BYTES_MAX,
    RecordKind.PING: 0,
}


def head_of(record: Record) -> bytes:
    """Write a record but for its content: what goes before the bytes of a ``Body`` or a ``Part``, all of any other."""
    match record:
        case Hello():
            rest = json.dumps(
                {"version": VERSION, "name": record.name, "node": record.node, "epoch": record.epoch},
                separators=(",", ":"),
            ).encode()
            return _framed(RecordKind.HELLO, rest)
        case State():
            return _framed(RecordKind.STATE, record.body)
        case Body():
            fields = _BODY.pack(record.rendition, record.number)
            return _FRAME.pack(RecordKind.BODY, len(fields) + len(record.content)) + fields
        case Part():
            flags = (
                record.is_independent * _INDEPENDENT
                | record.starts_segment * _STARTS
                | record.is_discontinuous * _DISCONTINUOUS
            )
            fields = _PART.pack(
                record.rendition,
                flags,
                record.number,
                record.start_ticks,
                record.duration_ticks,
                record.timescale,
                record.msn,
                record.program_date_time_ms,
            )
            return _FRAME.pack(RecordKind.PART, len(fields) + len(record.content)) + fields
        case SegmentEnd():
            return _framed(RecordKind.SEGMENT_END, _SEGMENT_END.pack(record.rendition, record.msn))
        case End():
            return _framed(RecordKind.END, record.reason.encode()[:END_BYTES_MAX])
        case Ping():
            return _framed(RecordKind.PING, b"")


def encode(record: Record) -> bytes:
    """Write a record whole."""
    content = record.content if isinstance(record, Body | Part) else b""
    return head_of(record) + content


class FeedReader:
    """Reads the records of one connection.

    Args:
        name: The channel that was asked for.
        epoch_min: The least epoch that is heard; an owner of an earlier one has been followed by another.
    """

    def __init__(self, name: str, epoch_min: int = 0) -> None:
        self._name = name
        self._epoch_min = epoch_min
        self._buffer = bytearray()
        self._is_greeted = False
        self._has_state = False
        self._has_ended = False

    @property
    def held_bytes(self) -> int:
        """What waits for the rest of its record, bytes."""
        return len(self._buffer)

    def receive(self, data: bytes) -> list[Record]:
        """Take bytes as they come.

        Returns:
            The records that are whole now.

        Raises:
            FeedError: They are no feed of this channel, or of an owner that is no more; nothing is read after that.
        """
        buffer = self._buffer
        buffer += data
        records: list[Record] = []
        at = 0
        while len(buffer) - at >= _FRAME.size:
            code, size = _FRAME.unpack_from(buffer, at)
            kind = self._expected(code, size)
            end = at + _FRAME.size + size
            if len(buffer) < end:
                break
            records.append(self._read(kind, memoryview(buffer)[at + _FRAME.size : end].tobytes()))
            at = end
        if at:
            del buffer[:at]
        return records

    def _expected(self, code: int, size: int) -> RecordKind:
        """Return the kind of a record that may come now and be so long."""
        if self._has_ended:
            raise FeedError("a record behind the end")
        try:
            kind = RecordKind(code)
        except ValueError:
            raise FeedError(f"a record of the unknown kind {code}") from None
        if self._is_greeted is (kind is RecordKind.HELLO):
            raise FeedError("a greeting that is not the first record, or a first record that is none")
        if kind in (RecordKind.BODY, RecordKind.PART, RecordKind.SEGMENT_END) and not self._has_state:
            raise FeedError("media before the state")
        if size > _BYTES_MAX[kind]:
            raise FeedError(f"a {kind.name} record of {size} bytes, {_BYTES_MAX[kind]} are allowed")
        return kind

    def _read(self, kind: RecordKind, rest: bytes) -> Record:
        match kind:
            case RecordKind.HELLO:
                return self._greeted(_read_hello(rest))
            case RecordKind.STATE:
                self._has_state = True
                return State(rest)
            case RecordKind.BODY:
                rendition, number = _unpack(_BODY, rest)
                _check(rendition < RENDITIONS_MAX and number < NUMBER_MAX, "numbers of a body")
                return Body(rendition, number, rest[_BODY.size :])
            case RecordKind.PART:
                return _read_part(rest)
            case RecordKind.SEGMENT_END:
                rendition, msn = _unpack(_SEGMENT_END, rest)
                _check(rendition < RENDITIONS_MAX and msn < NUMBER_MAX, "numbers of a segment's end")
                return SegmentEnd(rendition, msn)
            case RecordKind.END:
                self._has_ended = True
                reason = rest.decode("ascii", "replace")
                _check(reason.replace("_", "").isalnum(), "reason of an end")
                return End(reason)
            case RecordKind.PING:
                return Ping()

    def _greeted(self, hello: Hello) -> Hello:
        self._is_greeted = True
        if hello.name != self._name:
            raise FeedError("a feed of another channel")
        if hello.epoch < self._epoch_min:
            raise FeedError(f"epoch {hello.epoch}, and {self._epoch_min} has been heard")
        return hello


def _framed(kind: RecordKind, rest: bytes) -> bytes:
    return _FRAME.pack(kind, len(rest)) + rest


def _unpack(fields: struct.Struct, rest: bytes) -> tuple[int, ...]:
    if len(rest) < fields.size:
        raise FeedError("a record that is too short for its fields")
    return fields.unpack_from(rest)


def _check(is_right: bool, what: str) -> None:
    if not is_right:
        raise FeedError(f"{what} that cannot be")


def _read_hello(rest: bytes) -> Hello:
    try:
        told = json.loads(rest)
    except (ValueError, RecursionError):
        raise FeedError("a greeting that is not JSON") from None
    if not isinstance(told, dict) or told.get("version") != VERSION:
        raise FeedError("a greeting of another version")
    name, node, epoch = told.get("name"), told.get("node"), told.get("epoch")
    if not isinstance(name, str) or not isinstance(node, str) or type(epoch) is not int or not 0 <= epoch < NUMBER_MAX:
        raise FeedError("a greeting without name, node or epoch")
    return Hello(name, node, epoch)


def _read_part(rest: bytes) -> Part:
    rendition, flags, number, start_ticks, duration_ticks, timescale, msn, date_time_ms = _unpack(_PART, rest)
    _check(rendition < RENDITIONS_MAX and number < NUMBER_MAX and msn < NUMBER_MAX, "numbers of a part")
    _check(0 < timescale <= TIMESCALE_MAX and abs(start_ticks) < TICKS_MAX, "times of a part")
    _check(duration_ticks <= PART_S_MAX * timescale and abs(date_time_ms) < NUMBER_MAX, "times of a part")
    _check(flags <= _INDEPENDENT | _STARTS | _DISCONTINUOUS, "flags of a part")
    return Part(
        rendition=rendition,
        number=number,
        start_ticks=start_ticks,
        duration_ticks=duration_ticks,
        timescale=timescale,
        is_independent=bool(flags & _INDEPENDENT),
        starts_segment=bool(flags & _STARTS),
        is_discontinuous=bool(flags & _DISCONTINUOUS),
        msn=msn,
        program_date_time_ms=date_time_ms,
        content=rest[_PART.size :],
    )
