from __future__ import annotations

import pytest

from streamd.formats.rtmp.stream_name import find_stream_key, path_of

KEY = "sk_abc"


def is_key(text: str) -> bool:
    return text in (KEY, "sk_other")


def find(app: str, stream_name: str, tc_url: str) -> str:
    return find_stream_key(app, stream_name, tc_url, is_key)


class TestTheUsualPlace:
    """What is there is taken for the key, whatever form it has."""

    @pytest.mark.parametrize(
        ("app", "stream_name", "tc_url", "key"),
        [
            ("live", "mine", "rtmp://host/live", "mine"),
            ("live", "mine?token=x&y=/z", "", "mine"),
            ("live?vhost=a", "mine", "", "mine"),
            ("live/mine", "", "rtmp://host/live/mine", "mine"),
            ("live/mine?x=y", "", "", "mine"),
            ("live/mine", "other", "", "other"),
            ("live", "live/mine", "", "mine"),
            ("live", "/mine/", "", "mine"),
            ("live", " mine\r\n", "", "mine"),
            ("live", "'mine'", "", "mine"),
            ("live", "", "rtmp://host:1935/live/mine", "mine"),
            ("", "", "rtmp://host/live/mine?x=y", "mine"),
            ("", "mine", "", "mine"),
            ("live", "../../etc/passwd", "", "passwd"),
        ],
    )
    def test_is_behind_the_app(self, app: str, stream_name: str, tc_url: str, key: str) -> None:
        assert find(app, stream_name, tc_url) == key

    @pytest.mark.parametrize(
        ("app", "stream_name", "tc_url"),
        [
            ("live", "", "rtmp://host/live"),
            ("live", "?x=y", ""),
            ("live/", " / ", ""),
            ("", "", ""),
            ("", "", "nonsense"),
            ("mine", "", "rtmp://host/mine"),
            ("live", "\u200b\ufeff", "rtmp://host/live"),
        ],
    )
    def test_may_be_empty(self, app: str, stream_name: str, tc_url: str) -> None:
        assert find(app, stream_name, tc_url) == ""


class TestAnyPlace:
    """A text with the form of a key is the key wherever it stands alone."""

    @pytest.mark.parametrize(
        ("app", "stream_name", "tc_url"),
        [
            ("live", KEY, "rtmp://host/live"),
            (KEY, "", f"rtmp://host/{KEY}"),
            (f"{KEY}?user=", "", f"rtmp://host/{KEY}?user="),
            ("", "", f"rtmp://host:1935/{KEY}"),
            ("live", f"{KEY}?user=a/b", ""),
            (f"live?x=1/{KEY}", "", f"rtmp://host/live?x=1/{KEY}"),
            ("live?x=1", KEY, "rtmp://host/live?x=1"),
            ("live", f"?x=1/{KEY}", ""),
            ("live", f"alice?key={KEY}", ""),
            ("live", f"alice?{KEY}", ""),
            (KEY, "stream", f"rtmp://host/{KEY}"),
            (f"{KEY}/live", "", ""),
            ("live", f"{KEY}/", ""),
            ("live", "", f"rtmp://host/live/{KEY}"),
        ],
    )
    def test_is_looked_at(self, app: str, stream_name: str, tc_url: str) -> None:
        assert find(app, stream_name, tc_url) == KEY

    def test_the_stream_name_comes_first(self) -> None:
        assert find("live/sk_other", KEY, "rtmp://host/live/sk_other") == KEY

    def test_a_key_within_a_longer_word_is_none(self) -> None:
        assert find("live", f"x{KEY}", "") == f"x{KEY}"

    def test_a_url_of_thousands_of_parts_is_looked_at_up_to_a_bound(self) -> None:
        asked: list[str] = []

        def note(text: str) -> bool:
            asked.append(text)
            return False

        find_stream_key("/" * 2048, "&" * 2048, "rtmp://host/" + "?" * 2048, note)
        assert len(asked) < 100


@pytest.mark.parametrize(
    "around",
    [
        pytest.param(("\xa0", "\xa0"), id="no-break spaces"),
        pytest.param(("\ufeff", ""), id="a byte order mark"),
        pytest.param(("\u200b", "\u200d\u2060"), id="signs without a width"),
        pytest.param(("\u201c", "\u201d"), id="curly quotes"),
        pytest.param(("\u2018", "\u2019"), id="single curly quotes"),
        pytest.param(("\u201e", "\u201c"), id="German quotes"),
        pytest.param(("\xab\u202f", "\u202f\xbb"), id="French quotes"),
        pytest.param(("`", "`"), id="backticks"),
        pytest.param(("\u202a", "\u202c"), id="signs of direction"),
        pytest.param(("", "\ufffd"), id="a byte that is no UTF-8"),
        pytest.param((" \u3000\t", "\r\n"), id="blanks"),
    ],
)
@pytest.mark.parametrize("text", [KEY, "mine"])
def test_what_comes_along_when_a_key_is_copied_is_left_out(text: str, around: tuple[str, str]) -> None:
    before, behind = around
    assert find("live", f"{before}{text}{behind}", "rtmp://host/live") == text
    assert find(f"live/{before}{text}{behind}", "", "") == text


@pytest.mark.parametrize(
    ("url", "path"),
    [("rtmp://host/live/KEY", "live/KEY"), ("rtmp://host:1935/live", "live"), ("rtmp://host", ""), ("live", "")],
)
def test_the_path_is_what_stands_after_the_host(url: str, path: str) -> None:
    assert path_of(url) == path
