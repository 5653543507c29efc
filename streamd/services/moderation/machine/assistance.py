"""The machine's help for the people who decide: it looks at pictures of cases, and sets the order of cases.

It never decides. Its findings are told with the case, with a draft of what could be written; whether people agreed is
counted, and that is its error rate.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from streamd.errors import AssistantError, PictureError, PictureWorkerRestsError, StoreUnavailableError
from streamd.limits import MODERATION
from streamd.media.picture import SIDE_PIXELS_MAX
from streamd.media.storyboard import CellSize
from streamd.services.audit.records import SERVER
from streamd.services.keys.stream_key import StreamKey
from streamd.services.moderation.act_details import ActDetails
from streamd.services.moderation.categories import Category
from streamd.services.moderation.ids import IdKind, new_id
from streamd.services.moderation.machine.drafts import CaseFacts, Draft, draft_statement
from streamd.services.moderation.machine.duplicates import CASES_MAX, Duplicates
from streamd.services.moderation.machine.findings import (
    FindingSource,
    MachineRecord,
    PictureFinding,
    Suggestion,
    Weight,
    weigh,
)
from streamd.services.moderation.machine.sight import Look, Wanted
from streamd.services.moderation.statement import SourceType

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.media.packager.rendition import Keyframe
    from streamd.services.audit.records import Actor
    from streamd.services.metrics import Metrics
    from streamd.services.moderation.machine.findings_store import FindingsStore
    from streamd.services.moderation.machine.sight import Ready

log = logging.getLogger(__name__)

# Words are read in as much of a picture as a poster shows.
REPORT_BOX: Final = CellSize(SIDE_PIXELS_MAX, SIDE_PIXELS_MAX)
# A fingerprint reduces a picture to 64 x 64, and the classifier was made with 320: more is only copied about.
SCAN_BOX: Final = CellSize(320, 320)
# A case that a crowd reports is looked at again after this time, and not for each report.
LOOK_AGAIN_S: Final = 30.0
# A channel whose pictures were found is found again in each of them: once in this time is told.
FOUND_AGAIN_S: Final = 600.0
# Cases and channels of which it is known when they were looked at; the oldest are forgotten first.
SEEN_MAX: Final = 10_000
# Suggestions under way; the assistant itself is asked for one at a time.
SUGGESTIONS_MAX: Final = 16
# Rows that one transaction removes; the next ones an hour later.
FORGOTTEN_AT_ONCE: Final = 1000
# In place of a line that was read in a picture: encoders show their stream key.
KEY_SHOWN: Final = "[a stream key]"
SUMMARY_CHARS_MAX: Final = 500


class Target(Protocol):
    """What a case is about."""

    @property
    def channel(self) -> str:
        """The channel's name; empty where that is not known."""


class Pictures(Protocol):
    """The room where evidence is kept."""

    async def picture(self, case_id: str, /) -> bytes | None:
        """The last picture of a case, a JPEG file; None where there is none."""


class CaseDesk(Protocol):
    """The cases, as the machine knows them."""

    async def facts(self, case_id: str, /) -> CaseFacts | None:
        """What is known of a case; None where there is none."""

    async def note_machine(
        self, case_id: str, /, *, priority_factor: float, on_top: bool, restricted: bool, summary: str
    ) -> None:
        """Set what the machine says about a case's priority, and whether its evidence is restricted."""

    async def open_by_machine(self, channel: str, category: Category, summary: str, /) -> str:
        """Open a case that nobody has reported, or find the one that is open; its id."""


class Artist(Protocol):
    """The process that decodes."""

    async def draw_pixels(self, cmaf_header: bytes, picture: bytes, box: CellSize, /) -> bytes | None:
        """Scale a keyframe, or a JPEG file, into a box, as values of pixels."""

    async def close(self) -> None:
        """End it."""


class Eye(Protocol):
    """The process that looks."""

    @property
    def ready(self) -> Ready | None:
        """What it can do; None before it has begun."""

    async def look(self, pixels: bytes, wanted: Wanted, /) -> Look:
        """Look at a picture."""

    async def close(self) -> None:
        """End it."""


class Suggests(Protocol):
    """The service that may suggest something."""

    async def suggest(self, facts: CaseFacts, finding: PictureFinding | None, /) -> Suggestion | None:
        """Ask what it makes of a case.

        Raises:
            AssistantError: It did not answer, or something else.
        """


