"""The memory of a publisher's media, from the read to its last use.

Media is written once into slabs, one after the other, and stays there: messages, packets, samples and parts all name
places in them. A slab is freed when nothing in it is used any more. All slabs have one size, so the heap has room for
the next where the last one was; a separate allocation for each payload would leave holes of all sizes.
"""

from __future__ import annotations

from streamd.formats import memory

# Of a stream at 2.5 Mb/s, a fifth of a second; the last one is half empty on average. Under the size from which the C
# library asks the kernel for each piece, and gives it back (mallopt(3), M_MMAP_THRESHOLD: 128 KiB).
SLAB_BYTES = 64 * 1024
# How much of one publisher's media may lie in slabs that payloads share: the window of 12 Mb/s. Beyond it, each payload
# has memory of its own. A publisher whose media is nearly all dropped, with a little kept of each slab, therefore holds
# no more than this beside the memory that is counted where media is kept.
SHARED_BYTES_MAX = 64 * 1024 * 1024
# Bytes of its start that are at hand: more than any header of a tag takes (``streamd.formats.flv.frame``).
HEAD_BYTES = 16

# The same for each payload: compiled, they are integers of C.
_SLAB_BYTES = SLAB_BYTES
_HEAD_BYTES = HEAD_BYTES


class _Held:
    """A publisher's media in memory, bytes."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0


class _Slab:
    """Memory of payloads, counted for as long as one of them is used; made by ``_new_slab``."""

    __slots__ = ("_held", "data", "size")

    data: bytearray
    size: int
    _held: _Held

    def __del__(self) -> None:
        self._held.size -= self.size
        if self.size == _SLAB_BYTES:
            memory.give_back(self.data)


def kept_bytes() -> int:
    """Return how many bytes of slabs the process keeps for the next ones, of any publisher: 8 MiB at most."""
    return memory.kept_bytes()


def let_go_of_kept() -> None:
    """Free the slabs that are kept: memory is short."""
    memory.let_go()


def _new_slab(size: int, held: _Held) -> _Slab:
    """Make a slab; compiled, it takes less than a call of the class."""
    slab = _Slab.__new__(_Slab)
    slab.data = memory.new_slab(size)
    slab.size = size
    slab._held = held
    held.size += size
    memory.untrack(slab)
    return slab


class Payload:
    """The payload of one message, in one slab or over several. It is not changed.

    It has a length, it equals the same bytes, and ``bytes`` makes a copy.

    Args:
        slab: Where it begins.
        start: Offset in it.
        size: Of all of it, bytes.
        rest: The parts of it in other slabs.
    """

    __slots__ = ("_rest", "_size", "_slab", "_start")

    def __init__(self, slab: _Slab, start: int, size: int, rest: Payload | None = None) -> None:
        self._slab = slab
        self._start = start
        self._size = size
        self._rest = rest

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return b"".join(self.views(0))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (bytes, Payload)) and bytes(self) == bytes(other)

    def __repr__(self) -> str:
        return f"Payload({self._size} bytes)"

    def head(self) -> bytes:
        """Return its first bytes, at most ``HEAD_BYTES``."""
        size = min(self._size, _HEAD_BYTES)
        if self._start + size <= self._slab.size:
            return memory.cut(self._slab.data, self._start, size)
        return bytes(self)[:size]

    def starts_with(self, first: bytes) -> bool:
        """Whether it begins with these bytes, at most ``HEAD_BYTES``."""
        size = len(first)
        if size > self._size:
            return False
        if self._start + size <= self._slab.size:
            return memory.starts_with(self._slab.data, self._start, first) != 0
        return self.head().startswith(first)

    def read_u24(self, at: int) -> int:
        """Read the number of three of its bytes, the highest first.

        Args:
            at: Offset of the first of them, before ``HEAD_BYTES - 2``.

        Raises:
            IndexError: They are not all there.
        """
        if at + 3 > self._size:
            raise IndexError("beyond the end of the payload")
        if self._start + at + 3 <= self._slab.size:
            return memory.read_u24(self._slab.data, self._start + at)
        return int.from_bytes(self.head()[at : at + 3], "big")

    def piece(self, start: int, size: int) -> bytes:
        """Return a copy of its bytes from an offset on: ``size`` of them, or those up to the end of one slab.

        Args:
            start: Offset of the first one, before its end.
            size: At most so many.
        """
        payload, at = self, start
        while (in_slab := min(payload._size, payload._slab.size - payload._start)) <= at:
            at -= in_slab
            assert payload._rest is not None, "no byte is beyond the end"
            payload = payload._rest
        return memory.cut(payload._slab.data, payload._start + at, min(size, in_slab - at))

    def views(self, start: int) -> list[memoryview]:
        """Show its bytes from an offset on, piece by piece."""
        views: list[memoryview] = []
        payload: Payload | None = self
        while payload is not None:
            view = memoryview(payload._slab.data)[payload._start : payload._start + payload._size]
            if start < len(view):
                views.append(view[start:] if start else view)
            start = max(0, start - len(view))
            payload = payload._rest
        return views


def views(payload: bytes | Payload, start: int = 0) -> list[memoryview]:
    """Show the bytes of a payload of any kind.

    Args:
        payload: All of it.
        start: Offset of the first byte to show.
    """
    if isinstance(payload, Payload):
        return payload.views(start)
    return [memoryview(payload)[start:]]


def first_bytes(payload: bytes | Payload) -> bytes:
    """Return the first bytes of a payload of any kind, at most ``HEAD_BYTES``."""
    return payload.head() if isinstance(payload, Payload) else bytes(payload[:HEAD_BYTES])


def read_bytes(payload: bytes | Payload, start: int, size: int) -> bytes:
    """Return a copy of so many bytes of a payload of any kind from an offset on; fewer at its end."""
    if not isinstance(payload, Payload):
        return bytes(payload[start : start + size])
    if start >= len(payload):
        return b""
    data = payload.piece(start, size)
    while len(data) < size and start + len(data) < len(payload):
        data += payload.piece(start + len(data), size - len(data))
    return data


def read_unit(payload: bytes | Payload, at: int, length_bytes: int) -> int:
    """Read the length of a unit that stands before it, and its first byte.

    Args:
        payload: Of any kind.
        at: Offset of the length.
        length_bytes: Of the length, 1 to 4.

    Returns:
        The first byte, with the length above its eight bits; 0 where the unit is empty or its first byte is not there.
    """
    head = read_bytes(payload, at, length_bytes + 1)
    if len(head) <= length_bytes:
        return 0
    size = 0
    for index in range(length_bytes):
        size = size << 8 | head[index]
    return size << 8 | head[length_bytes] if size else 0


class PayloadLog:
    """The slabs of one publisher."""

    def __init__(self) -> None:
        self._held = _Held()
        self._shared_bytes_max = SHARED_BYTES_MAX
        # Empty before the first payload: an idle connection holds no slab.
        self._slab = _new_slab(0, self._held)
        self._used = 0

    @property
    def held_bytes(self) -> int:
        """Memory of its slabs: the payloads in use, and the bytes beside them."""
        return self._held.size

    def append(self, source: bytes | bytearray, start: int, size: int, chunk_size: int) -> Payload:
        """Put a payload in, out of the chunks that it came in.

        Args:
            source: Buffer with the chunks one after the other, a header of one byte before each but the first.
            start: Where the first one's payload begins.
            size: Bytes of the whole payload.
            chunk_size: Of each chunk but the last.
        """
        if self._held.size >= self._shared_bytes_max:
            self._slab, self._used = _new_slab(size, self._held), 0
        slab, at = self._slab, self._used
        if at == slab.size:
            slab, at = _new_slab(_SLAB_BYTES, self._held), 0
        begin = at
        full: list[tuple[_Slab, int]] | None = None
        missing, chunk_left = size, chunk_size
        while True:
            count = min(missing, chunk_left, slab.size - at)
            memory.copy(slab.data, at, source, start, count)
            at += count
            start += count
            missing -= count
            chunk_left -= count
            if not missing:
                break
            if not chunk_left:
                start += 1
                chunk_left = chunk_size
            if at == slab.size:
                full = full or []
                full.append((slab, begin))
                slab, at, begin = _new_slab(_SLAB_BYTES, self._held), 0, 0
        self._slab, self._used = slab, at
        return _place(slab, begin, size, None) if full is None else _chain(full, slab, at)


def _place(slab: _Slab, start: int, size: int, rest: Payload | None) -> Payload:
    payload = Payload.__new__(Payload)
    payload._slab = slab
    payload._start = start
    payload._size = size
    payload._rest = rest
    memory.untrack(payload)
    return payload


def _chain(full: list[tuple[_Slab, int]], slab: _Slab, last_bytes: int) -> Payload:
    """Make the payload that fills slabs to their ends, and lies in one more up to ``last_bytes``."""
    payload = _place(slab, 0, last_bytes, None)
    for each, start in reversed(full):
        payload = _place(each, start, each.size - start + len(payload), payload)
    return payload
