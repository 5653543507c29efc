from __future__ import annotations

import math

import pytest

from streamd.formats.amf.values import EcmaArray, Value
from streamd.formats.codecs.codec import AUDIO_CODECS, VIDEO_CODECS
from streamd.formats.rtmp.capabilities import CapsExMask, ClientCapabilities, read_capabilities, server_properties


@pytest.mark.parametrize(
    ("properties", "capabilities"),
    [
        ({"app": "live", "supportsGoAway": True}, ClientCapabilities()),
        ({"fourCcList": ["av01", "hvc1", "av01"]}, ClientCapabilities(True, ("av01", "hvc1"))),
        ({"fourCcList": ["*"]}, ClientCapabilities(True, ("*",))),
        ({"videoFourCcInfoMap": {"vp09": 7.0}}, ClientCapabilities(True, ("vp09",))),
        ({"audioFourCcInfoMap": EcmaArray({"Opus": 4.0})}, ClientCapabilities(True, ("Opus",))),
        ({"capsEx": 3.0}, ClientCapabilities(True, (), CapsExMask.RECONNECT | CapsExMask.MULTITRACK)),
        ({"capsEx": 255.0}, ClientCapabilities(True, (), CapsExMask(15))),
        ({"capsEx": math.nan}, ClientCapabilities(True)),
        ({"capsEx": math.inf}, ClientCapabilities(True)),
        ({"capsEx": "3"}, ClientCapabilities(True)),
        ({"fourCcList": "av01"}, ClientCapabilities(True)),
        ({"fourCcList": [1.0, None, ["av01"], {}, "toolong"]}, ClientCapabilities(True)),
    ],
)
def test_what_a_client_says_is_read_and_nonsense_left_out(
    properties: dict[str, Value], capabilities: ClientCapabilities
) -> None:
    assert read_capabilities(properties) == capabilities


def test_a_long_list_of_codecs_is_cut() -> None:
    assert len(read_capabilities({"fourCcList": [f"{n:04}" for n in range(1000)]}).four_ccs) == 32


def test_the_server_says_the_same_in_the_old_form_and_the_new() -> None:
    properties = server_properties()
    assert properties == {
        "fourCcList": ["avc1", "hvc1", "av01", "vp09", "mp4a", "Opus", "fLaC", "ac-3", "ec-3", ".mp3"],
        "videoFourCcInfoMap": dict.fromkeys(VIDEO_CODECS, 4),
        "audioFourCcInfoMap": dict.fromkeys(AUDIO_CODECS, 4),
        "capsEx": 6,
    }
