"""axe-core: what of the Web Content Accessibility Guidelines a program can check, on a page in Chromium."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.async_api import Page

# WCAG 2.2 levels A and AA, and what axe calls good practice beside them: landmarks, headings, one <h1>.
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")

# Colours are read when no transition is half way through. Its rule about contrast is for what is seen, so the page
# has to be in the state that is meant.
_RUN = """
async (tags) => {
  const settled = [...document.getAnimations()]
    .filter((animation) => Number.isFinite(animation.effect.getComputedTiming().endTime))
    .map((animation) => animation.finished.catch(() => {}));
  await Promise.all(settled);
  const { violations } = await axe.run(document, { runOnly: { type: "tag", values: tags } });
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.map((node) => `${id}: ${help}: ${node.target} ${node.html} (${node.failureSummary.replace(/\\s+/g, " ")})`));
}
"""


@dataclass(frozen=True, slots=True)
class Axe:
    """Checks pages.

    Args:
        source: The text of ``axe.min.js``.
    """

    source: str = field(repr=False)

    async def violations(self, page: Page) -> list[str]:
        """Check a page as it stands now.

        Returns:
            One sentence for each element that breaks a rule; none where all is well.
        """
        # Through the debugger, whose scripts no Content-Security-Policy refuses.
        await page.evaluate(self.source)
        found: list[str] = await page.evaluate(_RUN, TAGS)
        return found
