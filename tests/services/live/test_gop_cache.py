from __future__ import annotations

from streamd.services.live.gop_cache import UNIT_BYTES, GopCache, GopLimits


class TestGopCache:
    def test_is_not_whole_before_the_first_keyframe(self) -> None:
        cache = GopCache(GopLimits())
        cache.extend("P", 10)
        assert not cache.is_whole
        assert cache.pending == ["P"]

    def test_a_keyframe_begins_it_anew(self) -> None:
        cache = GopCache(GopLimits())
        cache.restart()
        cache.extend("I", 100)
        cache.settle(b"I")
        cache.extend("P", 10)
        cache.restart()
        assert cache.is_whole
        assert (cache.buffers, cache.pending, cache.payload_bytes) == ([], [], 0)

    def test_what_is_written_takes_the_place_of_what_was_pending(self) -> None:
        cache = GopCache(GopLimits())
        cache.restart()
        cache.extend("I", 100)
        cache.extend("PB", 15)
        assert cache.pending == ["I", "P", "B"]
        cache.settle(b"IPB")
        cache.extend("P", 10)
        cache.settle(b"P")
        assert (cache.buffers, cache.pending, cache.payload_bytes) == ([b"IPB", b"P"], [], 125)

    def test_what_has_no_keyframe_is_not_kept_once_it_is_written(self) -> None:
        cache = GopCache(GopLimits())
        cache.extend("P", 10)
        cache.settle(b"P")
        assert (cache.buffers, cache.pending) == ([], [])

    def test_is_full_by_bytes(self) -> None:
        cache = GopCache(GopLimits(gop_bytes_max=100))
        cache.restart()
        cache.extend("I", 100)
        assert not cache.is_full
        cache.extend("P", 1)
        assert cache.is_full

    def test_is_full_by_units_however_small(self) -> None:
        cache = GopCache(GopLimits(units_max=3))
        cache.restart()
        cache.extend("PP", 0)
        assert not cache.is_full
        cache.extend("P", 0)
        assert cache.is_full

    def test_forgotten_it_keeps_nothing_and_is_whole_only_from_a_keyframe_on(self) -> None:
        cache = GopCache(GopLimits(units_max=1))
        cache.restart()
        cache.extend("I", 100)
        cache.forget()
        assert (cache.is_whole, cache.is_full) == (False, False)
        assert (cache.buffers, cache.pending, cache.payload_bytes) == ([], [], 0)

    def test_what_is_written_is_held_and_of_what_is_pending_the_units(self) -> None:
        cache = GopCache(GopLimits())
        cache.restart()
        cache.extend("I", 100)
        cache.extend("PB", 15)
        assert cache.held_bytes == 3 * UNIT_BYTES
        cache.settle(b"I P B")
        assert cache.held_bytes == cache.written_bytes == 5
        cache.extend("P", 10)
        assert cache.held_bytes == 5 + UNIT_BYTES
        cache.restart()
        assert cache.held_bytes == 0

    def test_what_is_not_kept_is_not_held(self) -> None:
        cache = GopCache(GopLimits())
        cache.extend("P", 10)
        cache.settle(b"P")
        assert cache.held_bytes == 0
