"""Whatever a peer's chunking, cutting and clock: the same messages come out, at times that never wrap."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

from hypothesis import assume, given
from hypothesis import strategies as st

from streamd.formats.rtmp.chunk import ChunkDecoder, ChunkLimits, ChunkWriter
from streamd.formats.rtmp.message import Message
from streamd.formats.rtmp.timestamp import unwrap
from tests.support.rtmp_wire import as_message, chunk

CHUNK_STREAM_IDS = st.sampled_from([3, 4, 63, 64, 65, 319, 320, 321, 65599])
CHUNK_SIZES = st.sampled_from([1, 2, 3, 127, 128, 129, 511, 512, 513, 4096, 0xFFFFFF, 0x7FFFFFFF])
# Where the 24-bit field, the extended field and the wrap begin and end.
EDGES_MS = st.sampled_from([0, 1, 33, 10_000, 10_001, 0xFFFFFE, 0xFFFFFF, 0x1000000, 2**31 - 1, 2**32 - 1])
# The same, but so small that a dozen of them stay far from the wrap.
STEPS_MS = st.sampled_from([0, 1, 33, 10_001, 0xFFFFFE, 0xFFFFFF, 0x1000000])
LENGTHS = st.one_of(st.integers(0, 20), st.sampled_from([127, 128, 129, 255, 256, 257, 1023, 1024, 3000]))


@dataclass(frozen=True)
class Draft:
    """What a peer wants to send, and the chunk type it would like best."""

    chunk_stream_id: int
    step_ms: int
    length: int
    type_id: int
    chunk_type: int
    repeats_field: bool


class SentChunk(NamedTuple):
    """A chunk on the wire."""

    data: bytes
    payload_bytes: int
    missing: bytes
    """The extended timestamp that belongs into it and that this peer does not repeat."""


class Peer:
    """A peer that uses every chunk type wherever it may."""

    def __init__(self, chunk_size: int) -> None:
        self.chunk_size = chunk_size
        self.messages: dict[int, list[Message]] = {}
        self.chunks: dict[int, list[SentChunk]] = {}
        self._delta_ms: dict[int, int | None] = {}

    def send(self, draft: Draft) -> None:
        messages = self.messages.setdefault(draft.chunk_stream_id, [])
        # What a type 3 chunk means after type 0 is for peers to dispute: none is sent.
        delta_ms = self._delta_ms.get(draft.chunk_stream_id)
        chunk_type = 2 if draft.chunk_type == 3 and delta_ms is None else draft.chunk_type
        step_ms, length, type_id, before_ms = draft.step_ms, draft.length, draft.type_id, 0
        if not messages:
            chunk_type = 0
        else:
            before_ms = messages[-1].timestamp_ms
            if chunk_type >= 2:
                length, type_id = len(messages[-1].payload), messages[-1].type_id
            if chunk_type == 3 and delta_ms is not None:
                step_ms = delta_ms
        self._delta_ms[draft.chunk_stream_id] = step_ms if chunk_type else None
        payload = bytes((length + index * 7) % 256 for index in range(length))
        message = Message(type_id, before_ms + step_ms, 1, payload)
        messages.append(message)
        self._cut(draft, chunk_type, message, step_ms if chunk_type else message.timestamp_ms)

    def _cut(self, draft: Draft, chunk_type: int, message: Message, wire_ms: int) -> None:
        is_extended = wire_ms >= 0xFFFFFF
        pieces = [
            bytes(message.payload)[start : start + self.chunk_size]
            for start in range(0, max(len(message.payload), 1), self.chunk_size)
        ]
        for number, piece in enumerate(pieces):
            has_field = is_extended and (draft.repeats_field or (number == 0 and chunk_type < 3))
            data = chunk(
                3 if number else chunk_type,
                draft.chunk_stream_id,
                piece,
                time_ms=wire_ms,
                length=len(message.payload),
                type_id=message.type_id,
                extended=has_field,
            )
            missing = wire_ms.to_bytes(4, "big") if is_extended and not has_field else b""
            self.chunks.setdefault(draft.chunk_stream_id, []).append(SentChunk(data, len(piece), missing))


@given(
    st.lists(
        st.builds(
            Draft,
            chunk_stream_id=CHUNK_STREAM_IDS,
            step_ms=STEPS_MS,
            length=LENGTHS,
            type_id=st.sampled_from([8, 9, 18]),
            chunk_type=st.integers(0, 3),
            repeats_field=st.booleans(),
        ),
        max_size=12,
    ),
    CHUNK_SIZES,
    st.lists(st.integers(0, 8), max_size=40),
    st.lists(st.integers(0, 5000), max_size=10),
)
def test_any_legal_chunking_interleaving_and_cut_gives_the_messages_back(
    drafts: list[Draft], chunk_size: int, turns: list[int], cuts: list[int]
) -> None:
    peer = Peer(chunk_size)
    for draft in drafts:
        peer.send(draft)

    queues = [deque(chunks) for chunks in peer.chunks.values()]
    in_order = [queues[turn].popleft() for turn in turns if turn < len(queues) and queues[turn]]
    in_order += [each for queue in queues for each in queue]
    # Where peers do not repeat the extended timestamp, a last byte may look like its first: more bytes tell.
    in_order.append(SentChunk(chunk(0, 2, type_id=4), 0, b""))
    data = b"".join(each.data for each in in_order)
    # Unless these are its other bytes: a chunk of one byte, 1, and the 0 0 0 behind it, which begin one of chunk stream
    # 64, cannot be told from the timestamp 0x1000000.
    for each, end in zip(in_order, accumulate(len(each.data) for each in in_order), strict=True):
        assume(not each.missing or not data.startswith(each.missing, end - each.payload_bytes))

    decoder = ChunkDecoder()
    decoder.chunk_size = chunk_size
    received: list[Message] = []
    for start, end in pairwise([0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]):
        received += map(as_message, decoder.receive_data(data[start:end]))
    expected = [message for messages in peer.messages.values() for message in messages]
    assert received.pop().type_id == 4

    def said(message: Message) -> tuple[object, ...]:
        return message.type_id, message.timestamp_ms, message.message_stream_id, bytes(message.payload)

    assert sorted(map(said, received)) == sorted(map(said, expected))


@given(st.lists(st.tuples(CHUNK_STREAM_IDS, EDGES_MS, st.binary(max_size=700)), max_size=10), CHUNK_SIZES)
def test_what_the_writer_cuts_the_decoder_puts_together(
    messages: list[tuple[int, int, bytes]], chunk_size: int
) -> None:
    writer, decoder = ChunkWriter(), ChunkDecoder(ChunkLimits(chunk_size_min=1))
    data = writer.set_chunk_size(chunk_size)
    data += b"".join(
        writer.write(Message(9, time_ms, 1, payload), chunk_stream_id) for chunk_stream_id, time_ms, payload in messages
    )
    received = decoder.receive_data(data)[1:]
    assert [message.payload for message in received] == [payload for _, _, payload in messages]
    assert [message.timestamp_ms % 2**32 for message in received] == [time_ms for _, time_ms, _ in messages]


@given(st.integers(-(2**40), 2**40), st.integers(0, 2**32 - 1))
def test_unwrapping_is_congruent_and_near(previous_ms: int, wire_ms: int) -> None:
    unwrapped_ms = unwrap(previous_ms, wire_ms)
    assert unwrapped_ms % 2**32 == wire_ms
    assert -(2**31) <= unwrapped_ms - previous_ms < 2**31


@given(st.integers(0, 2**31), st.lists(st.integers(-(2**30), 2**30), max_size=30))
def test_a_clock_that_goes_on_and_on_is_followed(start_ms: int, steps_ms: list[int]) -> None:
    true_ms = unwrapped_ms = start_ms
    for step_ms in steps_ms:
        true_ms += step_ms
        unwrapped_ms = unwrap(unwrapped_ms, true_ms % 2**32)
        assert unwrapped_ms == true_ms
