"""Immutable bytes under a name, which the packager hands to senders, stores and relays."""

from __future__ import annotations

import enum

from streamd.media.packager.cmaf_chunk import ChunkBytes


class BytesKind(enum.Enum):
    """The kind of bytes; each has a format of its own."""

    INIT = "init"
    """A CMAF header: ``ftyp`` and ``moov``."""
    PART = "part"
    """One CMAF chunk: ``moof`` and ``mdat``."""
    SEGMENT = "segment"
    """The chunks of one segment."""
    PLAYLIST = "playlist"
    """The text of a playlist, UTF-8. Unlike names of media, its name stands for other bytes after a change."""


class NamedBytes:
    """Bytes that never change, shared by all senders; made once, and the same object for as long as it is held.

    Args:
        kind: Their kind.
        name: Under which they are known in their rendition, without a suffix: ``seg17``.
        contents: The bytes, in the pieces that they came in; joined only on their way out.
        has_video: They hold or describe a picture.

    Attributes:
        size_bytes: Length of all of them.
    """

    __slots__ = ("__weakref__", "_contents", "has_video", "kind", "name", "size_bytes")

    def __init__(
        self, kind: BytesKind, name: str, contents: tuple[bytes | ChunkBytes, ...], *, has_video: bool = False
    ) -> None:
        self.kind = kind
        self.name = name
        self.has_video = has_video
        self.size_bytes = sum(map(len, contents))
        self._contents = contents

    @property
    def buffers(self) -> tuple[bytes, ...]:
        """The bytes to send; the same objects for every viewer."""
        return tuple(content if isinstance(content, bytes) else content.join() for content in self._contents)
