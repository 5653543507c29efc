"""What a door sends: bytes under a name, made once and shared by all who ask for it."""

from __future__ import annotations

from streamd.media.packager.chunk import ChunkBytes


class Resource:
    """Immutable bytes under one name, shared by every viewer.

    Args:
        contents: The bytes, in as many pieces as they came in; joined only on their way out.

    Attributes:
        size_bytes: Length of all of them.
        media_type: Content type.
        entity_tag: Strong entity tag, with its double quotes.
        content_encoding: ``gzip`` or nothing.
        is_immutable: The name never stands for other bytes: media. A playlist's name does.
        answers: What a door has made ready to send it, by cache lifetime; nothing below the door looks inside.
    """

    __slots__ = (
        "_contents",
        "answers",
        "content_encoding",
        "entity_tag",
        "is_immutable",
        "media_type",
        "size_bytes",
    )

    def __init__(
        self,
        contents: tuple[bytes | ChunkBytes, ...],
        media_type: str,
        entity_tag: str,
        *,
        content_encoding: str = "",
        is_immutable: bool = False,
    ) -> None:
        self._contents = contents
        self.size_bytes = sum(map(len, contents))
        self.media_type = media_type
        self.entity_tag = entity_tag
        self.content_encoding = content_encoding
        self.is_immutable = is_immutable
        self.answers: dict[int, object] = {}

    @property
    def buffers(self) -> tuple[bytes, ...]:
        """The bytes to send; the same objects for everybody."""
        return tuple(content if isinstance(content, bytes) else content.join() for content in self._contents)
