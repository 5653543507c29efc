from __future__ import annotations

import weakref

from streamd.media.packager.cmaf_chunk import ChunkBytes
from streamd.media.packager.named_bytes import BytesKind, NamedBytes


def test_pieces_are_counted_before_they_are_joined_and_the_same_for_everybody() -> None:
    chunk = ChunkBytes(b"moof", [b"-frame"], [1], 5)
    content = NamedBytes(BytesKind.SEGMENT, "seg17", (b"init", chunk), has_video=True)
    assert content.size_bytes == 13
    assert content.buffers == (b"init", b"moofframe")
    assert content.buffers[1] is chunk.join()


def test_whoever_makes_something_of_them_need_not_keep_them() -> None:
    content = NamedBytes(BytesKind.PART, "part1", (b"moof",))
    seen = weakref.ref(content)
    assert {content: "made of it"}[content] == "made of it"
    del content
    assert seen() is None
