"""The machine's part in moderation with stand-ins for its processes and for the cases."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamd.services.metrics import Metrics
from streamd.services.moderation.categories import Category
from streamd.services.moderation.machine.assistance import Assistance, AssistanceOptions, Hands
from streamd.services.moderation.machine.drafts import CaseFacts
from streamd.services.moderation.machine.findings_store import FindingsStore
from streamd.services.moderation.machine.sight import Look, Ready, Wanted

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.media.storyboard import CellSize
    from streamd.services.keys.key_store import KeyStore


@dataclass
class StandInHands:
    """Both processes: what is drawn is what was given, and what is seen is ``sees``."""

    sees: Look = field(default_factory=lambda: Look("ab" * 32, 100, scores=(("face", 0.3),)))
    error: Exception | None = None
    is_undecodable: bool = False
    drawn: list[tuple[bytes, bytes, CellSize]] = field(default_factory=list)
    looked: list[tuple[bytes, Wanted]] = field(default_factory=list)
    closed: int = 0
    ready: Ready | None = None

    async def draw_pixels(self, cmaf_header: bytes, picture: bytes, box: CellSize) -> bytes | None:
        self.drawn.append((cmaf_header, picture, box))
        return None if self.is_undecodable else picture

    async def look(self, pixels: bytes, wanted: Wanted) -> Look:
        self.looked.append((pixels, wanted))
        if self.error is not None:
            raise self.error
        return self.sees

    async def close(self) -> None:
        self.closed += 1


@dataclass
class StandInDesk:
    """Cases that are opened and noted."""

    clock: Clock
    noted: list[tuple[str, float, bool, str]] = field(default_factory=list)
    opened: list[tuple[str, Category, str]] = field(default_factory=list)
    explanations: tuple[str, ...] = ("help",)
    gone: set[str] = field(default_factory=set)
    restricted: set[str] = field(default_factory=set)

    async def facts(self, case_id: str) -> CaseFacts | None:
        if case_id in self.gone:
            return None
        return CaseFacts(
            case_id, "demo", Category.VIOLENCE, self.clock.now(), explanations=self.explanations, reports=1
        )

    async def note_machine(
        self, case_id: str, *, priority_factor: float, on_top: bool, restricted: bool, summary: str
    ) -> None:
        self.noted.append((case_id, priority_factor, on_top, summary))
        if restricted:
            self.restricted.add(case_id)

    async def open_by_machine(self, channel: str, category: Category, summary: str) -> str:
        self.opened.append((channel, category, summary))
        return f"case_of_{channel}"


class StandInPictures:
    """The room of evidence, which has the same picture of everything."""

    def __init__(self) -> None:
        self.jpeg: bytes | None = b"jpeg"

    async def picture(self, _case_id: str) -> bytes | None:
        return self.jpeg


def assistance_of(
    store: KeyStore, clock: Clock, hands: StandInHands | None = None, desk: StandInDesk | None = None
) -> Assistance:
    """A machine without processes, on a store."""
    both = hands or StandInHands()
    return Assistance(
        AssistanceOptions(),
        Hands(both, both, both),
        FindingsStore(store.database),
        clock,
        Metrics(),
        desk=desk or StandInDesk(clock),
        pictures=StandInPictures(),
        keyframe_of=lambda _: None,
    )
