"""Blocks in words: for the audit log, for webhooks, and for caches in front."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.services.events.event import rfc3339
from streamd.services.moderation.act_details import ActDetails
from streamd.services.moderation.acts.block import Block, BlockKind
from streamd.services.moderation.target import Target, TargetKind
from streamd.services.recording.recording_id import is_clip_id, is_recording_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamd.services.events.event import Value


def row_of(block: Block, words: str) -> dict[str, str | None]:
    """The row of a block in the audit log."""
    is_channel = block.names_channel and not _is_recorded(block.value)
    named = "" if is_channel else f"{block.kind.value} {block.value}"
    said = " ".join(filter(None, (named, f"at {block.scope.value}", f"by order {block.order}" if block.order else "")))
    return {
        "user": block.value if is_channel else None,
        "stream": block.value if is_channel else None,
        "key_id": block.value if block.kind is BlockKind.KEY else None,
        "reason": ActDetails(territorial_scope=block.countries).text(f"{said}. {words}".rstrip(". ")),
        "subject": block.id,
    }


def facts_of(block: Block) -> dict[str, Value]:
    """A block in the words of webhooks."""
    is_channel = block.names_channel and not _is_recorded(block.value)
    return {
        "user": block.value if is_channel else "",
        "block_id": block.id,
        "kind": block.kind.value,
        "value": block.value,
        "scope": block.scope.value,
        "countries": list(block.countries),
        "until": None if block.until is None else rfc3339(block.until),
        "order": block.order,
    }


def paths_of(blocks: Sequence[Block]) -> list[str]:
    """The paths below which caches may have something of blocked channels."""
    paths: list[str] = []
    for block in blocks:
        if block.names_channel:
            kind = TargetKind.CLIP if is_clip_id(block.value) else TargetKind.CHANNEL
            kind = TargetKind.RECORDING if is_recording_id(block.value) else kind
            paths += Target(kind, block.value, block.value).paths
    return paths


def _is_recorded(value: str) -> bool:
    return is_recording_id(value) or is_clip_id(value)


def territory_of(blocks: Sequence[Block]) -> tuple[str, ...]:
    """The countries of some blocks."""
    return tuple(sorted({country for block in blocks for country in block.countries}))
