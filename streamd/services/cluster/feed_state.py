"""The body of a feed's ``State`` record: a presentation's state as JSON, with its bytes in base64."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter, ValidationError

from streamd.errors import FeedError
from streamd.formats.feed import RENDITIONS_MAX, STATE_BYTES_MAX
from streamd.media.packager.presentation_state import PresentationState

_STATE: TypeAdapter[PresentationState] = TypeAdapter(PresentationState)
# As the configuration bounds them (`[hls]`).
WINDOW_SEGMENTS_MAX = 100
TARGET_DURATION_S_MAX = 60
PART_TARGET_MS_MAX = 60_000


def encode(state: PresentationState) -> bytes:
    """Write a state."""
    return json.dumps(asdict(state), separators=(",", ":"), default=_text).encode()


def decode(body: bytes) -> PresentationState:
    """Read a state.

    Raises:
        FeedError: It is none.
    """
    if len(body) > STATE_BYTES_MAX:
        raise FeedError(f"a state of {len(body)} bytes, {STATE_BYTES_MAX} are allowed")
    try:
        told = json.loads(body)
        for rendition in told["renditions"]:
            for header in rendition["window"]["headers"]:
                _read_bytes(header, "cmaf_header")
                for track in header["tracks"]:
                    _read_bytes(track, "codec_config")
        state = _STATE.validate_python(told)
    except (ValueError, TypeError, KeyError, RecursionError, ValidationError) as exc:
        raise FeedError(f"a state that cannot be read: {type(exc).__name__}") from None
    _check(state)
    return state


def _check(state: PresentationState) -> None:
    timing = state.timing
    listed = state.variants + state.audio
    names = [rendition.name for rendition in state.renditions]
    is_right = (
        0 < state.variants <= listed <= len(names) <= RENDITIONS_MAX
        and state.audio >= 0
        and len(set(names)) == len(names)
        and 0 < timing.target_duration_s <= TARGET_DURATION_S_MAX
        and 0 < timing.part_target_ms <= PART_TARGET_MS_MAX
        and 0 < state.window_segments <= WINDOW_SEGMENTS_MAX
    )
    if not is_right or not all(_is_name(name) for name in names):
        raise FeedError("a state that cannot be")


def _is_name(name: str) -> bool:
    """Whether a rendition may be called so: what stands in URIs, and is not the multivariant playlist."""
    return name != "index" and 0 < len(name) <= 32 and name.isascii() and name.replace("_", "").isalnum()


def _text(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if hasattr(value, "value"):
        return value.value
    raise TypeError(type(value).__name__)


def _read_bytes(told: dict[str, Any], key: str) -> None:
    told[key] = base64.b64decode(told[key], validate=True)
