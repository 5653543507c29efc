from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from streamd.errors import KeyNotFoundError, TargetNotFoundError, TargetRefusedError
from streamd.services.keys.stream_key import StreamKey
from streamd.services.moderation.target import URL_CHARS_MAX, Target, TargetKind, Targets
from streamd.services.recording.recording_id import new_clip_id, new_recording_id
from streamd.services.store.page import Page

NOW = datetime(2026, 7, 28, 12, tzinfo=UTC)
RECORDING, CLIP = new_recording_id(NOW), new_clip_id(NOW)
KEY = StreamKey.generate()


class Known:
    """An index that knows one thing, of ``anna``."""

    def __init__(self, known: str) -> None:
        self.known = known

    async def page(self, found: Any, *, limit: int) -> Page[Any]:
        return Page([SimpleNamespace(id=self.known)] if "anna" in str(found) or RECORDING in str(found) else [], False)

    async def find(self, wanted: str, /) -> Any:
        return SimpleNamespace(user="anna") if wanted == self.known else None

    async def get_key(self, wanted: str, /) -> Any:
        if wanted != self.known:
            raise KeyNotFoundError
        return SimpleNamespace(user="anna")


def targets(public_url: str = "https://live.example") -> Targets:
    return Targets(Known(RECORDING), Known(CLIP), Known(KEY.key_id), lambda: public_url)


class TestWhatIsRead:
    @pytest.mark.parametrize(
        "text",
        [
            "anna",
            "  anna\n",
            "/watch/anna",
            "https://live.example/watch/anna",
            "https://live.example:8443/watch/anna?t=90#player",
            "http://user:pass@LIVE.example/embed/anna",
            "https://live.example/live/anna/index.m3u8",
            "https://live.example/live/anna.flv",
            "https://live.example/live/anna/~ticket/video/seg4.m4s",
            "https://live.example/api/v1/streams/anna",
            "http://localhost:8080/report/anna",
            "http://127.0.0.1/watch/anna",
        ],
    )
    def test_a_channel_under_every_address(self, text: str) -> None:
        assert targets().read(text) == Target(TargetKind.CHANNEL, "anna", "anna")

    @pytest.mark.parametrize(
        "text",
        [
            "{}",
            "/watch/vod/{}",
            "https://live.example/vod/{}/index.m3u8",
            "https://live.example/vod/{}.mp4",
            "https://live.example/vod/{}/~ticket/video/seg000001.m4s",
            "https://live.example/vod/~ticket/{}.mp4",
            "/api/v1/recordings/{}",
        ],
    )
    @pytest.mark.asyncio
    async def test_a_recording_under_every_address(self, text: str) -> None:
        found = await targets().find(text.format(RECORDING))
        assert found == Target(TargetKind.RECORDING, RECORDING, "anna")

    @pytest.mark.parametrize("text", ["{}", "/clip/{}", "https://live.example/vod/{}.mp4", "/watch/vod/{}"])
    @pytest.mark.asyncio
    async def test_a_clip_under_every_address(self, text: str) -> None:
        assert await targets().find(text.format(CLIP)) == Target(TargetKind.CLIP, CLIP, "anna")

    @pytest.mark.asyncio
    async def test_a_key_by_its_id_as_a_whole_and_in_an_rtmp_url(self) -> None:
        for text in (KEY.key_id, KEY.reveal(), f"rtmp://live.example/live/{KEY.reveal()}"):
            assert await targets().find(text) == Target(TargetKind.KEY, KEY.key_id, "anna")

    @pytest.mark.asyncio
    async def test_a_name_that_looks_like_the_id_of_a_key_is_the_channel_where_there_is_no_such_key(self) -> None:
        assert await targets().find("abcdefghjk") == Target(TargetKind.CHANNEL, "abcdefghjk", "abcdefghjk")

    @pytest.mark.asyncio
    async def test_a_name_that_never_was_is_a_channel_all_the_same(self) -> None:
        assert (await targets().find("nobody")).id == "nobody"

    def test_a_server_below_a_path(self) -> None:
        found = targets("https://example.org/tv").read("https://example.org/tv/watch/anna")
        assert found.channel == "anna"

    def test_the_host_that_the_request_came_to(self) -> None:
        found = targets().read("https://mirror.example/watch/anna", own_hosts={"Mirror.example"})
        assert found.channel == "anna"


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        "text",
        [
            "https://elsewhere.example/watch/anna",
            "https://live.example.evil.example/watch/anna",
            "https://live.example@evil.example/watch/anna",
            "https://evil.example/https://live.example/watch/anna",
            "ftp://live.example/watch/anna",
            "javascript://live.example/watch/anna",
            "https://live.example/",
            "https://live.example",
            "https://live.example/admin/anna",
            "/watch/Anna%20",
            "/watch/",
            "/watch/vod/rec_short",
            "rtmp://live.example/live/anna",
            "<script>alert(1)</script>",
            "",
            "an\u202ena",
            "an\u200bna",
            "a\x00b",
            "a" * (URL_CHARS_MAX + 1),
        ],
    )
    def test_what_names_nothing_of_this_server(self, text: str) -> None:
        with pytest.raises(TargetRefusedError):
            targets().read(text)

    @pytest.mark.parametrize("make", [new_recording_id, new_clip_id])
    @pytest.mark.asyncio
    async def test_a_recording_or_clip_that_there_is_not(self, make: Any) -> None:
        with pytest.raises(TargetNotFoundError):
            await targets().find(make(NOW))

    @pytest.mark.asyncio
    async def test_a_whole_key_that_there_is_not_is_not_repeated(self) -> None:
        stranger = StreamKey.generate()
        with pytest.raises(TargetNotFoundError) as caught:
            await targets().find(stranger.reveal())
        assert stranger.secret not in str(caught.value)

    def test_a_long_url_is_read_in_one_pass(self) -> None:
        # Nested quantifiers would take minutes for these.
        for text in ("https://live.example/" + "watch" * 300, "https://" + "a." * 1000):
            with pytest.raises(TargetRefusedError):
                targets().read(text)


class TestPaths:
    @pytest.mark.asyncio
    async def test_what_is_recorded_of_a_channel_is_in_caches_under_its_own_name(self) -> None:
        channel = Target(TargetKind.CHANNEL, "anna", "anna")
        clip = (f"/vod/{CLIP}", f"/clip/{CLIP}")
        recording = (f"/vod/{RECORDING}", f"/watch/vod/{RECORDING}")
        finder = targets()
        assert await finder.paths_of(channel) == [*channel.paths, *recording, *clip]
        assert await finder.paths_of(Target(TargetKind.RECORDING, RECORDING)) == [*recording, *clip]
        assert await finder.paths_of(Target(TargetKind.CLIP, CLIP)) == [*clip]
        assert await finder.paths_of(Target(TargetKind.KEY, KEY.key_id)) == []

    def test_what_caches_may_have(self) -> None:
        assert Target(TargetKind.KEY, KEY.key_id, "anna").paths == (
            "/live/anna",
            "/watch/anna",
            "/embed/anna",
            "/api/v1/streams/anna",
        )
        assert Target(TargetKind.CLIP, CLIP, "anna").paths == (f"/vod/{CLIP}", f"/clip/{CLIP}")
        assert Target(TargetKind.RECORDING, RECORDING, "anna").path == f"/watch/vod/{RECORDING}"
