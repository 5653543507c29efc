"""Reads a go-live configuration as OBS Studio 32 does, and refuses what it refuses.

After ``frontend/utility/models/multitrack-video.hpp``: nlohmann's ``NLOHMANN_DEFINE_TYPE_INTRUSIVE`` wants every field
of its struct and takes any others, ``..._WITH_DEFAULT`` wants none; a field that is there has to have its C++ type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Reader = Callable[[Any, str], None]


def read_go_live_config(document: Any) -> None:
    """Read the whole answer.

    Raises:
        AssertionError: OBS would throw, with the place.
    """
    _CONFIG(document, "config")
    if document.get("status", {}).get("result", "success") != "success":
        return
    # MultitrackVideoOutput.cpp: create_video_encoders, create_audio_encoders and create_service throw without these.
    assert document["encoder_configurations"], "no video encoders"
    assert len(document["encoder_configurations"]) <= 10, "more than MAX_OUTPUT_VIDEO_ENCODERS"
    assert all(each["canvas_index"] == 0 for each in document["encoder_configurations"]), "there is one canvas"
    assert document["audio_configurations"]["live"], "no audio encoders"
    assert any(each["protocol"].upper() in ("RTMP", "RTMPS") for each in document["ingest_endpoints"]), "no RTMP URL"


def _string(value: Any, place: str) -> None:
    assert isinstance(value, str), f"{place} is no string"


def _uint32(value: Any, place: str) -> None:
    assert isinstance(value, int), f"{place} is no number"
    assert not isinstance(value, bool), f"{place} is no number"
    assert 0 <= value < 2**32, f"{place} is out of range"


def _settings(value: Any, place: str) -> None:
    # obs_data_create_from_json
    assert isinstance(value, dict), f"{place} is no object"
    for name, setting in value.items():
        assert isinstance(setting, str | int | float | bool), f"{place}.{name} is no setting"


def _one_of(*names: str) -> Reader:
    def read(value: Any, place: str) -> None:
        assert value in names, f"{place} is none of {names}"

    return read


def _optional(reader: Reader) -> Reader:
    def read(value: Any, place: str) -> None:
        if value is not None:
            reader(value, place)

    return read


def _vector(reader: Reader) -> Reader:
    def read(value: Any, place: str) -> None:
        assert isinstance(value, list), f"{place} is no array"
        for index, item in enumerate(value):
            reader(item, f"{place}[{index}]")

    return read


def _struct(fields: Mapping[str, Reader], *, has_defaults: bool) -> Reader:
    def read(value: Any, place: str) -> None:
        assert isinstance(value, dict), f"{place} is no object"
        for name, reader in fields.items():
            assert has_defaults or name in value, f"{place}.{name} is missing"
            if name in value:
                reader(value[name], f"{place}.{name}")

    return read


_FRAME_RATE = _struct({"numerator": _uint32, "denominator": _uint32}, has_defaults=False)
_META = _struct({"service": _string, "schema_version": _string, "config_id": _string}, has_defaults=False)
_STATUS = _struct(
    {"result": _one_of("success", "warning", "error"), "html_en_us": _optional(_string)}, has_defaults=True
)
_ENDPOINT = _struct(
    {"protocol": _string, "url_template": _string, "authentication": _optional(_string)}, has_defaults=True
)
_VIDEO = _struct(
    {
        "type": _string,
        "width": _uint32,
        "height": _uint32,
        "framerate": _optional(_FRAME_RATE),
        "gpu_scale_type": _optional(_string),
        "colorspace": _optional(_string),
        "range": _optional(_string),
        "format": _optional(_string),
        "settings": _settings,
        "canvas_index": _uint32,
    },
    has_defaults=True,
)
_AUDIO = _struct(
    {"codec": _string, "track_id": _uint32, "channels": _uint32, "settings": _settings}, has_defaults=False
)
_CONFIG = _struct(
    {
        "meta": _META,
        "status": _optional(_STATUS),
        "ingest_endpoints": _vector(_ENDPOINT),
        "encoder_configurations": _vector(_VIDEO),
        "audio_configurations": _struct(
            {"live": _vector(_AUDIO), "vod": _optional(_vector(_AUDIO))}, has_defaults=True
        ),
    },
    has_defaults=True,
)
