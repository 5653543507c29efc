"""Timestamps as publishers send them, over real RTMP and faster than real time: what a player finds in the playlists.

Every frame names itself, so that where it went on the timeline can be compared with what its publisher's clock said.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field, replace
from fractions import Fraction
from http import HTTPStatus
from typing import TYPE_CHECKING

import av
import pytest

from streamd.formats.flv.tag import FlvTag, TagType
from streamd.media.timeline import START_MS
from tests.support import playback
from tests.support.flv_media import aac_only, h264_only, is_sequence_header
from tests.support.server import run_server, wait_until
from tests.support.tag_publisher import TagPublisher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

HOUR_MS = 3_600_000
WRAP_MS = 2**32
EXTENDED_MS = 0xFFFFFF
KEYFRAME_EVERY = 30
MEDIA_S = 12
AUDIO_FRAME = 1024


@dataclass(frozen=True)
class Camera:
    """A publisher's idea of time."""

    frame_rate: Fraction = Fraction(30)
    sample_rate: int = 48_000
    start_ms: int = 0
    sound_ahead_ms: int = 0
    """How far the clock of the sound is ahead of the pictures'."""
    bend: Callable[[int], int] = field(default=lambda time_ms: time_ms)
    """What the wire says for a moment of the broadcast, milliseconds since its start."""
    has_picture: Callable[[int], bool] = field(default=lambda index: True)
    """Whether a frame is sent, by its number; keyframes are."""

    def tags(self, seconds: float) -> Iterator[FlvTag]:
        """The broadcast, interleaved as it is encoded."""
        video, audio = h264_only(2), aac_only(2, self.sample_rate)
        headers = [next(tag for tag in tags if is_sequence_header(tag)) for tags in (video, audio)]
        for tag in headers:
            yield replace(tag, timestamp_ms=self._wire(tag, 0))
        pictures = [tag for tag in video if not is_sequence_header(tag)]
        sounds = [tag for tag in audio if not is_sequence_header(tag)]
        frames = (
            (index / self.frame_rate, pictures[index % len(pictures)])
            for index in range(int(seconds * self.frame_rate))
            if index % KEYFRAME_EVERY == 0 or self.has_picture(index)
        )
        beats = (
            (Fraction(index * AUDIO_FRAME, self.sample_rate), sounds[index % len(sounds)])
            for index in range(int(seconds * self.sample_rate / AUDIO_FRAME))
        )
        for time_s, tag in sorted(itertools.chain(frames, beats), key=lambda timed: timed[0]):
            yield replace(tag, timestamp_ms=self._wire(tag, int(time_s * 1000)))

    def _wire(self, tag: FlvTag, time_ms: int) -> int:
        ahead_ms = self.sound_ahead_ms if tag.tag_type == TagType.AUDIO else 0
        return (self.start_ms + self.bend(time_ms) + ahead_ms) % WRAP_MS


def leap(after_ms: int, by_ms: int) -> Callable[[int], int]:
    return lambda time_ms: time_ms + (by_ms if time_ms >= after_ms else 0)


