from __future__ import annotations

import gzip

import pytest

from streamd.doors.delivery.answer import NO_STORE, Answer, MediaRequest
from streamd.doors.delivery.media_path import MediaKind, MediaPath
from streamd.doors.delivery.representation import Representation, Representations
from streamd.media.packager.cmaf_chunk import ChunkBytes
from streamd.media.packager.named_bytes import BytesKind, NamedBytes

TEXT = b"#EXTM3U\n" * 20


def playlist(text: bytes = TEXT) -> NamedBytes:
    return NamedBytes(BytesKind.PLAYLIST, "main", (text,))


def segment() -> NamedBytes:
    return NamedBytes(BytesKind.SEGMENT, "seg17", (b"abcd", ChunkBytes(b"ef", [b"-gh"], [1], 2)), has_video=True)


def get(**fields: str) -> MediaRequest:
    return MediaRequest("GET", MediaPath("demo", MediaKind.MULTIVARIANT), **fields)


def fields(answer: Answer) -> dict[str, str]:
    return dict(answer.headers)


class TestPlaylist:
    def test_gzip_holds_the_same_text_and_no_time(self) -> None:
        answer = Representations().find(playlist(), gzipped=True).answer(get(), 1)
        (data,) = answer.body
        assert gzip.decompress(data) == TEXT
        assert data[4:8] == bytes(4)
        assert fields(answer)["Content-Encoding"] == "gzip"
        assert fields(answer)["Content-Length"] == str(len(data))

    def test_equal_text_has_an_equal_entity_tag_and_each_coding_its_own(self) -> None:
        found = Representations()
        contents = [playlist(), playlist(), playlist(TEXT + b"\n")]
        plain = [fields(found.find(each).answer(get(), 1))["ETag"] for each in contents]
        packed = [fields(found.find(each, gzipped=True).answer(get(), 1))["ETag"] for each in contents]
        assert plain[0] == plain[1] != plain[2]
        assert packed[0] == packed[1] != packed[2]
        assert not set(plain) & set(packed)

    def test_it_is_kept_for_as_long_as_it_is_said(self) -> None:
        found = Representations().find(playlist())
        assert [fields(found.answer(get(), seconds))["Cache-Control"] for seconds in (1, 12)] == [
            "max-age=1",
            "max-age=12",
        ]
        assert fields(found.answer(get(), 1))["Vary"] == "Accept-Encoding"


class TestMedia:
    def test_it_says_what_it_is(self) -> None:
        answer = Representations().find(segment()).answer(get(), 3600)
        assert answer.body == (b"abcd", b"efgh")
        assert fields(answer) | {
            "Content-Type": "video/mp4",
            "Content-Length": "8",
            "Accept-Ranges": "bytes",
            "Cache-Control": "max-age=3600, immutable",
            "ETag": '"seg17"',
        } == fields(answer)
        assert "Vary" not in fields(answer)

    @pytest.mark.parametrize(("has_video", "media_type"), [(True, "video/mp4"), (False, "audio/mp4")])
    def test_its_type_tells_whether_there_is_a_picture(self, has_video: bool, media_type: str) -> None:
        for kind in (BytesKind.INIT, BytesKind.PART, BytesKind.SEGMENT):
            content = NamedBytes(kind, "x", (b"",), has_video=has_video)
            assert fields(Representations().find(content).answer(get(), 1))["Content-Type"] == media_type

    def test_a_range_is_cut_out_of_the_pieces(self) -> None:
        answer = Representations().find(segment()).answer(get(range="bytes=3-4"), 3600)
        assert (answer.status, b"".join(answer.body)) == (206, b"de")
        assert fields(answer)["Content-Range"] == "bytes 3-4/8"

    def test_a_range_of_a_playlist_is_all_of_it(self) -> None:
        assert Representations().find(playlist()).answer(get(range="bytes=3-4"), 1).status == 200

    def test_what_has_not_changed_is_not_put_together(self) -> None:
        answer = Representations().find(segment()).answer(get(if_none_match='W/"seg17", "x"'), 3600)
        assert (answer.status, answer.body) == (304, ())
        assert fields(answer)["ETag"] == '"seg17"'


class TestRepresentations:
    def test_one_object_serves_all_who_ask(self) -> None:
        found, content = Representations(), playlist()
        plain, packed = found.find(content), found.find(content, gzipped=True)
        assert found.find(content) is plain
        assert found.find(content, gzipped=True) is packed
        assert plain.answer(get(), 1) is plain.answer(get(), 1)
        assert found.find(playlist()) is not plain, "equal text of another playlist is another object"

    def test_it_goes_with_the_bytes(self) -> None:
        found = Representations()
        contents = [segment() for _ in range(5)]
        for content in contents:
            found.find(content).answer(get(), 3600)
        assert len(found) == 5
        del content, contents[2:]
        assert len(found) == 2

    def test_two_doors_have_each_their_own(self) -> None:
        content = segment()
        one, other = (Representations().find(content) for _ in range(2))
        assert isinstance(one, Representation)
        assert one is not other
        assert one.answer(get(), 1).body[0] is other.answer(get(), 1).body[0]


class TestPlaylistsOfLockedChannels:
    TEXT = (
        b'#EXTM3U\n#EXT-X-MAP:URI="main/init1.mp4"\n'
        b'#EXT-X-PART:DURATION=1,URI="main/part7.m4s"\nmain/seg1.m4s\nmain.m3u8\n'
    )

    @pytest.mark.parametrize("word", ["abc", "4digits", "0"])
    def test_media_have_the_word_in_their_names(self, word: str) -> None:
        content = NamedBytes(BytesKind.PLAYLIST, "main", (self.TEXT,))
        representations = Representations()
        found = representations.find(content, word=word)
        answer = found.answer(MediaRequest("GET", MediaPath("demo", MediaKind.PLAYLIST, "main")), NO_STORE)
        assert ("Cache-Control", "no-store") in answer.headers
        assert (
            b"".join(bytes(piece) for piece in answer.body)
            == (
                f'#EXTM3U\n#EXT-X-MAP:URI="main/{word}/init1.mp4"\n'
                f'#EXT-X-PART:DURATION=1,URI="main/{word}/part7.m4s"\nmain/{word}/seg1.m4s\nmain.m3u8\n'
            ).encode()
        )

    def test_it_is_made_once_and_anew_for_another_word(self) -> None:
        content = NamedBytes(BytesKind.PLAYLIST, "main", (self.TEXT,))
        representations = Representations()
        first = representations.find(content, word="a", gzipped=True)
        assert representations.find(content, word="a", gzipped=True) is first
        assert representations.find(content, word="b", gzipped=True) is not first
        del content, first
        assert len(representations) == 0
