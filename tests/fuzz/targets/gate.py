"""The gate before the demuxer: any tags give actions within its limits, and nothing passes that was not opened."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from streamd.formats.flv.tag import FlvTag
from streamd.media.intake.actions import Drop, Open, Split
from streamd.media.intake.intake import Intake
from streamd.media.intake.limits import IntakeLimits
from tests.fuzz.framing import read_tags, write_tags
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.flv_media import h264_aac

LIMITS = IntakeLimits(opening_tags_max=64, opening_bytes_max=20_000, tracks_max=3, reopen_tags_min=4)
FRAME_BYTES = 200
TAGS = 24


def seeds() -> list[bytes]:
    """An encoder's tags; frames are cut short, which no gate can see."""
    many = (VideoTrack(), VideoTrack("libx265")), (AudioTrack(), AudioTrack("libopus"))
    return [write_tags(_cut(tags[:TAGS])) for tags in (h264_aac(1, bframes=2), h264_aac(1, gop=4), encoded(*many, 1))]


def _cut(tags: tuple[FlvTag, ...]) -> list[FlvTag]:
    return [replace(tag, payload=bytes(tag.payload)[:FRAME_BYTES]) for tag in tags]


def run(data: bytes) -> None:
    """Args: data: Tags, framed by ``write_tags``."""
    intake = Intake(LIMITS)
    is_open = False
    unread = deque(read_tags(data))
    while unread:
        tag = unread.popleft()
        match intake.receive(tag):
            case FlvTag() as frame:
                assert is_open
                assert frame.payload
            case Split(shares):
                # Shares of the tag with headers of their own, or silence.
                assert all(len(share.payload) <= max(len(tag.payload) + 6, 16) for share in shares)
                unread.extendleft(reversed(shares))
            case Open(tracks, headers):
                is_open = True
                assert 0 < len(tracks) == len(headers) <= 2 * LIMITS.tracks_max
                # What a demuxer does that finds a track unfit, now and then.
                if tag.timestamp_ms % 7 == 0:
                    intake.refuse(tracks[-1], "unfit")
                    is_open = False
            case Drop(_, detail):
                assert detail.isprintable()
            case _:
                pass
        assert len(intake._held) <= LIMITS.opening_tags_max
        assert intake._held.payload_bytes <= LIMITS.opening_bytes_max + len(tag.payload)
