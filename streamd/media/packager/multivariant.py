"""The multivariant playlist of a presentation: its variants, each with the sound to play it with.

Spec: rfc8216bis-22 section 4.4.6.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from streamd.formats.hls import multivariant_playlist as hls
from streamd.media.packager.ladder import decodes_everywhere

# Above the fastest camera on air: a claim beyond it is a mistake in the metadata.
FRAME_RATE_MAX = 1000.0
CAPTIONS_GROUP = "captions"


@dataclass(frozen=True, slots=True)
class ListedAudio:
    """An audio rendition that has begun."""

    number: int
    """Its number in a player's menu, from 1; it never changes."""
    stream: hls.VariantStream
    channels: int


def render_presentation(
    variants: Sequence[hls.VariantStream], audio: Sequence[ListedAudio], captions: Collection[str] = ()
) -> bytes:
    """Write each variant once for each audio codec.

    4.4.6.2: CODECS has every format of a variant and its groups, so a group is of one codec. If browsers decode
    none of them, the variants stand there without sound too, so that viewers have a silent picture.

    Args:
        variants: In order of preference.
        audio: Audio renditions to play the variants with, in order of preference.
        captions: Channels of captions in the pictures (INSTREAM-ID).

    Returns:
        The playlist, UTF-8.
    """
    groups: dict[str, list[hls.VariantStream]] = {}
    media: list[hls.MediaRendition] = []
    for each in audio:
        codec = each.stream.codecs[0]
        group = groups.setdefault(codec, [])
        media.append(
            hls.MediaRendition(
                hls.MediaType.AUDIO,
                _group_id(codec),
                f"Track {each.number}",
                each.stream.uri,
                is_default=not group,
                channels=each.channels,
            )
        )
        group.append(each.stream)
    listed = [
        replace(
            variant,
            bandwidth=variant.bandwidth + max(stream.bandwidth for stream in group),
            average_bandwidth=variant.average_bandwidth + max(stream.average_bandwidth for stream in group),
            codecs=tuple(dict.fromkeys((*variant.codecs, codec))),
            audio_group_id=_group_id(codec),
        )
        for codec, group in groups.items()
        for variant in variants
    ]
    if not any(map(decodes_everywhere, groups)):
        listed += variants
    if captions:
        media += [
            hls.MediaRendition(
                hls.MediaType.CLOSED_CAPTIONS, CAPTIONS_GROUP, f"Captions {channel}", instream_id=channel
            )
            for channel in sorted(captions)
        ]
        listed = [replace(variant, captions_group_id=CAPTIONS_GROUP) for variant in listed]
    return hls.render(tuple(listed), tuple(media))


def frame_rate_millihertz(hint: float) -> int:
    """Thousandths of a frame a second from a publisher's claim; 0 for an absurd one."""
    # Not a number compares false with everything.
    return round(hint * 1000) if 0 < hint <= FRAME_RATE_MAX else 0


def _group_id(codec: str) -> str:
    return f"audio-{codec}"
