"""The chunk stream: messages cut into chunks, several of them interleaved.

This is where every byte of every publisher passes, so the decoder does nothing for each byte and little for
each chunk: the payload of a frame is copied once, to where it stays (``streamd.formats.payload``).

Spec: RTMP 1.0 (2012) section 5.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamd.errors import ChunkError, MessageTooLargeError, ProtocolError
from streamd.formats.flv.tag import FlvTag, new_tag
from streamd.formats.payload import PayloadLog
from streamd.formats.rtmp.message import (
    CHUNK_SIZE_MAX,
    CONTROL_CHUNK_STREAM_ID,
    Message,
    MessageType,
    new_message,
    set_chunk_size,
)
from streamd.formats.rtmp.timestamp import unwrap
from streamd.limits import DEFAULT

# 5.4.1: "The maximum chunk size defaults to 128 bytes".
DEFAULT_CHUNK_SIZE = 128

# 5.3.1.3: a 24-bit timestamp field of this value stands for the 32 bits of the extended timestamp.
_EXTENDED = 0xFFFFFF
# Bytes of the message header of chunk types 0, 1 and 2 (5.3.1.2).
_HEADER_BYTES = (11, 7, 3)

# A basic header of one byte and the message header of a type 1 chunk: format and chunk stream id, timestamp delta in
# three bytes, message length in three, message type id.
_TYPE_1_BYTES = 8

# Of one step: past either, the owner of a decoder has its turn with others before it reads on. An ordinary read has
# some dozen messages, and 2,000 chunks at the most where they are of 128 bytes. A chunk takes 2 us, uncompiled, and a
# tag that is meant to be dear up to 60 us on its way to the viewers.
MESSAGES_PER_STEP = 256
CHUNKS_PER_STEP = 4096

# Messages that change how the next byte is read. Plain integers: every message's type is looked up here.
_OBEYED_TYPES = frozenset((int(MessageType.SET_CHUNK_SIZE), int(MessageType.ABORT)))
COMMAND_TYPES = frozenset((int(MessageType.COMMAND_AMF0), int(MessageType.COMMAND_AMF3)))
"""Messages that change how the owner of a decoder reads on."""
# Behind these nothing is taken in the same step: an aggregate is as many messages as a step has, or more.
_LAST_TYPES = COMMAND_TYPES | {int(MessageType.AGGREGATE)}
# A shorter one names no command and is dropped. An empty one is a single byte on the wire, so it ends no step.
_LAST_BYTES_MIN = 3
# Messages that are kept, for viewers.
_AUDIO = int(MessageType.AUDIO)
_VIDEO = int(MessageType.VIDEO)

# A delta this long between two messages is no frame's: see ``_ChunkStream.delta_ms``.
_TYPE_0_DELTA_MS_MAX = 10_000

# Pieces of a message that are shorter are put together as they come, so that a peer that sends two bytes at a
# time makes us hold little more than two bytes each time.
_SMALL_PIECE_BYTES = 512
# Memory of a piece beside its bytes, and of a chunk stream beside its pieces: the objects, and the allocator's share.
_PIECE_BYTES = 56
_CHUNK_STREAM_BYTES = 320
# Chunks up to this size are taken many at a time: that is what librtmp and GStreamer send (128 for ever), and
# what an attacker sends (1). Larger ones are as quick one by one.
_RUN_CHUNK_SIZE_MAX = 512
# How many chunks ahead a run is looked for: enough to make a chunk nearly free, and few enough that looking in
# vain costs no more than reading one chunk.
_RUN_CHUNKS_MAX = 256


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """How much one peer's chunk stream may make us hold."""

    message_bytes_max: int = DEFAULT.message_bytes_max
    """Longest message. A keyframe at 50 Mb/s with 1 s of GOP is about 3 MB; MediaMTX allows 10 MiB."""
    chunk_streams_max: int = DEFAULT.chunk_streams_max
    """Chunk streams ever used. Encoders use 2 to 6; an attacker could name 65,598."""
    held_bytes_max: int = DEFAULT.held_bytes_max
    """Declared length of all unfinished messages together: one of the longest, and others beside it."""
    chunk_size_min: int = DEFAULT.chunk_size_min
    """Least chunk size that a peer may set. 5.4.1: it "SHOULD be at least 128 bytes, and MUST be at least 1 byte"."""
    messages_per_read_max: int = DEFAULT.messages_per_read_max
    """Messages in one piece of data, which may be one byte each: about 10 ms of work. The 256 kB that are read at once
    hold half a second of 50 Mb/s, and three minutes of the thinnest audio in a thousand messages."""
    keeps_media: bool = True
    """Whether audio and video are put where they stay, as tags. Those of a peer that may not publish are dropped, and a
    slab would be more than all else that we hold for that peer."""
    message_limit: str = "message_bytes_max"
    """Key in ``[limits]`` that ``message_bytes_max`` follows from."""
    partial_limit: str = "held_bytes_max"
    """Key in ``[limits]`` that ``held_bytes_max`` follows from."""
    messages_limit: str = "messages_per_read_max"
    """Key in ``[limits]`` that ``messages_per_read_max`` follows from."""


