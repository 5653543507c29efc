from __future__ import annotations

import pytest

from streamd.media.packager.cmaf_chunk import ChunkBytes


class TestChunkBytes:
    @pytest.mark.parametrize(
        ("payloads", "starts", "joined"),
        [
            ([], [], b"moof"),
            ([b"head of a tag, frame"], [15], b"moofframe"),
            ([b"a", b"-b", b"--c"], [0, 1, 2], b"moofabc"),
            ([b"-"], [1], b"moof"),
        ],
    )
    def test_is_put_together_once(self, payloads: list[bytes], starts: list[int], joined: bytes) -> None:
        content = ChunkBytes(b"moof", payloads, starts, len(joined) - 4)
        assert len(content) == len(joined)
        assert content.join() == joined
        assert content.join() is content.join()
        assert len(content) == len(joined)

    def test_shows_its_bytes_where_they_lie(self) -> None:
        content = ChunkBytes(b"moof", [b"-frame", b"s"], [1, 0], 6)
        assert [bytes(piece) for piece in content.pieces()] == [b"moof", b"frame", b"s"]
        joined = content.join()
        (piece,) = content.pieces()
        assert piece is joined
