from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streamd.doors.web.assets import ROOT, without_comments

if TYPE_CHECKING:
    from pathlib import Path


class TestComments:
    def test_lines_of_comments_are_served_empty_and_the_others_as_they_are(self) -> None:
        script = (
            b"// What it is for.\n"
            b"/** One line. */\n"
            b"export function f(a) {\n"
            b"  /**\n   * Many.\n   * @param {number} a\n   */\n"
            b"  const b = /** @type {any} */ (a); // stays\n"
            b"  /** @type {any} */ (b).c = 'https://example.org/*';\n"
            b"  return b;\n"
            b"}\n"
        )
        served = without_comments(script)
        assert served.count(b"\n") == script.count(b"\n")
        kept = [line for line in served.split(b"\n") if line.strip()]
        assert kept == [
            b"export function f(a) {",
            b"  const b = /** @type {any} */ (a); // stays",
            b"  /** @type {any} */ (b).c = 'https://example.org/*';",
            b"  return b;",
            b"}",
        ]

    @pytest.mark.parametrize("path", sorted((ROOT / "static").rglob("*.js")), ids=lambda path: path.name)
    def test_of_our_modules_nothing_else_goes(self, path: Path) -> None:
        script = path.read_bytes()
        pairs = zip(script.split(b"\n"), without_comments(script).split(b"\n"), strict=True)
        gone = [before.strip() for before, after in pairs if before != after]
        assert all(line.startswith((b"//", b"/**", b"*")) for line in gone)
        assert without_comments(without_comments(script)) == without_comments(script)
