from __future__ import annotations

from typing import NamedTuple

from streamd.live.gop_cache import GopCache, GopLimits


class Unit(NamedTuple):
    name: str
    payload: bytes


def unit(name: str, payload_bytes: int) -> Unit:
    return Unit(name, bytes(payload_bytes))


def names(units: list[Unit]) -> str:
    return "".join(each.name for each in units)


class TestGopCache:
    def test_is_not_whole_before_the_first_keyframe(self) -> None:
        cache: GopCache[Unit] = GopCache(GopLimits())
        cache.add(unit("P", 10))
        assert not cache.is_whole
        assert names(cache.pending) == "P"

    def test_a_keyframe_begins_it_anew(self) -> None:
        cache: GopCache[Unit] = GopCache(GopLimits())
        cache.restart()
        cache.add(unit("I", 100))
        cache.settle(b"I")
        cache.add(unit("P", 10))
        cache.restart()
        assert cache.is_whole
        assert (cache.buffers, cache.pending, cache.payload_bytes) == ([], [], 0)

    def test_what_is_written_takes_the_place_of_what_was_pending(self) -> None:
        cache: GopCache[Unit] = GopCache(GopLimits())
        cache.restart()
        cache.add(unit("I", 100))
        cache.add(unit("P", 10))
        cache.settle(b"IP")
        cache.add(unit("P", 10))
        cache.settle(b"P")
        assert (cache.buffers, cache.pending, cache.payload_bytes) == ([b"IP", b"P"], [], 120)

    def test_what_has_no_keyframe_is_not_kept_once_it_is_written(self) -> None:
        cache: GopCache[Unit] = GopCache(GopLimits())
        cache.add(unit("P", 10))
        cache.settle(b"P")
        assert (cache.buffers, cache.pending) == ([], [])

    def test_is_full_by_bytes(self) -> None:
        cache: GopCache[Unit] = GopCache(GopLimits(payload_bytes_max=100))
        cache.restart()
        cache.add(unit("I", 100))
        assert not cache.is_full
        cache.add(unit("P", 1))
        assert cache.is_full

    def test_is_full_by_units_however_small(self) -> None:
        cache: GopCache[Unit] = GopCache(GopLimits(units_max=3))
        cache.restart()
        for _ in range(3):
            assert not cache.is_full
            cache.add(unit("P", 0))
        assert cache.is_full

    def test_many_units_are_taken_as_one_after_the_other(self) -> None:
        one, many = GopCache[Unit](GopLimits(units_max=3)), GopCache[Unit](GopLimits(units_max=3))
        units = [unit("I", 100), unit("P", 10), unit("P", 0)]
        many.restart()
        many.extend(units)
        one.restart()
        for each in units:
            one.add(each)
        assert many.is_full
        assert one.is_full
        assert (many.pending, many.payload_bytes) == (one.pending, one.payload_bytes) == (units, 110)

    def test_forgotten_it_keeps_nothing_and_is_whole_only_from_a_keyframe_on(self) -> None:
        cache: GopCache[Unit] = GopCache(GopLimits(units_max=1))
        cache.restart()
        cache.add(unit("I", 100))
        cache.forget()
        assert not cache.is_whole
        assert not cache.is_full
        assert (cache.buffers, cache.pending, cache.payload_bytes) == ([], [], 0)
