from __future__ import annotations

from http import HTTPStatus

import pytest

from streamd.doors.delivery.answer import Absence
from streamd.doors.delivery.push_path import PATH_CHARS_MAX, PushFormat, PushPath, decide_push, parse_push_path

FLV = PushPath("demo", PushFormat.FLV)
MP4 = PushPath("demo", PushFormat.MP4)


class TestPath:
    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("/live/demo.flv", FLV),
            ("/live/demo.mp4", MP4),
            ("/live/a_-9.flv", PushPath("a_-9", PushFormat.FLV)),
            ("/live/" + "a" * 64 + ".mp4", PushPath("a" * 64, PushFormat.MP4)),
        ],
    )
    def test_names_a_channel_and_a_format(self, path: str, expected: PushPath) -> None:
        assert parse_push_path(path) == expected

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "/",
            "/live/demo",
            "/live/demo.m3u8",
            "/live/demo.FLV",
            "/live/demo.flv/",
            "/live/demo.flv\n",
            "/live/demo.flv\0",
            "/live/demo.mp4.flv",
            "/live/a.flv",
            "/live/_demo.flv",
            "/live/Demo.flv",
            "/live/de%6do.flv",
            "/live/demo%2eflv",
            "/live/main/demo.flv",
            "/live//demo.flv",
            "/live/../demo.flv",
            "/live/" + "a" * 65 + ".flv",
            "//live/demo.flv",
            "http://host/live/demo.flv",
            "/live/" + "a" * PATH_CHARS_MAX + ".flv",
        ],
    )
    def test_any_other_spelling_is_another_path(self, path: str) -> None:
        assert parse_push_path(path) is None


class TestAnswer:
    @pytest.mark.parametrize(("path", "media_type"), [(FLV, "video/x-flv"), (MP4, "video/mp4")])
    def test_the_head_is_that_of_a_stream_without_an_end(self, path: PushPath, media_type: str) -> None:
        head = decide_push("GET", path, None)
        fields = dict(head.headers)
        assert head.status == HTTPStatus.OK
        assert head.body == ()
        assert fields["Content-Type"] == media_type
        assert fields["Cache-Control"] == "no-store"
        assert fields["Access-Control-Allow-Origin"] == "*"
        assert fields.keys().isdisjoint({"Content-Length", "Transfer-Encoding", "Accept-Ranges", "ETag"})

    def test_head_is_answered_like_get(self) -> None:
        assert decide_push("HEAD", FLV, None) is decide_push("GET", FLV, None)

    @pytest.mark.parametrize(
        ("method", "absence", "status"),
        [
            ("GET", Absence.UNKNOWN, HTTPStatus.NOT_FOUND),
            ("HEAD", Absence.UNKNOWN, HTTPStatus.NOT_FOUND),
            ("GET", Absence.TAKEN_DOWN, HTTPStatus.GONE),
            ("OPTIONS", None, HTTPStatus.NO_CONTENT),
            ("OPTIONS", Absence.UNKNOWN, HTTPStatus.NO_CONTENT),
            ("POST", None, HTTPStatus.METHOD_NOT_ALLOWED),
            ("POST", Absence.TAKEN_DOWN, HTTPStatus.METHOD_NOT_ALLOWED),
        ],
    )
    def test_everything_else_is_answered_as_under_any_path_of_media(
        self, method: str, absence: Absence | None, status: HTTPStatus
    ) -> None:
        answer = decide_push(method, FLV, absence)
        assert answer.status == status
        assert ("Access-Control-Allow-Origin", "*") in answer.headers
        assert bool(answer.body) == (method != "HEAD" and status != HTTPStatus.NO_CONTENT)