DEFAULT_CHUNK_LIMITS = ChunkLimits()


class _ChunkStream:
    """The fields that later chunk headers of one chunk stream leave out, and the message under way."""

    __slots__ = (
        "continuation",
        "delta_ms",
        "extended_field",
        "length",
        "message_stream_id",
        "missing_bytes",
        "pieces",
        "timestamp_ms",
        "type_3",
        "type_id",
    )

    def __init__(self, chunk_stream_id: int, timestamp_ms: int) -> None:
        self.timestamp_ms = timestamp_ms
        # The delta that a type 3 chunk adds that starts a message.
        self.delta_ms = 0
        self.length = 0
        self.type_id = 0
        self.message_stream_id = 0
        # The extended timestamp of the last type 0, 1 or 2 header, as sent; None where it had none.
        self.extended_field: bytes | None = None
        # The one byte that a type 3 chunk of this stream starts with; -1 where it takes more (5.3.1.1).
        self.type_3 = 0xC0 | chunk_stream_id if chunk_stream_id < 64 else -1
        # The same, where that byte is the whole header: no extended timestamp may follow it.
        self.continuation = self.type_3
        # Of the message under way; nothing is missing between messages.
        self.missing_bytes = 0
        self.pieces: list[bytes] = []


class ChunkDecoder:
    """Puts the messages of one peer together from its chunks.

    Set Chunk Size and Abort Message are obeyed here, because they change how the very next byte is
    read; they are returned like any message.

    Args:
        limits: How much the peer may make us hold.
    """

    def __init__(self, limits: ChunkLimits = DEFAULT_CHUNK_LIMITS) -> None:
        self._streams: dict[int, _ChunkStream] = {}
        self._partial_bytes = 0
        self._fault: ProtocolError | None = None
        # A header that the last data ended in; at most 17 bytes.
        self._held = b""
        # The chunk that the last data ended in, and how much of it is still to come.
        self._current: _ChunkStream | None = None
        self._chunk_bytes_left = 0
        self._log = PayloadLog()
        self.chunk_size = DEFAULT_CHUNK_SIZE
        """Bytes in a chunk of the peer's, but for the last of a message."""
        self.position = 0
        """The place of the next byte that is not read yet, in the data of the last ``receive_buffer``."""
        self.chunks_read = 0
        """Chunks that were read, of messages that are not the usual form of audio and video; a run of them is one."""
        self.limit(limits)

    def limit(self, limits: ChunkLimits) -> None:
        """Hold the peer to other limits from here on; what is under way goes on."""
        self._limits = limits
        # A message that is taken whole is kept: see ``_take_whole``.
        self._whole_bytes_max = min(limits.message_bytes_max, limits.held_bytes_max) if limits.keeps_media else 0
        self.messages_left = limits.messages_per_read_max
        """How many more messages this piece of data may have."""

    @property
    def held_bytes(self) -> int:
        """Bytes that we hold of messages that are not whole yet."""
        streams = self._streams.values()
        return len(self._held) + sum(each.length - each.missing_bytes for each in streams if each.missing_bytes)

    @property
    def overhead_bytes(self) -> int:
        """Bytes that we hold beside that to keep messages apart."""
        streams = self._streams.values()
        return len(self._streams) * _CHUNK_STREAM_BYTES + sum(len(each.pieces) for each in streams) * _PIECE_BYTES

    @property
    def missing_bytes(self) -> int:
        """Payload still to come of the message that can be whole first; 0 where none is under way."""
        if not self._partial_bytes:
            return 0
        return min((stream.missing_bytes for stream in self._streams.values() if stream.missing_bytes), default=0)

    def receive_data(self, data: bytes) -> list[Message | FlvTag]:
        """Take the peer's next bytes, any number of them, cut anywhere; as ``receive_buffer``, to their end."""
        buffer = bytearray(data)
        messages = self.receive_buffer(buffer, len(buffer))
        try:
            while self._fault is None and self.position < len(buffer):
                messages += self.receive_buffer(buffer, len(buffer), self.position)
        except ProtocolError as fault:
            self._fault = fault
        return messages

    def receive_buffer(
        self, data: bytearray, size: int, start: int = 0, goes_on: bool = False
    ) -> list[Message | FlvTag]:
        """Take the peer's next bytes, up to their end, to that of a command or an aggregate, or of a step.

        Args:
            data: Where they stand; it may be used anew once all are taken.
            size: Where they end.
            start: Where they begin; where not all were taken, ``position``.
            goes_on: Whether they are the rest of a read of which some was taken, wherever that stands now.

        Returns:
            The messages that are now whole, in the order of their last bytes. Audio and video that are kept are tags,
            whose payload lies in slabs; their message stream is the publish's, whatever they say.

        Raises:
            ChunkError: A chunk that the chunk stream's state does not allow, or a limit passed.
            MessageTooLargeError: A message longer than the limit was announced.
                Where whole messages came before the fault they are returned, and ``raise_fault`` raises it.
        """
        self.raise_fault()
        if start == 0 and not goes_on:
            self.messages_left = self._limits.messages_per_read_max
        messages: list[Message | FlvTag] = []
        try:
            self._read(data, size, start, messages)
        except ProtocolError as fault:
            if not messages:
                raise
            self._fault = fault
        return messages

    def raise_fault(self) -> None:
        """Raise what broke the chunk stream behind the messages that were returned last, if anything did."""
        if self._fault is not None:
            raise self._fault

    def _read(self, data: bytearray, size: int, start: int, messages: list[Message | FlvTag]) -> None:
        """Read bytes as ``receive_buffer`` says; messages are appended as soon as they are whole."""
        held_bytes = len(self._held)
        if held_bytes:
            data = bytearray(self._held) + data[start:size]
            size = len(data)
            self._held = b""
            # Places in it, less these, are places in what was given.
            held_bytes -= start
            start = 0
        messages_max = self.messages_left
        # One past what is allowed is a fault, and as many as a step has are its end.
        step_max = min(messages_max + 1, MESSAGES_PER_STEP)
        chunks_left = CHUNKS_PER_STEP
        position = start
        while position < size:
            stream = self._current
            if stream is None:
                end = self._take_whole(data, size, position, messages)
                if end:
                    position = end
                    if len(messages) >= step_max:
                        if len(messages) > messages_max:
                            raise self._too_many()
                        size = position
                    continue
                header_start = position
                position = self._read_header(data, size, position)
                stream = self._current
                if stream is None:
                    self._held = bytes(data[header_start:size])
                    break
            missing = stream.missing_bytes
            chunk_left = self._chunk_bytes_left
            while True:
                chunks_left -= 1
                end = position + chunk_left
                piece = bytes(data[position : min(end, size)])
                if end > size:
                    missing -= len(piece)
                    self._chunk_bytes_left = chunk_left - len(piece)
                    stream.missing_bytes = missing
                    _keep(stream.pieces, piece)
                    position = size
                    break
                position = end
                missing -= chunk_left
                if not missing:
                    messages.append(self._complete(stream, piece))
                    if len(messages) > messages_max:
                        raise self._too_many()
                    if len(messages) >= step_max or (
                        stream.type_id in _LAST_TYPES and stream.length >= _LAST_BYTES_MIN
                    ):
                        size = position
                    break
                _keep(stream.pieces, piece)
                if position == size or data[position] != stream.continuation or chunks_left <= 0:
                    stream.missing_bytes = missing
                    self._current = None
                    break
                # The usual next chunk, whose header is one byte: it goes on with this message.
                if self.chunk_size <= _RUN_CHUNK_SIZE_MAX:
                    taken = self._take_run(data, size, position, stream, missing)
                    position += taken * (self.chunk_size + 1)
                    missing -= taken * self.chunk_size
                    if taken:
                        stream.missing_bytes = missing
                        self._current = None
                        break
                position += 1
                chunk_left = min(missing, self.chunk_size)
            if chunks_left <= 0:
                size = position
        self.chunks_read += CHUNKS_PER_STEP - chunks_left
        self.messages_left = messages_max - len(messages)
        self.position = size - held_bytes

    def _too_many(self) -> ChunkError:
        return ChunkError(
            f"more than {self._limits.messages_per_read_max} messages at once", limit=self._limits.messages_limit
        )

    def _take_whole(self, data: bytearray, size: int, position: int, messages: list[Message | FlvTag]) -> int:
        """Take a message that is all there, if it is in the form that nearly every one has.

        That is audio or video in a type 1 chunk of a known chunk stream without extended timestamp, and type 3 chunks
        that follow at once. The way round, chunk by chunk, comes to the same, and takes three times as long.

        Returns:
            Where the message ends; 0 where it has another form, and nothing has changed.
        """
        start = position + _TYPE_1_BYTES
        if start > size:
            return 0
        basic = data[position]
        # Ids of 0 and 1 say that more of it follows: no chunk stream has them.
        if basic >> 6 != 1:
            return 0
        stream = self._streams.get(basic & 0x3F)
        type_id = data[position + 7]
        if stream is None or stream.missing_bytes or (type_id != _VIDEO and type_id != _AUDIO):
            return 0
        delta_ms = data[position + 1] << 16 | data[position + 2] << 8 | data[position + 3]
        length = data[position + 4] << 16 | data[position + 5] << 8 | data[position + 6]
        chunk_size = self.chunk_size
        if delta_ms == _EXTENDED or not 0 < length <= self._whole_bytes_max:
            return 0
        end = start + length
        if length > chunk_size:
            later_chunks = (length - 1) // chunk_size
            end += later_chunks
            if end > size or chunk_size <= _RUN_CHUNK_SIZE_MAX:
                return 0
            header = start + chunk_size
            # Compiled, a range of such steps would be an object.
            while header < end:
                if data[header] != stream.type_3:
                    return 0
                header += chunk_size + 1
        elif end > size:
            return 0
        stream.extended_field = None
        stream.continuation = stream.type_3
        stream.length = length
        stream.type_id = type_id
        stream.delta_ms = delta_ms
        stream.timestamp_ms += delta_ms
        payload = self._log.append(data, start, length, chunk_size)
        messages.append(new_tag(type_id, stream.timestamp_ms, payload))
        return end

    def _read_header(self, data: bytearray, size: int, position: int) -> int:
        """Read a chunk header and make its chunk the current one.

        Args:
            data: Where the header starts at ``position``.
            size: Where ``data`` ends.
            position: As said.

        Returns:
            Where the chunk's payload starts. Where ``data`` ends inside the header, nothing has changed,
            there is no current chunk, and the number means nothing.
        """
        # 5.3.1.1: 2 bits of chunk type and 6 of chunk stream id, of which 0 and 1 say that it follows.
        basic = data[position]
        chunk_type = basic >> 6
        chunk_stream_id = basic & 0x3F
        offset = position + 1
        if chunk_stream_id < 2:
            # "ID is calculated as ((the third byte) * 256 + (the second byte) + 64)".
            id_end = offset + 1 + chunk_stream_id
            if id_end > size:
                return position
            chunk_stream_id = 64 + int.from_bytes(data[offset:id_end], "little")
            offset = id_end
        stream = self._streams.get(chunk_stream_id)
        if chunk_type == 3:
            if stream is None:
                raise ChunkError(f"chunk stream {chunk_stream_id} begins with a type 3 chunk")
            return self._continue(stream, data, size, offset)

        end = offset + _HEADER_BYTES[chunk_type]
        if end > size:
            return position
        timestamp_ms = int.from_bytes(data[offset : offset + 3], "big")
        extended_field = None
        if timestamp_ms == _EXTENDED:
            extended_field = bytes(data[end : min(end + 4, size)])
            if len(extended_field) < 4:
                return position
            timestamp_ms = int.from_bytes(extended_field, "big")
            end += 4
        if stream is None:
            stream = self._open(chunk_stream_id, chunk_type)
        elif stream.missing_bytes:
            raise ChunkError(
                f"type {chunk_type} chunk inside a message of chunk stream {chunk_stream_id}, "
                f"{stream.missing_bytes} bytes before its end"
            )
        stream.extended_field = extended_field
        stream.continuation = stream.type_3 if extended_field is None else -1

        if chunk_type != 2:
            word = int.from_bytes(data[offset + 3 : offset + 7], "big")
            stream.length = word >> 8
            stream.type_id = word & 0xFF
            if stream.length > self._limits.message_bytes_max:
                raise MessageTooLargeError(
                    stream.length, self._limits.message_bytes_max, limit=self._limits.message_limit
                )
        if chunk_type == 0:
            # 5.3.1.2.5: "Message stream ID is stored in little-endian format."
            stream.message_stream_id = int.from_bytes(data[offset + 7 : offset + 11], "little")
            stream.timestamp_ms = unwrap(stream.timestamp_ms, timestamp_ms)
            # 5.3.1.2.4: "If a Type 3 chunk follows a Type 0 chunk, then the timestamp delta for this Type 3
            # chunk is the same as the timestamp of the Type 0 chunk." FMLE and FFmpeg mean that where the first
            # timestamp is their frame's duration; nginx-rtmp and MediaMTX read 0 there, which is the only
            # sense it can have hours into a stream.
            stream.delta_ms = timestamp_ms if timestamp_ms <= _TYPE_0_DELTA_MS_MAX else 0
        else:
            # Only an extended delta can be this long, and 24 days is no delta: it is a step back (SRS #2808).
            stream.delta_ms = timestamp_ms - 2**32 if timestamp_ms >= 2**31 else timestamp_ms
            stream.timestamp_ms += stream.delta_ms
        self._start_message(stream)
        return end

    def _continue(self, stream: _ChunkStream, data: bytearray, size: int, offset: int) -> int:
        """Read what may follow the basic header of a type 3 chunk; as ``_read_header``."""
        if stream.extended_field is not None:
            # 5.3.1.3: the field "is present in Type 3 chunks when the most recent Type 0, 1, or 2 chunk for the
            # same chunk stream ID indicated the presence of an extended timestamp field". Some peers leave it
            # out; like SRS, take the bytes for the field only where they repeat it.
            repeated = bytes(data[offset : min(offset + 4, size)])
            if repeated == stream.extended_field:
                offset += 4
            elif len(repeated) < 4 and stream.extended_field.startswith(repeated):
                return offset
        if stream.missing_bytes:
            self._current = stream
            self._chunk_bytes_left = min(stream.missing_bytes, self.chunk_size)
        else:
            stream.timestamp_ms += stream.delta_ms
            self._start_message(stream)
        return offset

    def _open(self, chunk_stream_id: int, chunk_type: int) -> _ChunkStream:
        """Open a chunk stream that begins with a chunk of this type."""
        if chunk_type == 2:
            raise ChunkError(f"chunk stream {chunk_stream_id} begins with a type 2 chunk")
        if len(self._streams) >= self._limits.chunk_streams_max:
            raise ChunkError(f"more than {self._limits.chunk_streams_max} chunk streams", limit="chunk_streams_max")
        # 5.3.1.2.1: a type 0 chunk "MUST be used at the start of a chunk stream". librtmp and GStreamer begin
        # some with type 1, meaning a delta from 0. An absolute timestamp is unwrapped near those of the others:
        # a chunk stream may be new after 49.7 days, too.
        timestamp_ms = 0
        if chunk_type == 0:
            timestamp_ms = max((stream.timestamp_ms for stream in self._streams.values()), default=0)
        stream = self._streams[chunk_stream_id] = _ChunkStream(chunk_stream_id, timestamp_ms)
        return stream

    def _start_message(self, stream: _ChunkStream) -> None:
        """Make the first chunk of a message the current one; its header is in ``stream``."""
        length = stream.length
        self._partial_bytes += length
        if self._partial_bytes > self._limits.held_bytes_max:
            raise ChunkError(
                f"unfinished messages of {self._partial_bytes} bytes, {self._limits.held_bytes_max} allowed",
                limit=self._limits.partial_limit,
            )
        stream.missing_bytes = length
        self._current = stream
        self._chunk_bytes_left = min(length, self.chunk_size)

    def _take_run(self, data: bytearray, size: int, position: int, stream: _ChunkStream, missing: int) -> int:
        """Take many chunks of one message at once.

        In ``data`` from ``position``, one-byte headers stand ``chunk_size + 1`` bytes apart: as many as
        are the right byte are cut out together.

        Returns:
            How many chunks were taken; 0 where fewer than two can be. Never the last of the message.
        """
        stride = self.chunk_size + 1
        count = min((missing - 1) // self.chunk_size, (size - position) // stride, _RUN_CHUNKS_MAX)
        if count < 2:
            return 0
        headers = data[position : position + count * stride : stride]
        run = count - len(headers.lstrip(bytes((stream.continuation,))))
        if run < 2:
            return 0
        chunks = bytearray(data[position : position + run * stride])
        del chunks[::stride]
        _keep(stream.pieces, bytes(chunks))
        return run

    def _complete(self, stream: _ChunkStream, last_piece: bytes) -> Message | FlvTag:
        """Take the whole message out of its chunk stream; of media that is kept it is a tag already."""
        payload = last_piece
        if stream.pieces:
            stream.pieces.append(last_piece)
            payload = b"".join(stream.pieces)
            stream.pieces.clear()
        stream.missing_bytes = 0
        self._partial_bytes -= stream.length
        self._current = None
        if (stream.type_id == _VIDEO or stream.type_id == _AUDIO) and self._limits.keeps_media:
            kept = self._log.append(payload, 0, len(payload), len(payload)) if payload else payload
            return new_tag(stream.type_id, stream.timestamp_ms, kept)
        if stream.type_id in _OBEYED_TYPES:
            self._obey(stream.type_id, payload)
        return new_message(stream.type_id, stream.timestamp_ms, stream.message_stream_id, payload)

    def _obey(self, type_id: int, payload: bytes) -> None:
        """Act on Set Chunk Size (5.4.1) or Abort Message (5.4.2)."""
        if len(payload) < 4:
            raise ChunkError(f"control message of type {type_id} with {len(payload)} bytes")
        value = int.from_bytes(payload[:4], "big")
        if type_id == MessageType.SET_CHUNK_SIZE:
            if not 1 <= value <= CHUNK_SIZE_MAX:
                raise ChunkError(f"chunk size {value}")
            if value < self._limits.chunk_size_min:
                raise ChunkError(
                    f"chunk size {value}, at least {self._limits.chunk_size_min} wanted", limit="chunk_size_min"
                )
            self.chunk_size = value
            return
        aborted = self._streams.get(value)
        if aborted is not None and aborted.missing_bytes:
            aborted.missing_bytes = 0
            aborted.pieces.clear()
            self._partial_bytes -= aborted.length


def _keep(pieces: list[bytes], piece: bytes) -> None:
    """Add to the pieces of a message; short ones are put together, so that every two hold 512 bytes or more."""
    if pieces and len(piece) + len(pieces[-1]) < _SMALL_PIECE_BYTES:
        pieces[-1] += piece
    else:
        pieces.append(piece)


class ChunkWriter:
    """Cuts our messages into chunks.

    A message starts with a type 0 chunk: our answers are few, and a peer that reads nothing else is served too.
    """

    def __init__(self) -> None:
        self.chunk_size = DEFAULT_CHUNK_SIZE
        """Bytes in a chunk of ours, but for the last of a message."""

    def write(self, message: Message, chunk_stream_id: int) -> bytes:
        """Cut a message into chunks.

        Args:
            message: Its timestamp is sent modulo 2**32.
            chunk_stream_id: 2 to 65599.
        """
        payload = bytes(message.payload)
        wire_ms = message.timestamp_ms % 2**32
        extended = wire_ms.to_bytes(4, "big") if wire_ms >= _EXTENDED else b""
        header = (
            _basic_header(0, chunk_stream_id)
            + min(wire_ms, _EXTENDED).to_bytes(3, "big")
            + len(payload).to_bytes(3, "big")
            + bytes((message.type_id,))
            + message.message_stream_id.to_bytes(4, "little")
            + extended
        )
        next_header = _basic_header(3, chunk_stream_id) + extended
        out = [header, payload[: self.chunk_size]]
        for start in range(self.chunk_size, len(payload), self.chunk_size):
            out += next_header, payload[start : start + self.chunk_size]
        return b"".join(out)

    def set_chunk_size(self, chunk_size: int) -> bytes:
        """Say that our chunks hold up to ``chunk_size`` bytes from here on, and cut so."""
        announcement = self.write(set_chunk_size(chunk_size), CONTROL_CHUNK_STREAM_ID)
        self.chunk_size = chunk_size
        return announcement


def _basic_header(chunk_type: int, chunk_stream_id: int) -> bytes:
    """Section 5.3.1.1, in its shortest form."""
    if chunk_stream_id < 64:
        return bytes((chunk_type << 6 | chunk_stream_id,))
    if chunk_stream_id < 320:
        return bytes((chunk_type << 6, chunk_stream_id - 64))
    return bytes((chunk_type << 6 | 1,)) + (chunk_stream_id - 64).to_bytes(2, "little")
