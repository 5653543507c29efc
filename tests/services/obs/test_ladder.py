from __future__ import annotations

from typing import Any

import pytest

from streamd.media.intake.limits import IntakeLimits
from streamd.services.keys.records import PublishLimits
from streamd.services.obs.ladder import (
    RUNGS_MAX,
    FrameRate,
    GoLiveConfig,
    NoRungFitsError,
    ObsOptions,
    PostData,
    Preferences,
    Rung,
    VideoEncoder,
    go_live_config,
    refusal,
)
from tests.support.go_live import read_go_live_config

URL = "rtmp://live.example.org/live"
OPTIONS = ObsOptions(rtmp_urls=(URL,))
# What OBS Studio 32 posts, shortened; the fields are those of its PostData.
OBS_32: dict[str, Any] = {
    "service": "IVS",
    "schema_version": "2025-01-25",
    "authentication": "sk_id_secret?bandwidthtest=true",
    "client": {
        "name": "obs-studio",
        "version": "32.0.1",
        "supported_codecs": ["av1", "h264", "h265"],
        "supported_encoders": ["obs_x264", "obs_nvenc_h264_tex", "obs_nvenc_av1_tex"],
    },
    "capabilities": {"cpu": {"physical_cores": 8, "logical_cores": 16}, "memory": {"total": 1, "free": 1}, "gpu": []},
    "preferences": {
        "maximum_aggregate_bitrate": None,
        "maximum_video_tracks": None,
        "vod_track_audio": False,
        "composition_gpu_index": 0,
        "audio_samples_per_sec": 48000,
        "audio_channels": 2,
        "audio_max_buffering_ms": 960,
        "audio_fixed_buffering": False,
        "canvases": [
            {
                "width": 1920,
                "height": 1080,
                "canvas_width": 2560,
                "canvas_height": 1440,
                "framerate": {"numerator": 60000, "denominator": 1001},
            }
        ],
    },
}


def answer(options: ObsOptions = OPTIONS, encoders: frozenset[str] = frozenset(), **preferences: Any) -> GoLiveConfig:
    config = go_live_config(options, Preferences.model_validate(preferences), encoders)
    read_go_live_config(config.as_json())
    return config


def sizes(config: GoLiveConfig) -> list[tuple[int, int, str | int]]:
    return [(each.width, each.height, each.settings["bitrate"]) for each in config.encoder_configurations]


def canvas(width: int, height: int) -> dict[str, Any]:
    return {"canvases": [{"width": width, "height": height}]}


class TestTheAnswer:
    def test_the_ladder_for_obs_32(self) -> None:
        posted = PostData.model_validate(OBS_32)
        config = go_live_config(OPTIONS, posted.preferences, posted.client.supported_encoders)
        read_go_live_config(config.as_json())
        assert sizes(config) == [(1920, 1080, 6000), (1280, 720, 3000), (854, 480, 1200)]
        assert config.encoder_configurations[0] == VideoEncoder(
            type="obs_x264",
            width=1920,
            height=1080,
            framerate=FrameRate(numerator=60000, denominator=1001),
            settings={
                "rate_control": "CBR",
                "bitrate": 6000,
                "keyint_sec": 2,
                "profile": "high",
                "preset": "veryfast",
                "x264opts": "scenecut=0",
            },
        )

    def test_obs_30_names_its_one_canvas_in_the_preferences(self) -> None:
        config = answer(width=1280, height=720, framerate={"numerator": 30, "denominator": 1})
        assert sizes(config) == [(1280, 720, 3000), (854, 480, 1200)]
        assert config.encoder_configurations[0].framerate == FrameRate(numerator=30, denominator=1)

    def test_nothing_in_it_is_a_key(self) -> None:
        assert "authentication" not in str(answer().as_json())
        assert "sk_" not in repr(PostData.model_validate(OBS_32))

    def test_rtmps_stands_first_where_there_is_both(self) -> None:
        secure = "rtmps://live.example.org/live"
        endpoints = answer(ObsOptions(rtmp_urls=(secure, URL))).ingest_endpoints
        assert [(each.protocol, each.url_template) for each in endpoints] == [
            ("RTMPS", f"{secure}/{{stream_key}}"),
            ("RTMP", f"{URL}/{{stream_key}}"),
        ]

    def test_a_refusal_is_read_as_one(self) -> None:
        document = refusal("No.").as_json()
        read_go_live_config(document)
        assert document["status"] == {"result": "error", "html_en_us": "No."}


