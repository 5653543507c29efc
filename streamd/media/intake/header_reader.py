"""Which sequence headers are read at all: reading one is the dearest thing that a tag can ask for.

An encoder sends one for each track when it begins, some repeat theirs before every keyframe, and few ever send
another. So one that is long is refused unread, one that was refused is known again by its digest, and new ones are
read a few at once, and then in proportion to the media that comes with them.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from streamd.errors import CodecConfigError, UnsupportedCodecError
from streamd.formats.codecs.codec import CodecConfig, parse_config

# A configuration record is some dozen bytes; with the settings of x265 in it, 2.5 kB. A record is kept in the CMAF
# header of each rendition of its track, for as long as a segment in the window needs it.
SEQUENCE_HEADER_BYTES_MAX = 64 * 1024
# Sixteen tracks begin, and begin anew.
HEADERS_AT_ONCE_MAX = 32
# As many tags come between two demuxers (``IntakeLimits.reopen_tags_min``): headers that change more often have nothing
# to describe. The dearest takes 0.3 ms to read.
TAGS_PER_HEADER = 32
# Tracks that are refused, each with some forms of its header; a digest has 16 bytes.
REFUSED_MAX = 64
_DIGEST_BYTES = 16


class HeaderReader:
    """Reads the sequence headers of one publisher."""

    def __init__(self) -> None:
        self._left = HEADERS_AT_ONCE_MAX
        # How many tags have been reckoned with in that.
        self._tags = 0
        # The faults of refused headers, by codec and digest.
        self._refused: OrderedDict[tuple[str, bytes], tuple[type[CodecConfigError | UnsupportedCodecError], str]] = (
            OrderedDict()
        )

    def read(self, codec: str, record: bytes, tags: int) -> CodecConfig:
        """Read the body of a sequence header that is not the one that the track has.

        Args:
            codec: FourCC.
            record: In canonical form.
            tags: How many the publisher has sent so far.

        Raises:
            UnsupportedCodecError: The codec, or this form of it, is not one that we carry.
            CodecConfigError: The record breaks its specification, it is too long, or it is one too many.
        """
        check_size(len(record))
        name = (codec, digest(record))
        refused = self._refused.get(name)
        if refused is not None:
            self._refused.move_to_end(name)
            error, text = refused
            raise error(text)
        self.take(tags)
        try:
            return parse_config(codec, record)
        except UnsupportedCodecError as exc:
            self._remember(name, UnsupportedCodecError, exc.codec)
            raise
        except CodecConfigError as exc:
            self._remember(name, CodecConfigError, str(exc))
            raise

    def may_read(self, tags: int) -> bool:
        """Whether one more header may be read now.

        Args:
            tags: How many the publisher has sent so far.
        """
        earned = (tags - self._tags) // TAGS_PER_HEADER
        self._tags += earned * TAGS_PER_HEADER
        self._left = min(HEADERS_AT_ONCE_MAX, self._left + earned)
        return self._left > 0

    def take(self, tags: int) -> None:
        """Count one more change of a track's header.

        Args:
            tags: How many the publisher has sent so far.

        Raises:
            CodecConfigError: It is one too many.
        """
        if not self.may_read(tags):
            raise CodecConfigError("too many sequence headers at once", limit="sequence_headers_max")
        self._left -= 1

    def _remember(
        self, name: tuple[str, bytes], error: type[CodecConfigError | UnsupportedCodecError], text: str
    ) -> None:
        self._refused[name] = (error, text)
        if len(self._refused) > REFUSED_MAX:
            self._refused.popitem(last=False)


def check_size(size: int) -> None:
    """Refuse what is longer than any sequence header, or than a frame that stands for one.

    Args:
        size: Bytes.

    Raises:
        CodecConfigError: It is longer.
    """
    if size > SEQUENCE_HEADER_BYTES_MAX:
        raise CodecConfigError(f"a sequence header of {size} bytes", limit="sequence_header_bytes_max")


def digest(record: bytes) -> bytes:
    """The digest that a record is known again by, when it is not kept."""
    return hashlib.blake2b(record, digest_size=_DIGEST_BYTES).digest()
