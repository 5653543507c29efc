"""What a publisher may have us make, tried on a whole line: parts, silence and leaps are made of media time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streamd.clock import ManualClock
from streamd.errors import MediaLimitError
from streamd.formats.flv.tag import FlvTag, TagType
from streamd.services.live.line_allowances import (
    LEAPS_AT_ONCE_MAX,
    PART_BYTES_MIN,
    PARTS_AT_ONCE_MAX,
    PARTS_PER_S,
    SHARES_AT_ONCE_MAX,
    SILENT_FRAMES_PER_S,
    LineAllowances,
)
from streamd.services.live.media_line import STRETCH_TAGS
from streamd.services.live.meter import StreamMeter
from tests.support.flv_media import aac_only, h264_aac
from tests.support.ingest import eventually
from tests.support.line_room import (
    AVC_HEADER,
    HOUR_MS,
    LineRoom,
    later,
    limit_of,
    picture,
    video_only,
)

if TYPE_CHECKING:
    pass

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kind")]


class TestMediaTime:
    """Parts and silence are made of media time, which a publisher can have run as fast as they like."""

    async def test_hardly_any_media_to_much_of_its_time_ends_the_stream(self) -> None:
        room = LineRoom()
        video_only(room)
        await room.receive([AVC_HEADER, *(picture(33 * n, is_key=n % 30 == 0) for n in range(150))])
        with pytest.raises(MediaLimitError) as caught:
            room.line.receive([picture(5000 + 1100 * n, is_key=True) for n in range(4000)])
        assert limit_of(caught.value) == "parts_per_second_max"
        assert sum(map(len, room.chunks.values())) < PARTS_AT_ONCE_MAX + 4 * STRETCH_TAGS

    async def test_the_same_in_real_time_goes_on(self) -> None:
        room = LineRoom()
        video_only(room)
        await room.receive([AVC_HEADER, *(picture(33 * n, is_key=n % 30 == 0) for n in range(150))])
        for n in range(2000):
            room.clock.advance(1.1)
            room.line.receive([picture(5000 + 1100 * n, is_key=True)])
        assert len(room.chunks["main"]) > 2000

    async def test_a_file_that_is_sent_at_once_goes_on(self) -> None:
        room = LineRoom()
        media = aac_only(seconds=20)
        await room.receive(media[:50])
        for turn in range(40):
            for start in range(0, len(media), 500):
                tags = later(media[1:][start : start + 500], turn * 20_000)
                room.meter.note_media(tags)
                room.line.receive(tags)
        assert len(room.chunks["main"]) > PARTS_AT_ONCE_MAX

    async def test_leaps_without_end_make_no_more_parts(self) -> None:
        room = LineRoom()
        video_only(room)
        await room.receive([AVC_HEADER, *(picture(33 * n, is_key=n % 30 == 0) for n in range(150))])
        with pytest.raises(MediaLimitError):
            room.line.receive([picture(5000 + HOUR_MS * (n // 2) + 999 * n, is_key=True) for n in range(8000)])
        assert sum(map(len, room.chunks.values())) < PARTS_AT_ONCE_MAX + 4 * STRETCH_TAGS

    async def test_leaps_without_end_are_discontinuities_of_time_that_passes(self) -> None:
        room = LineRoom()
        media = h264_aac(seconds=2)
        await room.receive(media)
        for turn in range(1, 30):
            room.meter.note_media(media)
            room.line.receive(later(media[2:], turn * HOUR_MS))
        assert room.leaps == LEAPS_AT_ONCE_MAX
        room.clock.advance(1)
        room.line.receive(later(media[2:], 31 * HOUR_MS))
        assert room.leaps == LEAPS_AT_ONCE_MAX + 1

    async def test_tracks_of_one_message_are_messages_of_their_own(self) -> None:
        room = LineRoom()
        video_only(room)
        await room.receive([AVC_HEADER, *(picture(33 * n, is_key=n % 30 == 0) for n in range(150))])
        tracks = b"".join(bytes((number, 0, 0, 1)) + b"x" for number in range(8))
        tags = [FlvTag(TagType.AUDIO, 5000 + n, b"\x95\x11mp4a" + tracks) for n in range(SHARES_AT_ONCE_MAX // 8)]
        room.line.receive(tags)
        with pytest.raises(MediaLimitError) as caught:
            room.line.receive(tags[:1])
        assert limit_of(caught.value) == "messages_per_second_max"
        room.clock.advance(1)
        room.line.receive(tags)

    async def test_silence_is_made_of_time_and_not_of_timestamps(self) -> None:
        room = LineRoom()
        sound = FlvTag(TagType.AUDIO, 0, b"\xaf\x01a")
        await room.receive([AVC_HEADER, FlvTag(TagType.AUDIO, 0, b"\xaf\x00\x11\x90"), sound, picture(0, is_key=True)])
        await eventually(lambda: room.epochs)
        room.line.receive([picture(20 * n) for n in range(1, 75)])
        for n in range(300):
            room.line.receive([picture(1500 + 300 * n)])
        silent = sum(tag.tag_type == TagType.AUDIO for tag in room.tags)
        assert silent <= 1_536 + SILENT_FRAMES_PER_S
        assert not room.line.is_silent


class TestAllowances:
    """Alone, without a line."""

    def make(self) -> tuple[ManualClock, StreamMeter, LineAllowances]:
        clock, meter = ManualClock(), StreamMeter()
        return clock, meter, LineAllowances(clock, meter)

    async def test_parts_come_back_with_time_and_with_bytes(self) -> None:
        clock, meter, allowances = self.make()
        allowances.note_parts(PARTS_AT_ONCE_MAX + PARTS_PER_S)
        clock.advance(1)
        allowances.settle_parts(1)
        allowances.note_parts(2)
        meter.media_bytes += 2 * PART_BYTES_MIN
        allowances.settle_parts(1)
        allowances.note_parts(1)
        with pytest.raises(MediaLimitError) as caught:
            allowances.settle_parts(1)
        assert limit_of(caught.value) == "parts_per_second_max"

    async def test_each_rendition_has_parts_of_its_own(self) -> None:
        clock, _, allowances = self.make()
        allowances.note_parts(PARTS_AT_ONCE_MAX + 4 * PARTS_PER_S)
        clock.advance(1)
        allowances.settle_parts(4)

    async def test_a_long_rest_saves_up_no_more_than_may_be_at_once(self) -> None:
        clock, _, allowances = self.make()
        clock.advance(3600)
        allowances.note_parts(PARTS_AT_ONCE_MAX + 1)
        allowances.settle_parts(1)
        allowances.note_parts(PARTS_AT_ONCE_MAX + 1)
        with pytest.raises(MediaLimitError):
            allowances.settle_parts(1)

    async def test_silence_is_given_once(self) -> None:
        clock, _, allowances = self.make()
        now = clock.monotonic()
        assert [allowances.take_silence(now), allowances.take_silence(now)] == [SILENT_FRAMES_PER_S, 0]
        assert allowances.take_silence(now + 0.5) == SILENT_FRAMES_PER_S // 2

    async def test_leaps_and_shares_run_out_and_come_back(self) -> None:
        clock, _, allowances = self.make()
        assert [allowances.take_leap() for _ in range(LEAPS_AT_ONCE_MAX + 1)] == [True] * LEAPS_AT_ONCE_MAX + [False]
        allowances.take_shares(clock.monotonic(), SHARES_AT_ONCE_MAX)
        with pytest.raises(MediaLimitError):
            allowances.take_shares(clock.monotonic(), 1)
        clock.advance(1)
        assert allowances.take_leap()
        allowances.take_shares(clock.monotonic(), SHARES_AT_ONCE_MAX)
