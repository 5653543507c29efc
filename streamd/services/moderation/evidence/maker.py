"""Makes a piece of evidence: media, a picture and the facts, in a folder of their own."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from streamd import __version__
from streamd.errors import PictureError
from streamd.formats.hls.attribute_list import date_time_msec
from streamd.media.picture import ORDER_BYTES_MAX
from streamd.media.storyboard import CellSize
from streamd.services.moderation.evidence.folder import BLURRED_NAME, FACTS_NAME, PICTURE_NAME, UNFINISHED
from streamd.services.moderation.evidence.media import keyframe_of, runs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.services.moderation.evidence.chain import EvidenceRecord
    from streamd.services.moderation.evidence.folder import FolderWriter
    from streamd.services.moderation.evidence.media import Piece, Run
    from streamd.services.moderation.evidence.shelf import EvidenceShelf
    from streamd.services.moderation.evidence.sources import EvidenceSources, EvidenceTarget, Found, HeldFacts

# One piece: evidence_s at the highest bit rate that is allowed by default is 375 MB; of more, the oldest is left out.
PIECE_BYTES_MAX = 256 * 1024 * 1024
# A picture that takes longer is left out: the piece is to be whole within three seconds.
PICTURE_S = 2.0
# Scaled up, eighteen lines show whether it is light or dark, and no more.
BLURRED_SIZE = CellSize(32, 18)


class Artist(Protocol):
    """Draws, in a process that is confined to it; ``PictureProcess`` says what is raised."""

    async def draw(self, cmaf_header: bytes, fragment: bytes) -> bytes | None:
        """A picture."""

    async def draw_cell(self, cmaf_header: bytes, fragment: bytes, size: CellSize) -> bytes | None:
        """The pixels of a small one."""

    async def draw_sheet(self, cells: bytes, size: CellSize) -> bytes | None:
        """Small ones as a picture."""

    async def close(self) -> None:
        """Draw no more."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A piece that is to be kept."""

    id: str
    case_id: str
    target: EvidenceTarget
    at_s: float | None
    asked_at: datetime
    held: HeldFacts
    """What was in memory when it was reported."""
    is_small: bool = False
    """A picture and facts alone."""


@dataclass(frozen=True, slots=True)
class _Made:
    """What is said of it."""

    runs: Sequence[Run]
    media_left_out: str
    picture_missing: str

    @property
    def media_ms(self) -> int:
        """Of the first variant."""
        first = self.runs[0].rendition if self.runs else ""
        return sum(piece.duration_ms for run in self.runs if run.rendition == first for piece in run.pieces)


