from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING

import pytest
from aiohttp.test_utils import make_mocked_request

from streamd.doors.web import assets
from streamd.doors.web.assets import ROOT, StaticFiles, without_comments

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


class TestStaticFiles:
    @pytest.mark.asyncio
    async def test_one_is_compressed_when_it_is_first_asked_for_and_once_for_all_who_ask(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "static").mkdir()
        for name in ("asked.js", "other.js"):
            (tmp_path / "static" / name).write_text(f"export default '{name}';\n")
        compressed: list[bytes] = []
        compress = assets.gzipped

        def counted(body: bytes, level: int) -> bytes:
            compressed.append(body)
            return compress(body, level)

        monkeypatch.setattr(assets, "gzipped", counted)
        files = StaticFiles(tmp_path)
        assert ("asked.js" in files, "none.js" in files, compressed) == (True, False, [])
        asked = {"version": files.path.removeprefix("/static/"), "path": "asked.js"}
        request = make_mocked_request("GET", "/", {"Accept-Encoding": "gzip"}, match_info=asked)
        answers = await asyncio.gather(*(files._get_file(request) for _ in range(3)))
        for answer in answers:
            assert isinstance(answer.body, bytes)
            assert gzip.decompress(answer.body) == b"export default 'asked.js';\n"
        assert compressed == [b"export default 'asked.js';\n"]

    @pytest.mark.asyncio
    async def test_who_leaves_takes_it_from_nobody_else(self, tmp_path: Path) -> None:
        (tmp_path / "static").mkdir()
        (tmp_path / "static" / "asked.js").write_text("export default 1;\n")
        files = StaticFiles(tmp_path)
        asked = {"version": files.path.removeprefix("/static/"), "path": "asked.js"}
        first, second = (
            asyncio.create_task(files._get_file(make_mocked_request("GET", "/", match_info=asked))) for _ in range(2)
        )
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).body == b"export default 1;\n"
        assert first.cancelled()
