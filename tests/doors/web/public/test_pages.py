"""The viewer's pages as HTTP sees them. How they behave in a browser is in tests/browser."""

from __future__ import annotations

import asyncio
import gzip
import re
import shutil
from collections.abc import Awaitable, Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from streamd.doors.web.assets import ROOT
from streamd.doors.web.public.pages import HLS_MODULE, PAGES_REMEMBERED, Pages

ORIGIN = "https://live.example.org"
# Issue 7's bound for the watch page before media, of which our own part is to stay small.
OWN_BYTES_MAX = 36_000


def make_root(directory: Path, *, has_player: bool) -> Path:
    """The package's pages with a player of a few bytes, or with none."""
    root = directory / "web"
    shutil.copytree(ROOT / "static", root / "static", ignore=shutil.ignore_patterns("vendor"))
    shutil.copytree(ROOT / "templates", root / "templates")
    if has_player:
        (root / "static" / HLS_MODULE).parent.mkdir()
        (root / "static" / HLS_MODULE).write_text("export default class {}", "utf-8")
        (root / "static/vendor/player.sha256").write_text("0", "utf-8")
    return root


@pytest.fixture
def pages(tmp_path: Path) -> Pages:
    return Pages(ORIGIN, root=make_root(tmp_path, has_player=True))


def with_client(pages: Pages, use: Callable[[TestClient[web.Request, web.Application]], Awaitable[None]]) -> None:
    async def run() -> None:
        app = web.Application()
        pages.add_to(app)
        async with TestClient(TestServer(app), auto_decompress=False) as client:
            await use(client)

    asyncio.run(run())