class EvidenceMaker:
    """Makes pieces.

    Args:
        shelf: Where they stand.
        sources: Find media and facts.
        artist: Draws pictures; its own, so that no poster waits for it.
        clock: For dates.
    """

    def __init__(self, shelf: EvidenceShelf, sources: EvidenceSources, artist: Artist, clock: Clock) -> None:
        self._shelf = shelf
        self._sources = sources
        self._artist = artist
        self._clock = clock

    async def close(self) -> None:
        """Draw no more."""
        await self._artist.close()

    async def make(self, wanted: Wanted) -> EvidenceRecord:
        """Make a piece; when this returns it is whole, on the disk and in the index.

        Raises:
            OSError: The disk does not take it, or there is no room.
            StoreUnavailableError: The index does not answer. A piece that is whole on the disk is told to it later.
            StorageError: The bucket does not.
        """
        shelf = self._shelf
        staging = shelf.directory / f"{wanted.id}.media{UNFINISHED}"
        writer = await shelf.on_disk(partial(shelf.begin, wanted.id))
        reserved = 0
        try:
            room = await shelf.on_disk(shelf.room)
            held = wanted.held if wanted.held.snapshot.pieces else self._sources.hold(wanted.target.channel)
            found = await self._sources.find(
                wanted.target, wanted.at_s, held,
                last_s=shelf.options.last_s, bytes_max=PIECE_BYTES_MAX, staging=staging,
            )  # fmt: skip
            runs = runs_of(found.renditions.items()) if shelf.options.last_s and not wanted.is_small else []
            left_out = "the oldest of it, for it is too much" if found.is_cut else ""
            if wanted.is_small:
                left_out = "all of it, for its reporter has had too much kept today"
            size_bytes = sum(run.size_bytes for run in runs)
            if runs and size_bytes > room:
                runs, size_bytes, left_out = [], 0, "all of it, for there is no room ([limits] evidence_bytes_max)"
            # Others are made meanwhile.
            reserved = size_bytes
            shelf.total_bytes += reserved
            main = next(iter(found.renditions.values()), ())
            (pictures, missing), _ = await asyncio.gather(
                self._draw(main, found.at_ms), shelf.on_disk(partial(_write_runs, writer, runs))
            )
            for name, jpeg in pictures.items():
                await shelf.on_disk(partial(writer.add, name, partial(_give, jpeg)))
            category, is_restricted = await shelf.cases.about(wanted.case_id)
            facts = self._facts(wanted, found, held, _Made(runs, left_out, missing), writer)
            facts |= {"category": category, "is_restricted": is_restricted}
            data = json.dumps(facts, indent=2, ensure_ascii=False).encode()
            await shelf.on_disk(partial(writer.add, FACTS_NAME, partial(_give, data)))
            sums = await shelf.on_disk(writer.seal)
            shelf.total_bytes += writer.size_bytes - reserved
        except BaseException:
            # Also where the server stops: what is half written is no evidence.
            shelf.total_bytes -= reserved
            await asyncio.shield(shelf.on_disk(writer.abandon))
            raise
        finally:
            await asyncio.shield(shelf.on_disk(partial(shutil.rmtree, staging, ignore_errors=True)))
        return await shelf.link(facts, sums)

    async def _draw(self, pieces: Sequence[Piece], at_ms: int | None) -> tuple[dict[str, bytes], str]:
        """Draw the picture, and a blurred one; or say why there is none."""
        if not pieces or at_ms is None:
            return {}, "there is no media"
        drawn: dict[str, bytes] = {}
        why = ""
        try:
            found = await self._shelf.on_disk(partial(keyframe_of, pieces, at_ms))
            if found is None or sum(map(len, found)) > ORDER_BYTES_MAX:
                return {}, "there is no keyframe that can be drawn"
            async with asyncio.timeout(PICTURE_S):
                if (jpeg := await self._artist.draw(*found)) is None:
                    return {}, "nothing decodes"
                drawn[PICTURE_NAME] = jpeg
                cell = await self._artist.draw_cell(*found, BLURRED_SIZE)
                if cell is not None and (blurred := await self._artist.draw_sheet(cell, BLURRED_SIZE)) is not None:
                    drawn[BLURRED_NAME] = blurred
        except TimeoutError:
            why = f"it took more than {PICTURE_S:g} s"
        except (PictureError, OSError) as exc:
            why = str(exc)
        return drawn, "" if drawn else why

    def _facts(
        self, wanted: Wanted, found: Found, held: HeldFacts, made: _Made, writer: FolderWriter
    ) -> dict[str, Any]:
        """What ``facts.json`` says."""
        return {
            "id": wanted.id,
            "case_id": wanted.case_id,
            "target": {"kind": str(wanted.target.kind), "id": wanted.target.id},
            "channel": wanted.target.channel,
            "reported_at": wanted.asked_at.isoformat(),
            "kept_at": self._clock.now().isoformat(),
            "seen_at": None if found.at_ms is None else date_time_msec(found.at_ms),
            "live": held.live,
            "recording": found.recording,
            "media_ms": made.media_ms,
            "media": [
                {
                    "file": run.name,
                    "rendition": run.rendition,
                    "sources": [*dict.fromkeys(piece.source for piece in run.pieces)],
                    "segments": len(run.pieces),
                    "began_at": date_time_msec(run.pieces[0].began_ms),
                    "ended_at": date_time_msec(run.pieces[-1].ended_ms),
                }
                for run in made.runs
            ],
            "media_left_out": made.media_left_out,
            "picture": PICTURE_NAME if PICTURE_NAME in writer.files else None,
            "picture_missing": made.picture_missing,
            "files": [{"name": name, "bytes": size, "sha256": digest} for name, (size, digest) in writer.files.items()],
            "software": f"streamd {__version__}",
        }


def _write_runs(writer: FolderWriter, runs: Sequence[Run]) -> None:
    for run in runs:
        writer.add(run.name, run.copy)


def _give(data: bytes, write: Callable[[bytes | memoryview], object]) -> None:
    write(data)
