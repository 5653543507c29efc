from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import pytest

from streamd.clock import ManualClock
from streamd.errors import PictureError, PictureWorkerRestsError, PostersBusyError
from streamd.media.packager.presentation import Presentation
from streamd.services.metrics import Metrics
from streamd.services.posters import posters
from streamd.services.posters.posters import (
    DRAWING_MAX,
    RENEW_AFTER_S,
    RETRY_AFTER_S,
    RETRY_AFTER_S_MAX,
    Poster,
    Posters,
)
from tests.support.chunk_feeder import AUDIO, HEADER, VIDEO, ChunkFeeder, feed, start_rendition

if TYPE_CHECKING:
    from streamd.media.packager.rendition import Rendition
    from streamd.services.live.channel import Channel
    from streamd.services.posters.picture_process import PictureProcess


@dataclass(eq=False)
class StandInStream:
    """What posters see of a live stream."""

    name: str = "demo"
    presentation: Presentation | None = None
    feeder: ChunkFeeder = field(default_factory=ChunkFeeder)

    @classmethod
    def with_segments(cls, count: int = 1) -> StandInStream:
        rendition = start_rendition()
        stream = cls(presentation=Presentation([rendition]))
        feed(rendition, stream.feeder, [2] * count)
        return stream

    @property
    def rendition(self) -> Rendition:
        assert self.presentation is not None
        return next(iter(self.presentation.renditions.values()))

    def add_segment(self) -> None:
        feed(self.rendition, self.feeder, [2])


@dataclass
class FakeProcess:
    """Draws what it is given: the picture is the fragment's text."""

    drawn: list[bytes] = field(default_factory=list)
    may_draw: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None
    is_undecodable: bool = False
    is_closed: bool = False

    async def draw(self, cmaf_header: bytes, fragment: bytes) -> bytes | None:
        assert cmaf_header == HEADER
        self.drawn.append(fragment)
        await self.may_draw.wait()
        if self.error is not None:
            raise self.error
        return None if self.is_undecodable else fragment.rstrip(b".")

    async def close(self) -> None:
        self.is_closed = True


@dataclass
class Studio:
    """Posters with what they are made of."""

    clock: ManualClock = field(default_factory=ManualClock)
    metrics: Metrics = field(default_factory=Metrics)
    process: FakeProcess = field(default_factory=FakeProcess)
    posters: Posters = field(init=False)

    def __post_init__(self) -> None:
        self.process.may_draw.set()
        self.posters = Posters(cast("PictureProcess", self.process), self.clock, self.metrics)

    async def find(self, stream: StandInStream) -> Poster | None:
        return await self.posters.find(cast("Channel", stream))

    def count(self, result: str) -> float:
        return self.metrics.registry.get_sample_value("streamd_posters_total", {"result": result}) or 0


def run(use: Callable[[Studio], Awaitable[None]]) -> None:
    async def inside() -> None:
        studio = Studio()
        await use(studio)
        await studio.posters.close()
        assert studio.process.is_closed

    asyncio.run(inside())


