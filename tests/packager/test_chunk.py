from __future__ import annotations

import pytest

from streamd.packager.chunk import ChunkBytes

MESSAGE = b"head of a tag, frame"


class TestChunkBytes:
    @pytest.mark.parametrize(
        ("pieces", "joined"),
        [
            ((b"moof",), b"moof"),
            ((b"moof", memoryview(MESSAGE)[15:]), b"moofframe"),
            ((memoryview(MESSAGE)[15:],), b"frame"),
            ((b"", b"a", memoryview(b"")), b"a"),
        ],
    )
    def test_is_put_together_once(self, pieces: tuple[bytes | memoryview, ...], joined: bytes) -> None:
        content = ChunkBytes(pieces)
        assert len(content) == len(joined)
        assert content.join() == joined
        assert content.join() is content.join()
        assert len(content) == len(joined)

    def test_one_piece_of_bytes_is_not_copied(self) -> None:
        assert ChunkBytes((MESSAGE,)).join() is MESSAGE
