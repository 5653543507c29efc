"""The settings that x264 and x265 write down: text in the first picture, or in the configuration record.

ITU-T H.264 D.1.7 and H.265 D.2.7 (user data unregistered SEI message): an identifier of 16 bytes, then free text. It is
no part of the picture, and a hint at the most: other encoders write nothing, and a stream that was copied has the text
of its first encoder.
"""

from __future__ import annotations

import re

_IDENTIFIERS = (
    bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef"),  # x264, encoder/set.c
    bytes.fromhex("2ca2de09b51747dbbb55a4fe7fc2fc4e"),  # x265, source/encoder/encoder.cpp
)
# It stands in front of the picture, behind parameter sets at the most, and has about 700 bytes (x264) or 2,300 (x265).
_SEARCHED_BYTES_MAX = 8 * 1024
# "infinite" is no number. A six-digit one is hours.
_KEYINT = re.compile(rb" keyint=(\d{1,5}) ")
# Pictures are refreshed bit by bit then, and no keyframe comes.
_INTRA_REFRESH = re.compile(rb" intra_refresh=1 | intra-refresh ")


def keyframe_interval_max(media: bytes | memoryview) -> int | None:
    """Read how many frames lie from one keyframe to the next at the most.

    Args:
        media: A keyframe, or a configuration record.

    Returns:
        The number of frames; None where the text lacks it.
    """
    text = bytes(media[:_SEARCHED_BYTES_MAX])
    if not any(identifier in text for identifier in _IDENTIFIERS) or _INTRA_REFRESH.search(text):
        return None
    found = _KEYINT.search(text)
    return int(found[1]) if found is not None else None
