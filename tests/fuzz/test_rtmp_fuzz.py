"""Any bytes give values or events, or the documented error: nothing else, and never out of bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamd.formats.rtmp.connection import ServerConnection
from tests.fuzz.targets import amf0_values, chunks
from tests.fuzz.targets.connection import OPTIONS, feed
from tests.support.captures import NAMES, Capture
from tests.support.rtmp_wire import SIMPLE_HANDSHAKE, chunk, command, control, data, message

CAPTURES = [Capture.load(name).data for name in NAMES]
CHUNKS = st.builds(
    chunk,
    st.integers(0, 3),
    st.sampled_from([2, 3, 4, 63, 64, 65599]),
    st.binary(max_size=200),
    time_ms=st.sampled_from([0, 40, 0xFFFFFE, 0xFFFFFF]),
    length=st.sampled_from([0, 1, 127, 128, 129, 5000, 0xFFFFFF]),
    type_id=st.integers(0, 255),
    extended=st.just(False),
)
NAMES_OF_COMMANDS = st.sampled_from(
    ["connect", "createStream", "publish", "FCPublish", "FCUnpublish", "deleteStream", "play", "_checkbw", "x"]
)
ARGUMENTS = st.one_of(
    st.none(), st.booleans(), st.floats(), st.just("KEY"), st.just({"app": "live"}), st.just({"capsEx": 1e300})
)
MESSAGES = st.one_of(
    CHUNKS,
    st.binary(max_size=40),
    st.builds(
        lambda name, tid, values: command(name, tid, *values),
        NAMES_OF_COMMANDS,
        st.floats(),
        st.lists(ARGUMENTS, max_size=3),
    ),
    st.builds(lambda values: data(*values), st.lists(ARGUMENTS | st.just("onMetaData"), max_size=4)),
    st.builds(message, st.sampled_from([15, 17, 18, 20, 22]), st.binary(max_size=300)),
    st.builds(control, st.integers(1, 6), st.binary(max_size=8)),
)


@given(
    st.lists(
        st.sampled_from(
            [b"\x03", b"\x08", b"\x0a\x00\x00\x00\x02", b"\x11", b"\x09", b"\x00\x01a", b"\x05", b"\x00\x00\x09"]
        )
    )
)
def test_any_nesting_is_amf0_or_an_amf_error(parts: list[bytes]) -> None:
    amf0_values.run(b"".join(parts))


@given(st.lists(CHUNKS | st.binary(max_size=40), max_size=30))
def test_any_chunks_are_messages_or_a_chunk_error(pieces: list[bytes]) -> None:
    chunks.run(b"\x07" + b"".join(pieces))


@given(st.lists(st.binary(max_size=2000), max_size=5))
def test_any_opening_is_a_handshake_or_an_error(pieces: list[bytes]) -> None:
    feed(ServerConnection(nonce=bytes(16)), pieces)


@given(st.lists(MESSAGES, max_size=30))
def test_any_messages_are_events_or_an_error(pieces: list[bytes]) -> None:
    feed(ServerConnection(nonce=bytes(16), options=OPTIONS), [SIMPLE_HANDSHAKE, *pieces])


@given(
    st.sampled_from(CAPTURES),
    st.lists(st.tuples(st.integers(0, 8000), st.integers(0, 255)), max_size=8),
    st.integers(1, 9000),
)
def test_a_real_publish_with_some_bytes_changed_is_events_or_an_error(
    capture: bytes, changes: list[tuple[int, int]], size: int
) -> None:
    changed = bytearray(capture[:12_000])
    for offset, byte in changes:
        changed[3073 + offset] = byte
    raw = bytes(changed)
    feed(
        ServerConnection(nonce=bytes(16)),
        [raw[:3073], *(raw[start : start + size] for start in range(3073, len(raw), size))],
    )
