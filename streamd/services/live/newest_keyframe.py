"""The newest keyframe of a channel, for whoever makes a picture of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.media.packet import TrackKind

if TYPE_CHECKING:
    from streamd.media.packager.rendition import Keyframe
    from streamd.services.live.channel import Channel


def newest_keyframe(channel: Channel, lines_enough: int) -> Keyframe | None:
    """Find the newest keyframe of the variant that is best to draw from.

    Args:
        channel: The channel.
        lines_enough: Of several variants, the smallest with so many lines; the largest where none has them.

    Returns:
        A copy of it; None where there is no picture.
    """
    if channel.presentation is None:
        return None
    by_lines = {
        track.height: rendition
        for rendition in channel.presentation.listed
        for track in rendition.tracks
        if track.kind is TrackKind.VIDEO
    }
    if not by_lines:
        return None
    lines = min((height for height in by_lines if height >= lines_enough), default=max(by_lines))
    return by_lines[lines].newest_keyframe()