@dataclass(frozen=True, slots=True)
class AssistanceOptions:
    """What counts as found."""

    labels: tuple[str, ...] = ()
    """Of the classifier; none for all."""
    threshold: float = MODERATION.classifier_score_min
    """From which score on a label is found."""
    label_category: Category = Category.OTHER_VIOLATION_TC
    """What a label is a sign of."""


@dataclass(frozen=True, slots=True)
class Hands:
    """The processes that the machine has, two of a kind: a report does not wait for what scans."""

    artist: Artist
    reported: Eye
    scanning: Eye


@dataclass(slots=True)
class _Seen:
    """A case or a channel that was looked at."""

    looked_at: float
    """Loop time."""
    told: Weight = field(default_factory=Weight)
    """The gravest that was said of it."""


class Assistance:
    """Looks at pictures for the people who decide.

    Args:
        options: What counts as found; another may be put in its place while it runs.
        hands: What decodes and looks.
        store: Keeps what was found.
        clock: For all times.
        metrics: Counted into.
        desk: The cases.
        pictures: The room where evidence is kept.
        keyframe_of: The newest keyframe of a channel by its name; None where there is none.
        assistant: Asked for suggestions; None where there is none.
    """

    def __init__(
        self,
        options: AssistanceOptions,
        hands: Hands,
        store: FindingsStore,
        clock: Clock,
        metrics: Metrics,
        *,
        desk: CaseDesk,
        pictures: Pictures,
        keyframe_of: Callable[[str], Keyframe | None],
        assistant: Suggests | None = None,
    ) -> None:
        self.options = options
        self._hands = hands
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._desk = desk
        self._pictures = pictures
        self._keyframe_of = keyframe_of
        self._assistant = assistant
        self._duplicates = Duplicates()
        self._cases: OrderedDict[str, _Seen] = OrderedDict()
        self._channels: OrderedDict[str, _Seen] = OrderedDict()
        self._suggestions: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Know the pictures of earlier cases.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        self._duplicates.load(await self._store.hashes(CASES_MAX))

    async def close(self) -> None:
        """Look at nothing more."""
        for task in self._suggestions:
            task.cancel()
        await asyncio.gather(*self._suggestions, return_exceptions=True)
        for process in (self._hands.artist, self._hands.reported, self._hands.scanning):
            await process.close()

    async def look_at(self, case_id: str, target: Target) -> None:
        """Look at the picture of a case that was reported, and say how urgent it is; what fails is logged.

        A case that was looked at a moment ago is not looked at again.

        Args:
            case_id: The case.
            target: What it is about.
        """
        seen = self._cases.get(case_id)
        now = self._clock.monotonic()
        if seen is not None and now < seen.looked_at + LOOK_AGAIN_S:
            return
        seen = _note(self._cases, case_id, now)
        try:
            pixels = await self._pixels(case_id, target.channel)
            if pixels is None:
                self._count(FindingSource.REPORT, "no_picture")
                return
            look = await self._hands.reported.look(pixels, Wanted.SCORES | Wanted.WORDS)
            await self._found(case_id, target.channel, look, FindingSource.REPORT, seen)
        except (PictureError, StoreUnavailableError) as exc:
            if isinstance(exc, PictureWorkerRestsError):
                # Another picture was to blame: the next report of the case has it looked at.
                seen.looked_at = -LOOK_AGAIN_S
            self._note_failure(FindingSource.REPORT, target.channel, exc)

    async def scan(self, channel: str, keyframe: Keyframe) -> None:
        """Look at a picture that nobody has reported; where something is found, open a case. A failure is logged.

        Args:
            channel: Its name.
            keyframe: Of it.
        """
        try:
            pixels = await self._hands.artist.draw_pixels(keyframe.cmaf_header, keyframe.fragment, SCAN_BOX)
            if pixels is None:
                self._count(FindingSource.SCAN, "no_picture")
                return
            look = await self._hands.scanning.look(pixels, Wanted.SCORES)
            weight = self._weigh(look, "")
            if not weight.signs:
                self._count(FindingSource.SCAN, "nothing", look)
                return
            await self._found_by_scan(channel, look, weight)
        except (PictureError, StoreUnavailableError) as exc:
            self._note_failure(FindingSource.SCAN, channel, exc)

    async def findings(self, case_id: str) -> list[PictureFinding]:
        """What was found for a case, the newest first.

        Raises:
            StoreUnavailableError: It could not be read.
        """
        return await self._store.of_case(case_id)

    async def judge(self, case_id: str, finding_id: str, *, agreed: bool, by: Actor) -> PictureFinding | None:
        """Count what a person makes of one finding, whatever they decide about its case.

        Args:
            case_id: Its case.
            finding_id: Its id.
            agreed: Whether they saw what the machine found.
            by: The person.

        Returns:
            The finding as it is judged now; None where there is none.

        Raises:
            ModerationStateError: Nothing was found in it.
            StoreUnavailableError: It could not be written.
        """
        judged = await self._store.judge_one(case_id, finding_id, agreed=agreed, by=by, now=self._clock.now())
        if judged is None:
            return None
        finding, is_new = judged
        if is_new:
            self._metrics.moderation.moderation_judged_total.labels("agreed" if agreed else "disagreed").inc()
        return finding

    async def record(self) -> MachineRecord:
        """How often people agreed with what was found.

        Raises:
            StoreUnavailableError: It could not be read.
        """
        return await self._store.record()

    async def forget(self, decided_before: datetime) -> int:
        """Forget what was found in cases that were decided before a time, as many as are forgotten at once; how many.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        return await self._store.forget(decided_before, limit=FORGOTTEN_AT_ONCE)

    @property
    def ready(self) -> Ready | None:
        """What the process can do that looks at reports, or else the one that scans; None before either has begun."""
        return self._hands.reported.ready or self._hands.scanning.ready

    async def draft(self, case_id: str) -> Draft | None:
        """A statement of reasons for a case, as far as it is known; None where there is no such case.

        Raises:
            StoreUnavailableError: It could not be read.
        """
        facts = await self._desk.facts(case_id)
        if facts is None:
            return None
        findings = await self._store.of_case(case_id)
        # The newest in which something was found, or else the newest.
        found = next((each for each in findings if each.signs), findings[0] if findings else None)
        return draft_statement(facts, found)

    async def note_decision(self, case_id: str, *, agreed: bool, by: Actor, category: Category | None = None) -> None:
        """Count whether a person saw in a case what the machine found there; what fails is logged.

        Args:
            case_id: The case that they decided.
            agreed: Whether there was something: the decision has a ground.
            by: The person.
            category: That they decided on.
        """
        details = ActDetails(category=category.value if category is not None else "", automated_detection=True)
        try:
            judged = await self._store.judge(case_id, agreed=agreed, by=by, now=self._clock.now(), details=details)
        except StoreUnavailableError as exc:
            log.warning("machine.not_judged", extra={"case": case_id, "reason": str(exc)})
            return
        if judged:
            self._metrics.moderation.moderation_judged_total.labels("agreed" if agreed else "disagreed").inc(judged)

    async def _pixels(self, case_id: str, channel: str) -> bytes | None:
        """The pixels of a case's picture, and where none is kept, those of what is shown now.

        Raises:
            PictureError: They could not be drawn.
        """
        jpeg = await self._pictures.picture(case_id)
        if jpeg is not None:
            return await self._hands.artist.draw_pixels(b"", jpeg, REPORT_BOX)
        keyframe = self._keyframe_of(channel) if channel else None
        if keyframe is None:
            return None
        return await self._hands.artist.draw_pixels(keyframe.cmaf_header, keyframe.fragment, REPORT_BOX)

    def _weigh(self, look: Look, case_id: str) -> Weight:
        duplicates = self._duplicates.find(case_id, look.hash) if case_id and look.is_comparable else ()
        options = self.options
        return weigh(look, duplicates, options.labels, options.threshold, options.label_category)

    async def _found_by_scan(self, channel: str, look: Look, weight: Weight) -> None:
        now = self._clock.monotonic()
        seen = self._channels.get(channel)
        if seen is not None and now < seen.looked_at + FOUND_AGAIN_S and not _is_graver(weight, seen.told):
            self._count(FindingSource.SCAN, "found_again", look)
            return
        seen = _note(self._channels, channel, now)
        category = weight.category or Category.NOT_SPECIFIED_NOTICE
        case_id = await self._desk.open_by_machine(channel, category, weight.summary)
        seen.told = weight
        await self._found(case_id, channel, look, FindingSource.SCAN, _note(self._cases, case_id, now))

    async def _found(self, case_id: str, channel: str, look: Look, source: FindingSource, seen: _Seen) -> None:
        """Say what was found, keep it, and ask the assistant."""
        look = replace(look, words=tuple(KEY_SHOWN if StreamKey.occurs_in(line) else line for line in look.words))
        duplicates = self._duplicates.find(case_id, look.hash) if look.is_comparable else ()
        weight = self._weigh(look, case_id)
        if look.is_comparable:
            self._duplicates.note(case_id, look.hash)
        now = self._clock.now()
        finding = PictureFinding(
            new_id(IdKind.FINDING, now),
            case_id,
            channel,
            now,
            source,
            look,
            duplicates,
            weight.signs,
        )
        self._count(source, "found" if weight.signs else "nothing", look)
        if weight.signs and _is_graver(weight, seen.told):
            seen.told = weight
            await self._tell(case_id, weight)
        details = ActDetails(
            category=weight.category.value if weight.category is not None else "",
            source_type=(SourceType.VOLUNTARY if source is FindingSource.SCAN else SourceType.ARTICLE_16).value,
            automated_detection=True,
        )
        await self._store.add(finding, SERVER, details)
        if weight.signs:
            log.info("machine.found", extra={"case": case_id, "stream": channel, "signs": weight.summary})
        self._ask_assistant(finding, seen)

    async def _tell(self, case_id: str, weight: Weight, factor: float = 1.0, words: str = "") -> None:
        """Say what the machine makes of a case."""
        summary = "; ".join(filter(None, (weight.summary, words)))[:SUMMARY_CHARS_MAX]
        await self._desk.note_machine(
            case_id,
            priority_factor=weight.factor * factor,
            on_top=weight.is_on_top,
            restricted=weight.category is Category.PROTECTION_OF_MINORS,
            summary=summary,
        )

    def _ask_assistant(self, finding: PictureFinding, seen: _Seen) -> None:
        if self._assistant is None or len(self._suggestions) >= SUGGESTIONS_MAX:
            return
        task = asyncio.create_task(self._suggest(self._assistant, finding, seen))
        self._suggestions.add(task)
        task.add_done_callback(self._suggestions.discard)

    async def _suggest(self, assistant: Suggests, finding: PictureFinding, seen: _Seen) -> None:
        try:
            facts = await self._desk.facts(finding.case_id)
            if facts is None:
                return
            suggestion = await assistant.suggest(_without_keys(facts), finding)
            if suggestion is None:
                return
            await self._store.suggest(finding.id, suggestion)
            words = f"assistant: {suggestion.summary}" if suggestion.summary else ""
            await self._tell(finding.case_id, seen.told, suggestion.factor, words)
            self._metrics.moderation.moderation_suggestions_total.labels("answered").inc()
        except (AssistantError, StoreUnavailableError) as exc:
            self._metrics.moderation.moderation_suggestions_total.labels("failed").inc()
            log.warning("assistant.failed", extra={"case": finding.case_id, "reason": str(exc)})
        except Exception:
            log.exception("assistant.broke", extra={"case": finding.case_id})

    def _count(self, source: FindingSource, result: str, look: Look | None = None) -> None:
        self._metrics.moderation.moderation_looks_total.labels(source.value, result).inc()
        if look is not None and look.fault:
            # A missing part is told when the process begins; this is a model that fails on one picture.
            log.debug("look.incomplete", extra={"source": source.value, "reason": look.fault})

    def _note_failure(self, source: FindingSource, channel: str, exc: Exception) -> None:
        self._count(source, "failed")
        log.warning("look.failed", extra={"source": source.value, "stream": channel, "reason": str(exc)})


def _note(seen: OrderedDict[str, _Seen], name: str, now: float) -> _Seen:
    """Note that a case or a channel is looked at."""
    entry = seen.setdefault(name, _Seen(now))
    entry.looked_at = now
    seen.move_to_end(name)
    if len(seen) > SEEN_MAX:
        seen.popitem(last=False)
    return entry


def _is_graver(weight: Weight, told: Weight) -> bool:
    return (weight.is_on_top, weight.factor) > (told.is_on_top, told.factor) or not told.signs


def _without_keys(facts: CaseFacts) -> CaseFacts:
    explanations = tuple(KEY_SHOWN if StreamKey.occurs_in(text) else text for text in facts.explanations)
    return replace(facts, explanations=explanations)