class TestAPicture:
    def test_is_of_the_newest_keyframe(self) -> None:
        async def use(studio: Studio) -> None:
            stream = StandInStream.with_segments(3)
            poster = await studio.find(stream)
            assert poster is not None
            # Four parts a segment, of which the first has the keyframe.
            assert poster.jpeg == b"000000008"
            assert studio.count("drawn") == 1

        run(use)

    def test_is_drawn_once_for_all_who_ask(self) -> None:
        async def use(studio: Studio) -> None:
            stream = StandInStream.with_segments()
            studio.process.may_draw.clear()
            asking = [asyncio.create_task(studio.find(stream)) for _ in range(50)]
            await asyncio.sleep(0)
            studio.process.may_draw.set()
            posters = await asyncio.gather(*asking)
            assert len(studio.process.drawn) == 1
            assert len({id(poster) for poster in posters}) == 1
            assert await studio.find(stream) is posters[0]

        run(use)

    def test_comes_to_the_others_when_one_of_them_leaves(self) -> None:
        async def use(studio: Studio) -> None:
            stream = StandInStream.with_segments()
            studio.process.may_draw.clear()
            leaving, staying = (asyncio.create_task(studio.find(stream)) for _ in range(2))
            await asyncio.sleep(0)
            leaving.cancel()
            studio.process.may_draw.set()
            assert await staying is not None

        run(use)

    def test_is_renewed_when_it_is_old_and_there_is_a_newer_segment(self) -> None:
        async def use(studio: Studio) -> None:
            stream = StandInStream.with_segments()
            first = await studio.find(stream)
            stream.add_segment()
            assert await studio.find(stream) is first
            studio.clock.advance(RENEW_AFTER_S)
            second = await studio.find(stream)
            assert second is not None
            assert first is not None
            assert second.etag != first.etag
            studio.clock.advance(RENEW_AFTER_S)
            assert await studio.find(stream) is second
            assert len(studio.process.drawn) == 2

        run(use)

    @pytest.mark.parametrize(
        ("lines", "chosen"), [((1080, 720, 360), 720), ((360, 240), 360), ((2160,), 2160), ((0, 360), 360)]
    )
    def test_is_of_the_smallest_variant_that_is_large_enough(self, lines: tuple[int, ...], chosen: int) -> None:
        async def use(studio: Studio) -> None:
            renditions = []
            for height in lines:
                track = replace(VIDEO, height=height, width=height * 2)
                rendition = start_rendition(tracks=(track,) if height else (AUDIO,), name=f"v{height}")
                feeder = ChunkFeeder(count=height * 1000)
                feed(rendition, feeder, [2])
                renditions.append(rendition)
            poster = await studio.find(StandInStream(presentation=Presentation(renditions)))
            assert poster is not None
            assert int(poster.jpeg) // 1000 == chosen

        run(use)


class TestNoPicture:
    def test_before_there_is_media_and_of_sound_alone(self) -> None:
        async def use(studio: Studio) -> None:
            assert await studio.find(StandInStream()) is None
            sound = start_rendition(tracks=(AUDIO,))
            feed(sound, ChunkFeeder(), [2])
            assert await studio.find(StandInStream(presentation=Presentation([sound]))) is None
            assert await studio.find(StandInStream(presentation=Presentation([start_rendition()]))) is None
            assert studio.process.drawn == []

        run(use)

    @pytest.mark.parametrize("result", ["undecodable", "failed"])
    def test_a_keyframe_that_makes_none_is_not_tried_again_soon(self, result: str) -> None:
        async def use(studio: Studio) -> None:
            stream = StandInStream.with_segments()
            first = await studio.find(stream)
            studio.process.is_undecodable = result == "undecodable"
            studio.process.error = PictureError("it died") if result == "failed" else None
            studio.clock.advance(RENEW_AFTER_S)
            for _ in range(5):
                stream.add_segment()
                # The one before is better than none.
                assert await studio.find(stream) is first
            assert studio.count(result) == 1
            studio.clock.advance(RETRY_AFTER_S)
            await studio.find(stream)
            assert studio.count(result) == 2

        run(use)

    def test_a_stream_that_makes_none_again_and_again_is_asked_ever_more_seldom(self) -> None:
        """Each of its pictures may take the worker for five seconds, in which others wait."""

        async def use(studio: Studio) -> None:
            stream = StandInStream.with_segments()
            studio.process.is_undecodable = True
            await studio.find(stream)
            retry_s = RETRY_AFTER_S
            for drawn in range(2, 12):
                stream.add_segment()
                studio.clock.advance(retry_s - 1)
                await studio.find(stream)
                assert len(studio.process.drawn) == drawn - 1
                studio.clock.advance(1)
                await studio.find(stream)
                assert len(studio.process.drawn) == drawn
                retry_s = min(retry_s * 2, RETRY_AFTER_S_MAX)
            studio.process.is_undecodable = False
            stream.add_segment()
            studio.clock.advance(RETRY_AFTER_S_MAX)
            assert await studio.find(stream) is not None
            stream.add_segment()
            studio.process.is_undecodable = True
            studio.clock.advance(RENEW_AFTER_S)
            assert await studio.find(stream) is not None
            stream.add_segment()
            studio.clock.advance(RETRY_AFTER_S)
            await studio.find(stream)
            assert len(studio.process.drawn) == 14

        run(use)

    def test_a_worker_that_rests_is_no_fault_of_the_keyframe(self) -> None:
        async def use(studio: Studio) -> None:
            stream = StandInStream.with_segments()
            studio.process.error = PictureWorkerRestsError(2.0)
            assert await studio.find(stream) is None
            studio.process.error = None
            studio.clock.advance(1.9)
            assert await studio.find(stream) is None
            studio.clock.advance(0.1)
            # The same keyframe, as soon as there is a worker.
            assert await studio.find(stream) is not None

        run(use)

    def test_more_streams_than_anybody_would_wait_for_are_refused(self) -> None:
        async def use(studio: Studio) -> None:
            known = StandInStream.with_segments()
            poster = await studio.find(known)
            studio.clock.advance(RENEW_AFTER_S)
            known.add_segment()
            studio.process.may_draw.clear()
            asking = [asyncio.create_task(studio.find(StandInStream.with_segments())) for _ in range(DRAWING_MAX)]
            await asyncio.sleep(0)
            with pytest.raises(PostersBusyError):
                await studio.find(StandInStream.with_segments())
            assert await studio.find(known) is poster
            studio.process.may_draw.set()
            assert None not in await asyncio.gather(*asking)
            assert await studio.find(StandInStream.with_segments()) is not None

        run(use)

    def test_nobody_waits_for_long_behind_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def use(studio: Studio) -> None:
            known = StandInStream.with_segments()
            poster = await studio.find(known)
            studio.clock.advance(RENEW_AFTER_S)
            known.add_segment()
            studio.process.may_draw.clear()
            monkeypatch.setattr(posters, "WAIT_S", 0)
            assert await studio.find(known) is poster
            other = StandInStream.with_segments()
            with pytest.raises(PostersBusyError):
                await studio.find(other)
            # It is drawn all the same, for those who ask later.
            studio.process.may_draw.set()
            monkeypatch.setattr(posters, "WAIT_S", 60)
            assert await studio.find(other) is not None
            assert len(studio.process.drawn) == 3

        run(use)

    def test_closing_ends_what_is_being_drawn(self) -> None:
        async def use(studio: Studio) -> None:
            studio.process.may_draw.clear()
            asking = asyncio.create_task(studio.find(StandInStream.with_segments()))
            await asyncio.sleep(0)
            await studio.posters.close()
            with pytest.raises(asyncio.CancelledError):
                await asking

        run(use)