def stutter(time_ms: int) -> int:
    """A tenth of a second in five goes back a little."""
    return time_ms - (60 if time_ms // 100 % 50 == 49 else 0)


CAMERAS: dict[str, tuple[Camera, set[str], int]] = {
    # Name: the camera, the repairs that it needs, and the discontinuities that players meet.
    "plain": (Camera(), set(), 0),
    "23.976": (Camera(Fraction(24_000, 1001), 44_100), set(), 0),
    "59.94": (Camera(Fraction(60_000, 1001)), set(), 0),
    "extended": (Camera(start_ms=EXTENDED_MS - 6_000), set(), 0),
    "wrap": (Camera(start_ms=WRAP_MS - 6_000), set(), 0),
    "half-wrap": (Camera(start_ms=2**31 - 6_000), set(), 0),
    # ffmpeg writes 31 bits (flvenc.c: "timestamps are 32 bits _signed_").
    "31-bits": (Camera(start_ms=2**31 - 6_000, bend=leap(6_000, -(2**31))), {"jump"}, 1),
    "forward": (Camera(bend=leap(6_000, 5 * HOUR_MS)), {"jump"}, 1),
    "back": (Camera(start_ms=6 * HOUR_MS, bend=leap(6_000, -5 * HOUR_MS)), {"jump"}, 1),
    "two-clocks": (Camera(sound_ahead_ms=HOUR_MS), {"base"}, 0),
    "two-clocks-leap": (Camera(sound_ahead_ms=HOUR_MS, bend=leap(6_000, 2 * HOUR_MS)), {"base", "jump"}, 1),
    "missing": (Camera(has_picture=lambda index: index % 7 > 1), set(), 0),
    "variable": (Camera(Fraction(60), has_picture=lambda index: index % (2 + index // 60 % 5) == 0), set(), 0),
    "stutter": (Camera(bend=stutter), {"non_monotonic_dts"}, 0),
}

# Four seconds or more of every camera.
OPENING_TAGS = 450


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    # All of a short broadcast stays in its playlist, and a long one may be sent at once.
    settings = {"hls__window_segments": 20, "limits__messages_per_second_max": 1_000_000}
    with run_server(tmp_path_factory.mktemp("server"), **settings) as running:
        yield running


def repairs(server: LiveServer) -> dict[str, int]:
    text = server.admin_get("/metrics")
    found = re.findall(r'^streamd_timestamps_repaired_total\{reason="(\w+)"\} (\d+)', text, re.MULTILINE)
    return {reason: int(count) for reason, count in found}


def broadcast(server: LiveServer, name: str, tags: Iterable[FlvTag]) -> dict[str, int]:
    """Publish tags as fast as they are taken, say goodbye, and return how often each repair was made of them."""
    before = repairs(server)
    path = f"/live/{name}/main.m3u8"
    rest = iter(tags)
    with TagPublisher(server.rtmp_port, server.issue_key(name)) as publisher:
        # What arrives while the tracks are probed is bounded, and 20 minutes would be more than that.
        publisher.send(itertools.islice(rest, OPENING_TAGS))
        wait_until(lambda: server.get(path)[0] == HTTPStatus.OK, 60, "the playlist")
        publisher.send(rest)
    wait_until(lambda: b"#EXT-X-ENDLIST" in server.get(path)[2], 60, "the end")
    return {reason: count - before.get(reason, 0) for reason, count in repairs(server).items()}


@pytest.mark.parametrize("name", CAMERAS)
def test_plays_without_a_gap_whatever_the_clock_does(server: LiveServer, name: str) -> None:
    camera, expected, discontinuities = CAMERAS[name]
    channel = f"camera-{name.replace('.', '-')}"
    made = broadcast(server, channel, camera.tags(MEDIA_S))
    assert {reason for reason, count in made.items() if count} == expected
    url = server.playlist_url(channel)
    followed = playback.follow(url, MEDIA_S, 20)
    assert followed.gaps == []
    assert followed.discontinuities == discontinuities
    # Where media ends, sound that came after the last picture is a part of its own, with a duration of its own.
    assert len(followed.faults) <= discontinuities + 1, followed.faults
    assert all("EXTINF" in fault for fault in followed.faults), followed.faults
    played = playback.play(url, MEDIA_S)
    assert played.steps_back == []
    sent = sum(
        index % KEYFRAME_EVERY == 0 or camera.has_picture(index) for index in range(int(MEDIA_S * camera.frame_rate))
    )
    (video,) = (track for track in followed.tracks.values() if track.kind == "vide")
    assert video.samples == sent
    # A picture whose reference is missing may not be shown.
    assert played.pictures >= MEDIA_S * 15 - 2
    assert played.duration_s == pytest.approx(MEDIA_S, abs=0.3)


@pytest.mark.parametrize(
    "camera",
    [Camera(Fraction(24_000, 1001), 44_100), Camera(Fraction(60_000, 1001), start_ms=WRAP_MS - 10 * 60_000)],
    ids=["23.976-44100", "59.94-wrap"],
)
def test_after_twenty_minutes_sound_and_picture_are_within_a_frame(
    server: LiveServer, camera: Camera, request: pytest.FixtureRequest
) -> None:
    seconds = 20 * 60
    channel = "long-" + request.node.callspec.id.partition(".")[0]
    tags = list(camera.tags(seconds))
    made = broadcast(server, channel, tags)
    assert {reason for reason, count in made.items() if count} == set()
    # What the wire said of the last frames, by their bytes, and where a player finds them.
    last: dict[TagType, dict[bytes, int]] = {TagType.VIDEO: {}, TagType.AUDIO: {}}
    for tag in tags[-150:]:
        head = 5 if tag.tag_type == TagType.VIDEO else 2
        time_ms = (tag.timestamp_ms - camera.start_ms) % WRAP_MS
        last[TagType(tag.tag_type)][bytes(tag.payload)[head:]] = time_ms
    distances: dict[TagType, list[float]] = {TagType.VIDEO: [], TagType.AUDIO: []}
    with av.open(server.playlist_url(channel), options={"live_start_index": "-2"}) as container:
        for packet in container.demux():
            if packet.pts is None or packet.time_base is None:
                continue
            kind = TagType.VIDEO if packet.stream.type == "video" else TagType.AUDIO
            sent_ms = last[kind].get(bytes(packet))
            if sent_ms is not None:
                distances[kind].append(float(packet.pts * packet.time_base) * 1000 - sent_ms)
    video_ms, audio_ms = (distances[kind][-1] for kind in (TagType.VIDEO, TagType.AUDIO))
    # The same bytes come again every two seconds; those that were sent last lie where the timeline began.
    assert abs(video_ms - START_MS) < 1000
    assert abs(video_ms - audio_ms) < 1000 / camera.frame_rate