def get(pages: Pages, path: str, method: str = "GET", **headers: str) -> tuple[ClientResponse, bytes]:
    """One request; header names are written with ``_`` for ``-``. Bodies come as sent."""
    result: list[tuple[ClientResponse, bytes]] = []

    async def use(client: TestClient[web.Request, web.Application]) -> None:
        fields = {"Accept-Encoding": "identity", **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with client.request(method, path, headers=fields) as answer:
            result.append((answer, await answer.read()))

    with_client(pages, use)
    return result[0]


class Markup(HTMLParser):
    """What a page refers to, and what it carries inside itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.inline: list[str] = []
        self.body: dict[str, str | None] = {}
        self.meta: dict[str, str] = {}
        self.fields: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.urls += [value for name in ("src", "href") if (value := values.get(name))]
        self.inline += [name for name in values if name.startswith("on") or name == "style"]
        if tag == "style" or (tag == "script" and "src" not in values):
            self.inline.append(tag)
        if tag == "body":
            self.body = values
        if tag == "meta" and (name := values.get("property") or values.get("name")):
            self.meta[name] = values.get("content") or ""
        if tag == "input" and (name := values.get("id")):
            self.fields[name] = values.get("value") or ""


@pytest.mark.parametrize("path", ["/", "/watch/demo", "/watch/Not-A-Name", "/embed/demo", "/embed/Not-A-Name"])
class TestEveryPage:
    def test_is_html_that_is_asked_for_again(self, pages: Pages, path: str) -> None:
        answer, body = get(pages, path)
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-cache"
        assert body.startswith(b"<!doctype html>")

    def test_allows_no_code_but_the_files_of_this_server(self, pages: Pages, path: str) -> None:
        answer, body = get(pages, path)
        policy = dict(
            directive.strip().split(" ", 1) for directive in answer.headers["Content-Security-Policy"].split(";")
        )
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self'"
        assert policy["style-src"] == "'self'"
        assert policy["frame-ancestors"] == ("*" if path.startswith("/embed/") else "'none'")
        assert "X-Frame-Options" not in answer.headers
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert Markup(body.decode()).inline == []

    def test_refers_to_files_that_are_there(self, pages: Pages, path: str) -> None:
        _, body = get(pages, path)
        urls = [url for each in Markup(body.decode()).urls if (url := urljoin(path, each)).startswith("/static/")]
        assert len(urls) >= 2
        for url in urls:
            answer, _ = get(pages, url)
            assert answer.status == 200, url

    def test_refers_to_no_other_server_and_to_nothing_outside_the_path_that_a_proxy_has_put_it_at(
        self, pages: Pages, path: str
    ) -> None:
        _, body = get(pages, path)
        for url in Markup(body.decode()).urls:
            assert urljoin(f"https://site.example/a/tv{path}", url).startswith("https://site.example/a/tv/"), url


class TestWatch:
    def test_names_the_channel_and_the_player(self, pages: Pages) -> None:
        answer, body = get(pages, "/watch/night_owl-2")
        assert answer.status == 200
        attributes = Markup(body.decode()).body
        assert attributes["data-channel"] == "night_owl-2"
        assert attributes["data-hls"] == f"..{pages.static_path}/{HLS_MODULE}"
        assert b"<title>night_owl-2 " in body

    @pytest.mark.parametrize(
        "name",
        [
            "a",
            "Demo",
            "-demo",
            "a" * 65,
            "de.mo",
            "%3Cscript%3E",
            "%22%3E%3Cb%3E",
            "d%C3%A9mo",
            "demo%0A",
            "de%2Fmo",
            "%00a",
        ],
    )
    def test_what_no_channel_can_be_called_is_not_found_and_not_repeated(self, pages: Pages, name: str) -> None:
        answer, body = get(pages, f"/watch/{name}")
        assert answer.status == 404
        assert "data-channel" not in Markup(body.decode()).body
        assert b"<b>" not in body

    def test_without_a_player_says_that_there_is_none(self, tmp_path: Path) -> None:
        pages = Pages(root=make_root(tmp_path, has_player=False))
        assert not pages.has_player
        _, body = get(pages, "/watch/demo")
        markup = Markup(body.decode())
        assert not markup.body["data-hls"]
        assert not [url for url in markup.urls if "vendor" in url]

    def test_a_head_request_has_the_same_fields_and_no_body(self, pages: Pages) -> None:
        full, body = get(pages, "/watch/demo")
        head, nothing = get(pages, "/watch/demo", "HEAD")
        assert (head.status, nothing) == (200, b"")
        assert head.headers["ETag"] == full.headers["ETag"]
        assert head.headers["Content-Length"] == str(len(body))

    def test_our_own_part_of_the_page_is_small(self, pages: Pages) -> None:
        _, page = get(pages, "/watch/demo", Accept_Encoding="gzip")
        urls = [url for url in Markup(gzip.decompress(page).decode()).urls if url.startswith("/static/")]
        sizes = {url: len(get(pages, url, Accept_Encoding="gzip")[1]) for url in urls}
        assert len(page) + sum(sizes.values()) < OWN_BYTES_MAX, sizes


class TestEmbed:
    def test_has_the_player_but_loads_none_before_it_is_asked_to(self, pages: Pages) -> None:
        answer, body = get(pages, "/embed/demo")
        assert answer.status == 200
        markup = Markup(body.decode())
        assert markup.body["data-start"] == "asked"
        assert markup.body["data-hls"] == f"..{pages.static_path}/{HLS_MODULE}"
        assert not [url for url in markup.urls if "vendor" in url]

    def test_is_offered_by_the_watch_page_as_code_to_copy(self, pages: Pages) -> None:
        fields = Markup(get(pages, "/watch/demo")[1].decode()).fields
        assert fields["share-link"] == f"{ORIGIN}/watch/demo"
        assert fields["share-embed"].startswith(f'<iframe src="{ORIGIN}/embed/demo" title="demo, live" ')
        assert fields["share-embed"].endswith("></iframe>")


class TestSharedLinks:
    """The Open Graph protocol, and Twitter's cards: what a network shows of a link."""

    def test_say_what_the_channel_is_and_where_its_picture_is(self, pages: Pages) -> None:
        meta = Markup(get(pages, "/watch/demo")[1].decode()).meta
        assert meta["og:title"] == "demo, live"
        assert meta["og:url"] == f"{ORIGIN}/watch/demo"
        assert meta["og:image"] == f"{ORIGIN}/live/demo/poster.jpg"
        assert meta["og:video"] == f"{ORIGIN}/embed/demo?autoplay=1"
        assert meta["twitter:card"] == "summary_large_image"
        assert {"og:type", "og:description", "og:image:alt"} <= meta.keys()

    def test_have_no_picture_where_none_are_drawn(self, tmp_path: Path) -> None:
        pages = Pages(ORIGIN, has_posters=False, root=make_root(tmp_path, has_player=False))
        assert "og:image" not in Markup(get(pages, "/watch/demo")[1].decode()).meta

    def test_without_a_public_url_addresses_are_as_the_viewer_has_asked(self, tmp_path: Path) -> None:
        pages = Pages(root=make_root(tmp_path, has_player=False))
        for host in ("live.example.org", "live.example.org:8080", "192.0.2.1:80", "[2001:db8::1]:8080"):
            meta = Markup(get(pages, "/watch/demo", Host=host)[1].decode()).meta
            assert meta["og:url"] == f"http://{host}/watch/demo"

    @pytest.mark.parametrize("host", ['a"><script>', "a b", "a/b", "a@b", "a,b", "é"])
    def test_a_host_that_is_none_is_not_repeated(self, tmp_path: Path, host: str) -> None:
        pages = Pages(root=make_root(tmp_path, has_player=False))
        meta = Markup(get(pages, "/watch/demo", Host=host)[1].decode()).meta
        assert meta["og:url"] == "/watch/demo"


class TestStatic:
    def test_is_cached_for_ever_and_of_a_named_type(self, pages: Pages) -> None:
        for name, content_type in {
            "watch.js": "text/javascript; charset=utf-8",
            HLS_MODULE: "text/javascript; charset=utf-8",
            "pages.css": "text/css; charset=utf-8",
            "favicon.svg": "image/svg+xml",
        }.items():
            answer, body = get(pages, f"{pages.static_path}/{name}")
            assert answer.status == 200
            assert answer.headers["Content-Type"] == content_type
            assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert body

    def test_has_another_address_when_a_file_changes(self, pages: Pages, tmp_path: Path) -> None:
        root = tmp_path / "web"
        (root / "static/api.js").write_text("changed", "utf-8")
        changed = Pages(ORIGIN, root=root)
        assert changed.static_path != pages.static_path
        answer, _ = get(changed, f"{pages.static_path}/api.js")
        assert answer.status == 404

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "nothing.js",
            "../pages.py",
            "..%2Fpages.py",
            "%2e%2e/pages.py",
            "..%5cpages.py",
            "/etc/passwd",
            "vendor",
            "vendor/",
            "vendor/package-lock.sha256",
            "vendor/../watch.js%2f..",
            "watch.js/",
            "watch.js%00",
        ],
    )
    def test_what_is_not_a_file_of_ours_is_not_found(self, pages: Pages, name: str) -> None:
        answer, _ = get(pages, f"{pages.static_path}/{name}")
        assert answer.status == 404

    def test_every_module_that_is_imported_is_there(self) -> None:
        static = ROOT / "static"
        for module in static.glob("*.js"):
            for name in re.findall(r'^import .* from "\./(.+)";$', module.read_text("utf-8"), re.MULTILINE):
                assert (static / name).is_file(), f"{module.name} imports {name}"

    def test_no_module_makes_html_from_text(self) -> None:
        for module in (ROOT / "static").glob("*.js"):
            text = module.read_text("utf-8")
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)


