"""What the slowest known inputs of every parser cost for a byte, counted in lines of Python: the same on every machine.

They were found by ``python -m tests.fuzz --time``, or thought of: the ways in which a byte has asked for much.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from streamd.formats.rtmp import chunk as chunk_stream
from tests.fuzz.parsers import PARSERS, Parser
from tests.fuzz.timing import BYTES_MIN, FOLDER, Search, short_inputs, slowest, work
from tests.support.rtmp_wire import chunk, command, control, data, message

if TYPE_CHECKING:
    from collections.abc import Iterator

is_compiled = not chunk_stream.__file__.endswith(".py")
pytestmark = pytest.mark.skipif(is_compiled, reason="what is compiled has no lines to count")

ON_METADATA = b"\x02\x00\x0aonMetaData"
PUBLISH = b"\x02\x00\x07publish\x00" + bytes(8)
# An AMF3 object of 3,500 sealed names, all but the first a reference of one byte to it.
TRAITS = b"\x0a\x83\xb5\x43\x01\x03a" + bytes(3499)
# What each may be made to do for a read of 256 kB, or for the longest that it takes: 50 ms of Python.
LINES_PER_STEP_MAX = 1_000_000
READ_BYTES = 256 * 1024
# What a call may cost beside its bytes: 30 us of Python.
LINES_PER_CALL_MAX = 1000


def tags(count: int, type_id: int = 8, body: bytes = b"") -> bytes:
    """So many tags, as an aggregate has them."""
    size = len(body).to_bytes(3, "big")
    return (bytes((type_id,)) + size + bytes(7) + body + (11 + len(body)).to_bytes(4, "big")) * count


LARGE_CHUNKS = control(1, (1 << 24).to_bytes(4, "big"))
FLOODS = {
    "messages of nothing": chunk(0, 4) + b"\xc4" * 5000,
    "messages of a byte": chunk(0, 4, b"a", type_id=8) + b"\xc4a" * 5000,
    "frames of a byte": chunk(0, 4, b"a", type_id=8) + chunk(1, 4, b"a", type_id=8) * 5000,
    "types that nobody has": b"".join(message(23 + number % 200, b"x") for number in range(5000)),
    "chunk sizes": control(1, (128).to_bytes(4, "big")) * 5000,
    "aborts": control(2, (4).to_bytes(4, "big")) * 5000,
    "acknowledgements": control(3, bytes(4)) * 5000,
    "pings": control(4, b"\0\6\0\0\0\1") * 5000,
    "windows": control(5, b"\0\0\0\1") * 5000,
    "bandwidths": control(6, bytes(5)) * 5000,
    "control messages cut short": control(5, b"") * 5000,
    "streams created": command("createStream", 4, None) * 5000,
    "commands that nobody has": command("x", 4) * 5000,
    "commands of nothing": chunk(0, 4, type_id=20) + b"\xc4" * 5000,
    "data of nothing": chunk(0, 4, type_id=15) + b"\xc4" * 5000,
    "control messages of nothing": chunk(0, 4, type_id=6) + b"\xc4" * 5000,
    "commands without a name": message(20, b"") * 5000,
    "metadata of nothing": data("onMetaData", {}) * 5000,
    "metadata that is none": message(18, ON_METADATA + b"\xff") * 5000,
    "metadata of nulls": message(18, ON_METADATA + b"\x05" * 4000) * 60,
    "metadata of names by reference": message(18, ON_METADATA + b"\x11" + TRAITS) * 60,
    "nested metadata": message(18, ON_METADATA + b"\x0a\0\0\0\1" * 40) * 1200,
    "other data": message(18, b"x") * 5000,
    "an aggregate of empty tags": LARGE_CHUNKS + message(22, tags(4000), chunk_size=1 << 24),
    "aggregates of too many": LARGE_CHUNKS + message(22, tags(4100), chunk_size=1 << 24) * 4,
    "aggregates that are cut short": LARGE_CHUNKS + message(22, tags(1)[:-5], chunk_size=1 << 24) * 5000,
    "aggregates of metadata": LARGE_CHUNKS + message(22, tags(4000, 18, ON_METADATA), chunk_size=1 << 24),
    "chunk streams in turn": b"".join(chunk(0, number % 60 + 4) for number in range(5000)),
    "extended times": chunk(0, 4, time_ms=1 << 24) + b"\xc4\1\0\0\0" * 5000,
    "goodbyes": command("deleteStream", 7, None, 1.0) * 5000,
    "goodbyes, and another publish": (command("FCUnpublish", 7) + command("publish", 8, None, "k")) * 5000,
    "one long message in small chunks": chunk(0, 4, bytes(128), length=1 << 20) + (b"\xc4" + bytes(128)) * 2000,
    "many long messages in small chunks": b"".join(chunk(0, n, bytes(128), length=1 << 17) for n in range(4, 40))
    + b"".join(chunk(3, n, bytes(128)) for n in range(4, 40)) * 60,
}


def kept() -> Iterator[tuple[Parser, int, bytes]]:
    for name, parser in PARSERS.items():
        for number, each in enumerate(slowest(name)):
            yield parser, number, each


@pytest.mark.parametrize(
    ("parser", "said"), [pytest.param(parser, each, id=f"{parser.name}-{number}") for parser, number, each in kept()]
)
def test_the_slowest_inputs_that_are_known_take_little_for_a_byte(parser: Parser, said: bytes) -> None:
    assert len(said) >= BYTES_MIN
    assert work(parser, said) / len(said) <= parser.lines_per_byte_max


@pytest.mark.parametrize("name", PARSERS)
def test_a_call_costs_little_however_short_what_it_is_given(name: str) -> None:
    parser = PARSERS[name]
    for said in short_inputs(parser):
        assert work(parser, said) <= LINES_PER_CALL_MAX + parser.lines_per_byte_max * len(said)


def test_every_parser_has_its_slowest_inputs_kept() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == PARSERS.keys()


@pytest.mark.parametrize("name", ["stranger", "publisher"])
@pytest.mark.parametrize("flood", FLOODS)
def test_a_read_full_of_messages_is_a_short_step(name: str, flood: str) -> None:
    said = FLOODS[flood][:READ_BYTES]
    assert work(PARSERS[name], said) <= LINES_PER_STEP_MAX / (1 if name == "publisher" else 10)


@pytest.mark.parametrize("repeats", [1, 16])
@pytest.mark.parametrize(
    "values",
    [
        b"\x05" * 4000,
        b"\x11\x01" * 2000,
        b"\x11" + TRAITS,
        b"\x0a\0\0\0\0" * 800,
        b"\x03" + b"\0\0\5" * 1300 + b"\0\0\x09",
        b"\x11\x09\x01" + b"\x03a\x01" + b"\x00\x01" * 2000,
    ],
)
@pytest.mark.parametrize("head", [ON_METADATA, PUBLISH])
def test_values_are_paid_for_by_the_bytes_that_come(head: bytes, values: bytes, repeats: int) -> None:
    """However they are cut into messages, and in however many reads they come."""
    type_id = 18 if head is ON_METADATA else 20
    said = message(type_id, head + values, message_stream_id=1) * repeats
    lines = work(PARSERS["publisher"], said)
    # What there is at first, and then an eighth of a value for each byte.
    assert lines <= 25 * (4096 + len(said) / 8)


class TestSearch:
    def test_finds_its_way_to_what_is_slow(self) -> None:
        """What costs is one byte: the walk ends where it is most of the input, without a look inside."""
        parser = Parser("one byte", lambda: len, lambda: [bytes(64) + b"\x42" + bytes(191)])
        search = Search(parser, cost=lambda _, said: said.count(0x42))
        search.run(2000, seconds=60)
        slowest_first = [score for score, _ in search.pool]
        assert slowest_first == sorted(slowest_first, reverse=True)
        assert slowest_first[0] > 0.5
        assert all(BYTES_MIN <= len(said) <= 1024 for _, said in search.pool)

    def test_work_is_the_same_each_time(self) -> None:
        said = FLOODS["pings"][:500] + random.Random(1).randbytes(300)
        assert len({work(PARSERS["publisher"], said) for _ in range(3)}) == 1
        assert work(PARSERS["publisher"], said) > 100
