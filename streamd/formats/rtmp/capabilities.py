"""Enhanced RTMP's words of client and server about each other, in ``connect`` and its answer.

Spec: Enhanced RTMP v2 (2026-01-31), "Enhancing NetConnection connect Command".
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from streamd.formats.amf.values import Value

# Codecs that a peer may list: more than exist, few enough to log.
_FOUR_CCS_MAX = 32


class FourCcInfoMask(enum.IntFlag):
    """The things that can be done with a codec."""

    CAN_DECODE = 0x01
    CAN_ENCODE = 0x02
    CAN_FORWARD = 0x04


class CapsExMask(enum.IntFlag):
    """Extended capabilities."""

    RECONNECT = 0x01
    MULTITRACK = 0x02
    MOD_EX = 0x04
    TIMESTAMP_NANO_OFFSET = 0x08


# The codecs that the media line takes in Enhanced RTMP's form, and the extensions that we read. Media is passed on, not
# decoded.
# Nanosecond offsets are read past and not kept, so that flag is not set.
_FORWARDED = FourCcInfoMask.CAN_FORWARD
VIDEO_FOUR_CCS = {"avc1": _FORWARDED, "hvc1": _FORWARDED, "av01": _FORWARDED, "vp09": _FORWARDED}
AUDIO_FOUR_CCS = {
    "mp4a": _FORWARDED,
    "Opus": _FORWARDED,
    "fLaC": _FORWARDED,
    "ac-3": _FORWARDED,
    "ec-3": _FORWARDED,
    ".mp3": _FORWARDED,
}
CAPS_EX = CapsExMask.MULTITRACK | CapsExMask.MOD_EX


# The properties of ``connect`` that speak of Enhanced RTMP.
_FOUR_CC_LIST = "fourCcList"
_VIDEO_INFO_MAP = "videoFourCcInfoMap"
_AUDIO_INFO_MAP = "audioFourCcInfoMap"
_CAPS_EX = "capsEx"
_NO_CAPS_EX = CapsExMask(0)


@dataclass(frozen=True, slots=True)
class ClientCapabilities:
    """The words of a client in ``connect``. OBS says nothing, and sends Enhanced RTMP all the same."""

    is_enhanced: bool = False
    """It said anything at all of Enhanced RTMP, so it is answered."""
    four_ccs: tuple[str, ...] = ()
    """Codecs it listed; ``*`` for any."""
    caps_ex: CapsExMask = _NO_CAPS_EX
    """Extended capabilities; ``RECONNECT`` allows a ReconnectRequest."""


def read_capabilities(properties: dict[str, Value]) -> ClientCapabilities:
    """Read what ``connect``'s command object says of Enhanced RTMP; what makes no sense is left out."""
    listed: list[Value] = []
    for name in (_FOUR_CC_LIST, _VIDEO_INFO_MAP, _AUDIO_INFO_MAP):
        said = properties.get(name)
        if isinstance(said, list | dict):
            listed += said
    # "Each entry in the array is of string type, specifically a [FourCC] value", or the wildcard "*".
    four_ccs = dict.fromkeys(item for item in listed if isinstance(item, str) and len(item) in (1, 4))
    return ClientCapabilities(
        is_enhanced=not properties.keys().isdisjoint((_FOUR_CC_LIST, _VIDEO_INFO_MAP, _AUDIO_INFO_MAP, _CAPS_EX)),
        four_ccs=tuple(four_ccs)[:_FOUR_CCS_MAX],
        caps_ex=_read_caps_ex(properties.get(_CAPS_EX)),
    )


def _read_caps_ex(value: Value) -> CapsExMask:
    """The bits that have a meaning."""
    if isinstance(value, float) and value.is_integer():
        return CapsExMask(int(value) & int(~_NO_CAPS_EX))
    return _NO_CAPS_EX


def server_properties() -> dict[str, Value]:
    """Our capabilities, for the properties object of ``connect``'s ``_result``."""
    return {
        _FOUR_CC_LIST: [*VIDEO_FOUR_CCS, *AUDIO_FOUR_CCS],
        _VIDEO_INFO_MAP: {four_cc: int(mask) for four_cc, mask in VIDEO_FOUR_CCS.items()},
        _AUDIO_INFO_MAP: {four_cc: int(mask) for four_cc, mask in AUDIO_FOUR_CCS.items()},
        _CAPS_EX: int(CAPS_EX),
    }


def publisher_properties() -> dict[str, Value]:
    """Our capabilities as a publisher, for ``connect``'s command object; old servers read past them."""
    return {_FOUR_CC_LIST: [*VIDEO_FOUR_CCS, *AUDIO_FOUR_CCS], _CAPS_EX: int(CapsExMask.RECONNECT | CAPS_EX)}
