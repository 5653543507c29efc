from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from streamd.formats.flv.metadata import StreamMetadata, read_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.mark.parametrize(
    ("properties", "metadata"),
    [
        ({}, StreamMetadata()),
        ({"width": 1280.0}, StreamMetadata()),
        (
            {"encoder": "obs-output module (libobs version 30.2.3)"},
            StreamMetadata(encoder="obs-output module (libobs version 30.2.3)"),
        ),
        ({"videocodecid": 7.0, "audiocodecid": 10.0, "framerate": 29.97}, StreamMetadata(frame_rate=29.97)),
        ({"videocodecid": 7.0, "framerate": 60.0}, StreamMetadata(lacks_audio=True, frame_rate=60.0)),
        ({"audiosamplerate": 48000.0}, StreamMetadata(lacks_video=True)),
        ({"videodatarate": 1.0, "audiodatarate": 1.0, "hasAudio": False}, StreamMetadata(lacks_audio=True)),
        ({"hasVideo": False}, StreamMetadata(lacks_video=True)),
        ({"videoTrackIdInfoMap": {}, "audioTrackIdInfoMap": {}}, StreamMetadata()),
    ],
)
def test_claims(properties: Mapping[str, object], metadata: StreamMetadata) -> None:
    assert read_metadata(properties) == metadata


@pytest.mark.parametrize("value", [0.0, -1.0, 1e9, math.inf, -math.inf, math.nan, 10**400, "30", None, b"30", [], {}])
def test_frame_rate_that_is_none_counts_as_not_claimed(value: object) -> None:
    assert read_metadata({"framerate": value}) == StreamMetadata()


@pytest.mark.parametrize("value", [None, 1.0, b"obs", ["obs"], {}, "", "  ", "\n\x00\u2028"])
def test_encoder_that_is_no_name_is_none(value: object) -> None:
    assert read_metadata({"encoder": value}) == StreamMetadata()


def test_encoders_name_is_short_and_one_line() -> None:
    assert read_metadata({"encoder": "ob\ns\x1b[31m" + "x" * 10_000}).encoder == ("obs[31m" + "x" * 100)[:98]