class TestConditionalRequests:
    """RFC 9110 section 13.1.2."""

    @pytest.mark.parametrize("path", ["/", "/watch/demo", "/embed/demo", "static"])
    def test_what_is_known_is_not_sent_again(self, pages: Pages, path: str) -> None:
        path = f"{pages.static_path}/watch.js" if path == "static" else path
        etag = get(pages, path)[0].headers["ETag"]
        for known in (etag, f'"other", {etag}', "*", etag.removeprefix("W/")):
            answer, body = get(pages, path, If_None_Match=known)
            assert (answer.status, body) == (304, b""), known
            assert answer.headers["ETag"] == etag
        answer, _ = get(pages, path, If_None_Match='"other"')
        assert answer.status == 200

    def test_pages_of_two_channels_have_two_tags(self, pages: Pages) -> None:
        assert get(pages, "/watch/one")[0].headers["ETag"] != get(pages, "/watch/two")[0].headers["ETag"]

    def test_a_page_that_does_not_exist_is_never_unchanged(self, pages: Pages) -> None:
        assert get(pages, "/watch/NO", If_None_Match="*")[0].status == 404


class TestCompression:
    """RFC 9110 section 12.5.3."""

    @pytest.mark.parametrize(
        ("accept", "coding"),
        [
            ("gzip", "gzip"),
            ("GZIP", "gzip"),
            ("gzip, deflate, br, zstd", "gzip"),
            ("br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip"),
            ("gzip; q=0.001", "gzip"),
            ("gzip;q=0", None),
            ("gzip; q=0.000", None),
            ("br", None),
            ("", None),
            (",;,q=", None),
        ],
    )
    def test_is_sent_where_it_is_accepted(self, pages: Pages, accept: str, coding: str | None) -> None:
        path = f"{pages.static_path}/watch.js"
        plain = get(pages, path)[1]
        answer, body = get(pages, path, Accept_Encoding=accept)
        assert answer.headers.get("Content-Encoding") == coding
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert (gzip.decompress(body) if coding else body) == plain


def test_pages_of_the_last_channels_are_remembered_and_no_more() -> None:
    pages = Pages()
    for number in range(3 * PAGES_REMEMBERED):
        pages._watch_page(f"channel{number}", "")
        pages._embed_page(f"channel{number}")
    assert pages._watch_page.cache_info().currsize == PAGES_REMEMBERED
    assert pages._embed_page.cache_info().currsize == PAGES_REMEMBERED


class TestWithoutAList:
    def test_the_first_page_says_so_and_asks_nothing(self) -> None:
        answer, body = get(Pages(has_list=False), "/")
        assert answer.status == 200
        assert b"not listed here" in body
        assert b"index.js" not in body

    def test_no_page_sends_anybody_to_it(self) -> None:
        _, body = get(Pages(has_list=False), "/watch/Not-A-Name")
        assert b"See who is live" not in body
        assert b"See who is live" in get(Pages(), "/watch/Not-A-Name")[1]

    @pytest.mark.parametrize(
        ("pages", "is_found"),
        [(Pages(), True), (Pages(has_list=False), False), (Pages(is_listed=lambda name: name != "demo"), False)],
    )
    def test_a_channel_is_watched_by_its_name_and_not_found_by_search_engines(
        self, pages: Pages, is_found: bool
    ) -> None:
        answer, _ = get(pages, "/watch/demo")
        assert answer.status == 200
        assert answer.headers.get("X-Robots-Tag") == (None if is_found else "noindex")
        assert get(pages, "/embed/demo")[0].status == 200