class TestFitting:
    @pytest.mark.parametrize(
        ("name", "preferences", "expected"),
        [
            ("no picture is enlarged", canvas(1280, 720), [(1280, 720, 3000), (854, 480, 1200)]),
            ("upright", canvas(1080, 1920), [(1080, 1920, 6000), (720, 1280, 3000), (480, 854, 1200)]),
            ("4:3", canvas(1024, 768), [(960, 720, 3000), (640, 480, 1200)]),
            ("smaller than all", canvas(640, 361), [(638, 360, 1200)]),
            ("two tracks", {"maximum_video_tracks": 2}, [(1920, 1080, 6000), (854, 480, 1200)]),
            ("one track", {"maximum_video_tracks": 1}, [(1920, 1080, 6000)]),
            ("no limit", {"maximum_video_tracks": 0}, [(1920, 1080, 6000), (1280, 720, 3000), (854, 480, 1200)]),
            ("all of the line", {"maximum_aggregate_bitrate": 10_360},
             [(1920, 1080, 6000), (1280, 720, 3000), (854, 480, 1200)]),
            ("a kb/s too little", {"maximum_aggregate_bitrate": 10_359}, [(1280, 720, 3000), (854, 480, 1200)]),
            ("hardly a line", {"maximum_aggregate_bitrate": 100}, [(854, 480, 1200)]),
            ("the recording's sound is sent, too", {"maximum_aggregate_bitrate": 10_360, "vod_track_audio": True},
             [(1280, 720, 3000), (854, 480, 1200)]),
        ],
    )  # fmt: skip
    def test_the_ladder_is_cut_to(
        self, name: str, preferences: dict[str, Any], expected: list[tuple[int, int, int]]
    ) -> None:
        assert sizes(answer(**preferences)) == expected

    @pytest.mark.parametrize(
        ("has", "chosen"),
        [
            ({"obs_x264", "h264_texture_amf"}, "h264_texture_amf"),
            ({"obs_x264", "obs_nvenc_h264_tex", "h264_texture_amf"}, "obs_nvenc_h264_tex"),
            ({"obs_x264"}, "obs_x264"),
            ({"another"}, "obs_x264"),
            (set(), "obs_x264"),
        ],
    )
    def test_the_best_encoder_that_obs_has(self, has: set[str], chosen: str) -> None:
        options = ObsOptions(encoders=("obs_nvenc_h264_tex", "h264_texture_amf", "obs_x264"), rtmp_urls=(URL,))
        config = answer(options, frozenset(has))
        assert {each.type for each in config.encoder_configurations} == {chosen}
        assert ("preset" in config.encoder_configurations[0].settings) == (chosen == "obs_x264")

    def test_sound_has_obs_channels_and_a_second_track_where_it_is_switched_on(self) -> None:
        config = answer(audio_channels=6, vod_track_audio=True)
        assert [each.channels for each in config.audio_configurations.live] == [6]
        assert config.audio_configurations.vod == config.audio_configurations.live
        assert answer().audio_configurations.vod is None


ALL_RUNGS = [(1920, 1080, 6000), (1280, 720, 3000), (854, 480, 1200)]


class TestWhatTheUserMaySend:
    """A stream past its user's limits ends: the rungs that may not be sent are left out."""

    @pytest.mark.parametrize(
        ("name", "limits", "expected"),
        [
            ("a fifth over the ladder and the sound", PublishLimits(bitrate_kbps_max=12_432), ALL_RUNGS),
            ("a kb/s less", PublishLimits(bitrate_kbps_max=12_431), ALL_RUNGS[1:]),
            ("the smallest rung", PublishLimits(bitrate_kbps_max=1632), ALL_RUNGS[2:]),
            ("1080p", PublishLimits(picture_pixels_max=1920 * 1080), ALL_RUNGS),
            ("a pixel less", PublishLimits(picture_pixels_max=1920 * 1080 - 1), ALL_RUNGS[1:]),
            ("both", PublishLimits(1632, 1280 * 720), ALL_RUNGS[2:]),
        ],
    )  # fmt: skip
    def test_the_ladder_is_cut_to(self, name: str, limits: PublishLimits, expected: list[tuple[int, int, int]]) -> None:
        assert sizes(go_live_config(OPTIONS, Preferences(), frozenset(), limits)) == expected

    def test_a_user_of_whom_nothing_is_said_may_what_everybody_may(self) -> None:
        everybody = ObsOptions(rtmp_urls=(URL,), limits=PublishLimits(1632, 35_651_584))
        assert sizes(go_live_config(everybody, Preferences(), frozenset())) == ALL_RUNGS[2:]
        more = PublishLimits(bitrate_kbps_max=20_000)
        assert sizes(go_live_config(everybody, Preferences(), frozenset(), more)) == ALL_RUNGS

    def test_upright_pictures_have_as_many_pixels(self) -> None:
        upright = Preferences.model_validate(canvas(1080, 1920))
        limits = PublishLimits(picture_pixels_max=1280 * 720)
        assert sizes(go_live_config(OPTIONS, upright, frozenset(), limits)) == [(720, 1280, 3000), (480, 854, 1200)]

    @pytest.mark.parametrize(
        ("limits", "said"),
        [
            (PublishLimits(1631, 10_000_000), "^1631 kb/s with the sound$"),
            (PublishLimits(100_000, 100_000), "^pictures of 100000 pixels$"),
            (PublishLimits(10), "^10 kb/s with the sound$"),
        ],
    )
    def test_where_no_rung_is_left_it_says_what_is_allowed(self, limits: PublishLimits, said: str) -> None:
        with pytest.raises(NoRungFitsError, match=said):
            go_live_config(OPTIONS, Preferences(), frozenset(), limits)


class TestRung:
    def test_it_is_read(self) -> None:
        assert Rung.parse("1080p@6000") == Rung(1080, 6000)

    @pytest.mark.parametrize("text", ["", "1080", "1080p", "1080@6000", "1080p@6M", "1081p@6000", "p@1", "0p@100"])
    def test_what_is_none_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="write lines"):
            Rung.parse(text)

    def test_ingest_takes_every_track_of_the_longest_ladder(self) -> None:
        assert IntakeLimits().tracks_max == RUNGS_MAX
