"""The machine's part in moderation, built of its processes, rooms and options; opened and closed with the services."""

from __future__ import annotations

import asyncio
import logging
import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from streamd.process.moderation_options import assistance_options, assistant_options, scan_options, sight_options
from streamd.process.workers.commands import PICTURE_COMMAND, SIGHT_COMMAND, sight_environment, worker_environment
from streamd.services.live.newest_keyframe import newest_keyframe
from streamd.services.moderation.machine.assistance import Assistance, Hands
from streamd.services.moderation.machine.assistant import Assistant
from streamd.services.moderation.machine.findings_store import FindingsStore
from streamd.services.moderation.machine.scan import ScanMode, Scanner
from streamd.services.moderation.machine.sight_process import SightProcess
from streamd.services.posters.picture_process import PictureProcess

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from streamd.clock import Clock
    from streamd.media.packager.rendition import Keyframe
    from streamd.process.config import Config
    from streamd.services.events.sender import Sender
    from streamd.services.live.registry import LiveRegistry
    from streamd.services.metrics import Metrics
    from streamd.services.moderation.machine.assistance import CaseDesk, Pictures
    from streamd.services.store.database import Database

log = logging.getLogger(__name__)

# Lists are replaced by a job at night, and looked for each minute.
FILES_EVERY_S = 60.0
# As long as what reporters have said of themselves is looked for.
FORGET_EVERY_S = 3600.0
# A report's picture is looked at in as many lines as a poster has.
LINES_ENOUGH = 540


class BlockedPictures(Protocol):
    """The blocks, of which some are of pictures."""

    @property
    def hash_changes(self) -> int:
        """Another number when ``hashes`` may be others."""

    def hashes(self) -> Collection[str]:
        """Hashes of pictures that are blocked here, 64 hexadecimal digits each."""


class MachineAssistance:
    """The machine that looks at pictures here, and its work.

    Args:
        config: All of the configuration; the machine is not switched off in it.
        database: The key store's.
        clock: For all times.
        metrics: Counted into.
        sender: Makes the requests to the assistant.
        registry: The live streams.
        desk: The cases.
        pictures: The room where evidence is kept.
        blocks: Knows the pictures that are blocked here.

    Attributes:
        assistance: Asked by the doors and the rooms of moderation.
        scanner: Looks at what nobody has reported.
    """

    def __init__(
        self,
        config: Config,
        database: Database,
        clock: Clock,
        metrics: Metrics,
        sender: Sender,
        registry: LiveRegistry,
        *,
        desk: CaseDesk,
        pictures: Pictures,
        blocks: BlockedPictures,
    ) -> None:
        self._config = config
        self._clock = clock
        self._registry = registry
        self._blocks = blocks
        self._blocks_seen = -1
        environment = sight_environment(os.environ)
        self._reported = SightProcess(SIGHT_COMMAND, environment, clock, sight_options(config, words=True))
        self._scanning = SightProcess(SIGHT_COMMAND, environment, clock, sight_options(config, words=False))
        artist = PictureProcess(PICTURE_COMMAND, worker_environment(os.environ), clock)
        asked = assistant_options(config)
        self.assistance = Assistance(
            assistance_options(config),
            Hands(artist, self._reported, self._scanning),
            FindingsStore(database),
            clock,
            metrics,
            desk=desk,
            pictures=pictures,
            keyframe_of=self._keyframe_of,
            assistant=Assistant(asked, sender, clock) if asked is not None else None,
        )
        self.scanner = Scanner(scan_options(config), registry.channels, self.assistance.scan, clock, metrics)
        self._look_at_files_at = 0.0
        self._forget_at = 0.0
        self._stamps: tuple[object, ...] = ()
        self._files: asyncio.Task[None] | None = None

    @classmethod
    def is_wanted(cls, config: Config) -> bool:
        """Whether a machine looks at anything."""
        return config.moderation.enabled and ScanMode(config.moderation.scan) is not ScanMode.OFF

    async def start(self) -> None:
        """Know what earlier servers have seen.

        Raises:
            StoreUnavailableError: It could not be read.
        """
        await self.assistance.start()
        self._take(self._config)

    def configure(self, config: Config) -> None:
        """Take from a configuration that was read again what can be taken while it runs."""
        self._config = config
        self.assistance.options = assistance_options(config)
        self.scanner.options = scan_options(config)
        self._take(config)

    def tick(self) -> None:
        """Do what is due; called once a second."""
        self.scanner.tick()
        if self._blocks.hash_changes != self._blocks_seen:
            self._take(self._config)
        now = self._clock.monotonic()
        if now >= self._look_at_files_at and (self._files is None or self._files.done()):
            self._look_at_files_at = now + FILES_EVERY_S
            self._files = asyncio.create_task(self._look_at_files())

    async def rest(self) -> None:
        """Look at nothing more that nobody has reported."""
        await self.scanner.close()

    async def close(self) -> None:
        """Look at nothing more, and end the processes."""
        if self._files is not None:
            self._files.cancel()
            await asyncio.gather(self._files, return_exceptions=True)
        await self.rest()
        await self.assistance.close()

    def _take(self, config: Config) -> None:
        self._blocks_seen = self._blocks.hash_changes
        # In one order: another order of the same hashes would have everything read anew.
        hashes = sorted(self._blocks.hashes())
        self._reported.options = sight_options(config, hashes, words=True)
        self._scanning.options = sight_options(config, hashes, words=False)

    async def _look_at_files(self) -> None:
        """Have lists and models be read again that have changed, and forget what is old."""
        try:
            moderation = self._config.moderation
            stamps = await asyncio.to_thread(_stamps, [*moderation.hash_lists, moderation.classifier])
            if self._stamps and stamps != self._stamps:
                log.info("hash_list.changed")
                self._reported.reload()
                self._scanning.reload()
            self._stamps = stamps
            await self._forget()
        except Exception:
            log.exception("hash_list.look_failed")

    async def _forget(self) -> None:
        """Forget what was found in cases whose evidence is not kept any more."""
        if (now := self._clock.monotonic()) < self._forget_at:
            return
        self._forget_at = now + FORGET_EVERY_S
        before = self._clock.now() - timedelta(days=self._config.moderation.evidence_keep_days)
        if forgotten := await self.assistance.forget(before):
            log.info("findings.forgotten", extra={"findings": forgotten})

    def _keyframe_of(self, name: str) -> Keyframe | None:
        channel = self._registry.find_channel(name)
        return newest_keyframe(channel, LINES_ENOUGH) if channel is not None else None


def _stamps(paths: Sequence[str]) -> tuple[object, ...]:
    """A stamp that changes with the files; the same for one that is not there."""
    return ("files", *(_stamp(path) for path in paths if path))


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
