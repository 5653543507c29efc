"""The gate in front of the demuxers, and payloads as they lie in the slabs of a publisher."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from streamd.formats.flv.metadata import StreamMetadata
from streamd.formats.flv.tag import FlvTag
from streamd.formats.payload import PayloadLog
from streamd.media.intake.actions import Open
from streamd.media.intake.frame_table import FrameTable
from streamd.media.intake.intake import Intake
from streamd.media.intake.missing import RollCall

if TYPE_CHECKING:
    from collections.abc import Iterable


def through_gate(tags: Iterable[FlvTag], metadata: StreamMetadata | None = None) -> tuple[Open, list[FlvTag]]:
    """What the gate opens with, and all that it lets through."""
    intake = Intake()
    intake.metadata = metadata or StreamMetadata()
    opening: Open | None = None
    frames: list[FlvTag] = []
    for tag in tags:
        match intake.receive(tag):
            case Open() as opening:
                frames += opening.tags
            case FlvTag() as frame:
                frames.append(frame)
            case _:
                pass
    assert opening is not None
    return opening, frames


def looked_at(opening: Open, tags: Iterable[FlvTag]) -> list[FlvTag]:
    """Tags with what the gate finds in them while it is open; nothing in those that it lets through for no demuxer."""
    tracks = {header.key: header for header in opening.tracks}
    roll, table = RollCall(), FrameTable()
    roll.begin(tracks, 0)
    table.open(tracks, roll.presences)
    tags = list(tags)
    for tag in tags:
        table.look(tag)
    return tags


def in_slabs(tags: Iterable[FlvTag]) -> list[FlvTag]:
    """The same tags with their payloads where those of a publisher lie."""
    log = PayloadLog()
    return [
        replace(tag, payload=log.append(data, 0, len(data), len(data))) for tag in tags if (data := bytes(tag.payload))
    ]
