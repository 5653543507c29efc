from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.formats import memory
from streamd.formats import payload as payload_module
from streamd.formats.payload import HEAD_BYTES, SLAB_BYTES, Payload, PayloadLog, first_bytes, read_bytes, views


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
