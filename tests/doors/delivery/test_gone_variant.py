"""Requests that wait for more of a variant which the publisher sends no more: they are answered at once."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from streamd.doors.delivery.answer import Answer, MediaRequest
from streamd.doors.delivery.channels import PublicChannels
from streamd.doors.delivery.lookup import Blocked, MediaLookup
from streamd.doors.delivery.media_path import parse_media_path
from streamd.services.keys.admission import Admission
from streamd.services.live.publisher import EndReason
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.ingest import IngestRoom, eventually, presentation_of, settle
from tests.support.line_room import later
from tests.support.stand_in_publisher import StandInPublisher

if TYPE_CHECKING:
    from streamd.media.packager.rendition import Rendition
    from streamd.services.live.live_stream import LiveStream

pytestmark = pytest.mark.asyncio

LADDER = encoded((VideoTrack(), VideoTrack("libx264", 160, 96)), (AudioTrack(),))
ALONE = encoded((VideoTrack(),), (AudioTrack(),))
WAITS = ["playlist", "part", "segment"]


class House:
    """A stream with two variants, and what viewers ask of it."""

    def __init__(self) -> None:
        self.room = IngestRoom()
        self.lookup = MediaLookup(PublicChannels(self.room.registry, lambda _: False))
        self.publisher = StandInPublisher()

    async def begin(self) -> LiveStream:
        stream = await self.room.begin(Admission("key", "alice"), self.publisher)
        stream.receive_tags(LADDER)
        await eventually(lambda: stream.is_playable and not stream.when_open(lambda: None))
        return stream

    def ask(self, resource: str, query: str = "") -> Answer | Blocked:
        path = parse_media_path(f"/live/alice/{resource}")
        assert path is not None
        return self.lookup.ask(MediaRequest("GET", path, query))


def what_is_to_come(rendition: Rendition, what: str) -> tuple[str, str]:
    """A request for what is not there yet."""
    edge = rendition.edge()
    if what == "part":
        return f"{rendition.name}/part{rendition.next_part_number}.m4s", ""
    part = f"&_HLS_part={edge.open_parts}" if what == "playlist" else ""
    return f"{rendition.name}.m3u8", f"_HLS_msn={edge.last_msn + 1}{part}"


class Player:
    """Waits for what is to come of a variant, and for what comes after that, until there is no more.

    Args:
        house: Where it asks.
        rendition: The variant.
        what: What it waits for.
    """

    def __init__(self, house: House, rendition: Rendition, what: str) -> None:
        self.statuses: list[int] = []
        self._house, self._rendition, self._what = house, rendition, what
        self._wait()

    def _wait(self) -> None:
        resource, query = what_is_to_come(self._rendition, self._what)
        blocked = self._house.ask(resource, query)
        assert isinstance(blocked, Blocked)

        def wake(_: object) -> None:
            answer = self._house.ask(resource, query)
            assert isinstance(answer, Answer)
            self.statuses.append(answer.status)
            if answer.status == HTTPStatus.OK:
                self._wait()

        blocked.waiters.subscribe(blocked.awaited, wake)


@pytest.mark.parametrize("what", WAITS)
async def test_with_a_change_of_tracks_they_are_told_that_it_is_gone(what: str) -> None:
    house = House()
    stream = await house.begin()
    renditions = presentation_of(stream).renditions
    gone, stays = Player(house, renditions["video1"], what), Player(house, renditions["main"], what)
    # It is missed for some seconds of media before it is gone.
    for turn in range(1, 6):
        stream.receive_tags(later(ALONE[2:], turn * (ALONE[-1].timestamp_ms + 33)))
        await eventually(lambda: not stream.when_open(lambda: None))
    assert presentation_of(stream).renditions.keys() == {"main"}
    await settle(lambda: 404 in gone.statuses)
    assert gone.statuses[-1] == 404
    assert set(gone.statuses[:-1]) <= {200}
    # The others are answered with what they wait for. No time has passed.
    assert set(stays.statuses) == {200}
    assert house.room.clock.monotonic() == stream.last_media_at


@pytest.mark.parametrize("what", WAITS)
async def test_with_a_publisher_that_comes_back_with_less_too(what: str) -> None:
    house = House()
    stream = await house.begin()
    house.room.registry.leave(stream, house.publisher, EndReason.CONNECTION_LOST)
    gone = Player(house, presentation_of(stream).renditions["video1"], what)
    await asyncio.sleep(0)
    before = list(gone.statuses)
    again = await house.room.begin(Admission("key", "alice"), StandInPublisher())
    assert again is stream
    stream.receive_tags(ALONE)
    await eventually(lambda: gone.statuses)
    assert (before, gone.statuses) == ([], [404])
