from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.formats import memory
from streamd.formats import payload as payload_module
from streamd.formats.payload import (
    HEAD_BYTES,
    SLAB_BYTES,
    Payload,
    PayloadLog,
    first_bytes,
    kept_bytes,
    let_go_of_kept,
    read_bytes,
    read_unit,
    views,
)


def chunked(payload: bytes, chunk_size: int) -> bytes:
    """The payload as it comes: with a header of one byte before each chunk but the first."""
    return b"\xc4".join(payload[start : start + chunk_size] for start in range(0, len(payload), chunk_size))


def numbered(size: int, seed: int = 0) -> bytes:
    return bytes((seed + number * 7 + number // 251) % 256 for number in range(size))


class TestPayload:
    @pytest.mark.parametrize("size", [1, HEAD_BYTES - 1, HEAD_BYTES, 5000])
    def test_is_like_the_bytes_that_were_put_in(self, size: int) -> None:
        data = numbered(size)
        payload = PayloadLog().append(data, 0, size, size)
        assert payload == data
        assert data == payload
        assert bytes(payload) == data
        assert len(payload) == size
        assert payload.head() == data[:HEAD_BYTES]

    @pytest.mark.parametrize("size", [1, 100, SLAB_BYTES, 3 * SLAB_BYTES + 5])
    def test_gives_a_copy_of_as_much_as_lies_together(self, size: int) -> None:
        log = PayloadLog()
        log.append(bytes(10), 0, 10, 10)
        data = numbered(size)
        payload = log.append(data, 0, size, size)
        slab_ends = [end for end in (SLAB_BYTES - 10, 2 * SLAB_BYTES - 10, 3 * SLAB_BYTES - 10) if end < size]
        for start in {0, 1, size // 2, size - 1, *slab_ends, *(end - 1 for end in slab_ends)} - {size}:
            end = next((end for end in slab_ends if end > start), size)
            assert payload.piece(start, size) == data[start:end]
            assert payload.piece(start, 7) == data[start : min(end, start + 7)]

    def test_differs_from_other_bytes_and_from_other_things(self) -> None:
        log = PayloadLog()
        payload = log.append(b"abc", 0, 3, 3)
        assert payload == log.append(b"abc", 0, 3, 3)
        assert payload != log.append(b"abd", 0, 3, 3)
        assert payload != b"ab"
        assert payload != "abc"

    def test_does_not_show_what_it_holds(self) -> None:
        assert repr(PayloadLog().append(b"secret", 0, 6, 6)) == "Payload(6 bytes)"


class TestLog:
    @given(
        st.lists(st.integers(1, 3 * SLAB_BYTES), min_size=1, max_size=6),
        st.sampled_from([513, 4096, 65_536, 10_000_000]),
        st.integers(0, 20),
        st.integers(0, 3 * SLAB_BYTES),
    )
    def test_what_goes_in_stays_wherever_slabs_end(
        self, sizes: list[int], chunk_size: int, before: int, start: int
    ) -> None:
        log = PayloadLog()
        payloads: list[tuple[bytes, Payload]] = []
        for seed, size in enumerate(sizes):
            data = numbered(size, seed)
            source = bytearray(bytes(before) + chunked(data, chunk_size))
            payloads.append((data, log.append(source, before, size, chunk_size)))
            source[:] = bytes(len(source))
        for data, payload in payloads:
            assert bytes(payload) == data
            assert payload.head() == data[:HEAD_BYTES]
            assert b"".join(payload.views(start)) == data[start:]

    def test_nothing_is_left_unused_between_payloads(self) -> None:
        log = PayloadLog()
        views_of = [log.append(bytes(size), 0, size, size).views(0) for size in (1000, SLAB_BYTES, 3 * SLAB_BYTES, 24)]
        slabs = {id(view.obj) for each in views_of for view in each}
        assert sum(len(view) for each in views_of for view in each) == 4 * SLAB_BYTES + 1024
        assert len(slabs) == 5


class TestHeldBytes:
    def test_a_slab_counts_until_nothing_in_it_is_wanted(self) -> None:
        log = PayloadLog()
        assert log.held_bytes == 0
        kept = [log.append(bytes(100), 0, 100, 100)]
        assert log.held_bytes == SLAB_BYTES
        kept += [log.append(bytes(SLAB_BYTES), 0, SLAB_BYTES, SLAB_BYTES) for _ in range(3)]
        assert log.held_bytes == 4 * SLAB_BYTES
        del kept[1:3]
        assert log.held_bytes == 3 * SLAB_BYTES
        kept.clear()
        # The one that the next payload goes into.
        assert log.held_bytes == SLAB_BYTES

    def test_what_is_kept_of_every_slab_holds_little_beside_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(payload_module, "SHARED_BYTES_MAX", 4 * SLAB_BYTES)
        log = PayloadLog()
        kept: list[tuple[bytes, Payload]] = []
        for number in range(1000):
            log.append(bytes(SLAB_BYTES - 100), 0, SLAB_BYTES - 100, SLAB_BYTES)
            data = numbered(100, number)
            kept.append((data, log.append(data, 0, 100, 100)))
        assert log.held_bytes < 5 * SLAB_BYTES + 1000 * 100
        assert all(payload == data for data, payload in kept)


class TestWhateverHoldsThem:
    def test_the_first_bytes_are_at_hand(self) -> None:
        data = numbered(100)
        assert first_bytes(data) == first_bytes(PayloadLog().append(data, 0, 100, 100)) == data[:HEAD_BYTES]

    @pytest.mark.parametrize("start", [0, 1, 99, 100])
    def test_they_are_shown_from_an_offset_on(self, start: int) -> None:
        data = numbered(100)
        assert b"".join(views(data, start)) == data[start:]
        assert b"".join(views(PayloadLog().append(data, 0, 100, 100), start)) == data[start:]


class TestOctets:
    def test_bytes_are_copied_to_their_place(self) -> None:
        target = bytearray(b"........")
        memory.copy(target, 2, bytearray(b"abcdef"), 1, 3)
        memory.copy(target, 6, b"xyz", 1, 2)
        assert target == b"..bcd.yz"

    def test_a_cut_is_a_copy(self) -> None:
        source = bytearray(b"abcdef")
        cut = memory.cut(source, 2, 3)
        source[2] = 0
        assert cut == b"cde"

    def test_a_slab_has_the_size_that_was_asked_for(self) -> None:
        assert len(memory.new_slab(SLAB_BYTES)) == SLAB_BYTES


class TestReadBytes:
    def test_of_both_kinds_and_over_slabs(self) -> None:
        log = PayloadLog()
        log.append(bytes(10), 0, 10, 10)
        data = numbered(2 * SLAB_BYTES)
        payload = log.append(data, 0, len(data), len(data))
        for start in (0, SLAB_BYTES - 12, SLAB_BYTES - 10, 2 * SLAB_BYTES - 3, 2 * SLAB_BYTES, 3 * SLAB_BYTES):
            for size in (0, 1, 5, SLAB_BYTES + 7):
                assert read_bytes(payload, start, size) == data[start : start + size]
                assert read_bytes(data, start, size) == data[start : start + size]


class TestBeginning:
    """What the gate asks of each frame, wherever it lies."""

    @staticmethod
    def placed(data: bytes, before_end: int) -> Payload:
        """A payload of which so many bytes lie in one slab, and the rest in the next."""
        log = PayloadLog()
        log.append(bytes(SLAB_BYTES), 0, SLAB_BYTES - before_end, SLAB_BYTES)
        return log.append(data, 0, len(data), len(data))

    @pytest.mark.parametrize("before_end", [1, 2, 4, 5, HEAD_BYTES, 100])
    def test_it_is_compared(self, before_end: int) -> None:
        data = numbered(50)
        payload = self.placed(data, before_end)
        for size in range(HEAD_BYTES + 1):
            assert payload.starts_with(data[:size])
        for size in range(1, HEAD_BYTES + 1):
            assert not payload.starts_with(data[: size - 1] + bytes((data[size - 1] ^ 1,)))

    def test_what_is_longer_is_no_beginning(self) -> None:
        assert not self.placed(b"ab", 2).starts_with(b"abc")
        assert not self.placed(b"ab", 1).starts_with(b"abc")

    @pytest.mark.parametrize("before_end", [1, 2, 3, 4, 5, HEAD_BYTES, 100])
    def test_three_of_its_bytes_are_a_number(self, before_end: int) -> None:
        data = numbered(50, seed=200)
        payload = self.placed(data, before_end)
        for at in range(HEAD_BYTES - 2):
            assert payload.read_u24(at) == int.from_bytes(data[at : at + 3], "big")

    def test_bytes_that_are_not_there_are_no_number(self) -> None:
        payload = self.placed(b"abcd", 100)
        assert payload.read_u24(1) == 0x626364
        with pytest.raises(IndexError):
            payload.read_u24(2)


class TestReadUnit:
    @pytest.mark.parametrize("length_bytes", [1, 2, 3, 4])
    def test_length_and_first_byte_of_both_kinds(self, length_bytes: int) -> None:
        unit = (200).to_bytes(length_bytes, "big") + b"\x65" + bytes(199)
        log = PayloadLog()
        log.append(bytes(SLAB_BYTES), 0, SLAB_BYTES - 2, SLAB_BYTES)
        for payload in (unit, log.append(unit, 0, len(unit), len(unit))):
            assert read_unit(payload, 0, length_bytes) == 200 << 8 | 0x65

    def test_the_longest(self) -> None:
        assert read_unit(b"\xff\xff\xff\xff\xff", 0, 4) == 0xFFFFFFFF << 8 | 0xFF

    @pytest.mark.parametrize("data", [b"", b"\0\0\0\x05", b"\0\0\0\0e"])
    def test_none_where_it_is_empty_or_cut_off(self, data: bytes) -> None:
        assert read_unit(data, 0, 4) == 0


class TestFreedSlabs:
    def test_bytes_that_are_shown_somewhere_stay_when_their_slab_is_free(self) -> None:
        log = PayloadLog()
        data = numbered(SLAB_BYTES)
        (view,) = log.append(data, 0, len(data), len(data)).views(0)
        others = [log.append(bytes(SLAB_BYTES), 0, SLAB_BYTES, SLAB_BYTES) for _ in range(4)]
        assert bytes(view) == data
        assert all(bytes(other) == bytes(SLAB_BYTES) for other in others)

    def test_what_comes_next_is_what_was_put_in(self) -> None:
        log = PayloadLog()
        for seed in range(5):
            kept = [log.append(numbered(SLAB_BYTES, seed), 0, SLAB_BYTES, SLAB_BYTES) for _ in range(3)]
            assert all(bytes(payload) == numbered(SLAB_BYTES, seed) for payload in kept)
            assert len({id(payload) for payload in kept}) == 3
            del kept
        assert log.held_bytes == SLAB_BYTES

    def test_are_counted_until_they_are_let_go_of(self) -> None:
        log = PayloadLog()
        let_go_of_kept()
        payloads = [log.append(bytes(SLAB_BYTES), 0, SLAB_BYTES, SLAB_BYTES) for _ in range(3)]
        assert kept_bytes() == 0
        # The last one stays with the log.
        payloads.clear()
        is_compiled = not str(payload_module.__file__).endswith(".py")
        assert kept_bytes() == (2 * SLAB_BYTES if is_compiled else 0)
        let_go_of_kept()
        assert kept_bytes() == 0