class TestMemory:
    def test_is_that_of_the_pictures(self) -> None:
        async def use(studio: Studio) -> None:
            assert studio.posters.held_bytes == 0
            streams = [StandInStream.with_segments() for _ in range(2)]
            pictures = [await studio.find(stream) for stream in streams]
            sizes = [len(picture.jpeg) for picture in pictures if picture is not None]
            assert studio.posters.held_bytes == 2 * posters.ENTRY_BYTES + sum(sizes)
            streams.pop()
            gc.collect()
            assert studio.posters.held_bytes == posters.ENTRY_BYTES + sizes[0]

        run(use)

    def test_one_keyframe_is_copied_at_a_time(self) -> None:
        """One that waits may be of megabytes, and 64 wait."""

        async def use(studio: Studio) -> None:
            studio.process.may_draw.clear()
            streams = [StandInStream.with_segments() for _ in range(8)]
            finding = [asyncio.create_task(studio.find(stream)) for stream in streams]
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(studio.process.drawn) == 1
            studio.process.may_draw.set()
            assert None not in await asyncio.gather(*finding)
            assert len(studio.process.drawn) == 8

        run(use)

    def test_nothing_is_drawn_of_a_stream_that_ended_before_its_turn(self) -> None:
        async def use(studio: Studio) -> None:
            studio.process.may_draw.clear()
            first, second = StandInStream.with_segments(), StandInStream.with_segments()
            finding = [asyncio.create_task(studio.find(stream)) for stream in (first, second)]
            for _ in range(20):
                await asyncio.sleep(0)
            second.presentation = None
            studio.process.may_draw.set()
            assert [picture is None for picture in await asyncio.gather(*finding)] == [False, True]
            assert (len(studio.process.drawn), studio.count("failed")) == (1, 1)

        run(use)
