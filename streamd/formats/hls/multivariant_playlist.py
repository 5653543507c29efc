"""The multivariant playlist: the variants of a stream, and the requirements of each.

Spec: rfc8216bis-22 section 4.4.6; HLS authoring specification for Apple devices, 9.1 to 9.15.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from streamd.formats.hls.attribute_list import quoted_string

# Section 8: nothing in it asks for more, but its media playlists hold EXT-X-MAP.
VERSION = 6


class MediaType(enum.Enum):
    """TYPE of EXT-X-MEDIA."""

    AUDIO = "AUDIO"
    VIDEO = "VIDEO"
    SUBTITLES = "SUBTITLES"
    CLOSED_CAPTIONS = "CLOSED-CAPTIONS"


@dataclass(frozen=True, slots=True)
class MediaRendition:
    """EXT-X-MEDIA (4.4.6.1): an alternative rendition with a playlist of its own."""

    type: MediaType
    group_id: str
    name: str
    """The name in a player's menu; unique in its group."""
    uri: str = ""
    """Empty for captions, which are in the pictures."""
    language: str | None = None
    """RFC 5646 tag, for example ``de``."""
    is_default: bool = False
    """DEFAULT=YES, which implies AUTOSELECT=YES; at most one of a group."""
    channels: int = 0
    """CHANNELS of audio; 0 leaves it out."""
    instream_id: str = ""
    """INSTREAM-ID of captions: ``CC1`` to ``CC4``, or ``SERVICE`` and a number."""


@dataclass(frozen=True, slots=True)
class VariantStream:
    """EXT-X-STREAM-INF (4.4.6.2)."""

    uri: str
    bandwidth: int
    """BANDWIDTH: the peak segment bit rate, bits a second."""
    average_bandwidth: int
    """AVERAGE-BANDWIDTH: the average segment bit rate, bits a second."""
    codecs: tuple[str, ...]
    """CODECS: one RFC 6381 name for each sample format in it."""
    width: int = 0
    """RESOLUTION: "the optimal pixel resolution at which to display all the video", so in square pixels; 0 where there
    is no video."""
    height: int = 0
    """Pixels; 0 where there is no video."""
    frame_rate_millihertz: int = 0
    """FRAME-RATE in thousandths of a frame a second; 0 where it is not known."""
    audio_group_id: str | None = None
    """AUDIO: GROUP-ID of the audio renditions to play it with."""
    captions_group_id: str | None = None
    """CLOSED-CAPTIONS: GROUP-ID of the captions in its pictures."""


def render(variants: tuple[VariantStream, ...], renditions: tuple[MediaRendition, ...] = ()) -> bytes:
    """Write the playlist as UTF-8 text.

    EXT-X-INDEPENDENT-SEGMENTS is not claimed: a group of pictures that is longer than the target
    duration is cut without a keyframe.

    Args:
        variants: In order of preference: a player begins with the first.
        renditions: The renditions that the variants' groups refer to.

    Returns:
        The text, every line ended by a line feed.
    """
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}"]
    lines.extend(_render_rendition(rendition) for rendition in renditions)
    for variant in variants:
        lines.append(_render_variant(variant))
        lines.append(variant.uri)
    lines.append("")
    return "\n".join(lines).encode()


def _render_rendition(rendition: MediaRendition) -> str:
    attributes = [
        f"TYPE={rendition.type.value}",
        f"GROUP-ID={quoted_string(rendition.group_id)}",
        f"NAME={quoted_string(rendition.name)}",
    ]
    if rendition.language is not None:
        attributes.append(f"LANGUAGE={quoted_string(rendition.language)}")
    attributes.append(f"DEFAULT={'YES' if rendition.is_default else 'NO'}")
    attributes.append("AUTOSELECT=YES")
    if rendition.channels:
        attributes.append(f"CHANNELS={quoted_string(str(rendition.channels))}")
    if rendition.instream_id:
        attributes.append(f"INSTREAM-ID={quoted_string(rendition.instream_id)}")
    if rendition.uri:
        attributes.append(f"URI={quoted_string(rendition.uri)}")
    return "#EXT-X-MEDIA:" + ",".join(attributes)


def _render_variant(variant: VariantStream) -> str:
    attributes = [
        f"BANDWIDTH={variant.bandwidth}",
        f"AVERAGE-BANDWIDTH={variant.average_bandwidth}",
        f"CODECS={quoted_string(','.join(variant.codecs))}",
    ]
    if variant.width and variant.height:
        attributes.append(f"RESOLUTION={variant.width}x{variant.height}")
    if variant.frame_rate_millihertz:
        rate = variant.frame_rate_millihertz
        attributes.append(f"FRAME-RATE={rate // 1000}.{rate % 1000:03d}")
    if variant.audio_group_id is not None:
        attributes.append(f"AUDIO={quoted_string(variant.audio_group_id)}")
    if variant.captions_group_id is not None:
        attributes.append(f"CLOSED-CAPTIONS={quoted_string(variant.captions_group_id)}")
    return "#EXT-X-STREAM-INF:" + ",".join(attributes)
