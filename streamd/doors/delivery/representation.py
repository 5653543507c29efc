"""The packager's bytes in HTTP's terms: content type, entity tag, coding, and the answers that are made of them.

Each is made when first asked for and kept for as long as the bytes are, so that a crowd is sent the same objects.

Spec: RFC 9110 sections 8 (representation data), 13 (conditional requests), 14 (ranges) and 15.3; RFC 9111 section 5.2.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import weakref
from http import HTTPStatus
from typing import NamedTuple

from streamd.doors.delivery.answer import CORS, NO_STORE, Answer, Headers, MediaRequest, cut
from streamd.doors.delivery.byte_range import UnsatisfiableRangeError, byte_range
from streamd.media.packager.named_bytes import BytesKind, NamedBytes

# The highest level takes the most that gzip can save on two kilobytes, once for all viewers of a part.
GZIP_LEVEL = 9
PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
# Where media of ours begin in the text of a playlist: on a line of their own, or in a URI attribute.
_MEDIA_URI = re.compile(rb'((?:^|URI=")[a-z0-9][a-z0-9_-]{0,63}/)(?=(?:init|seg|part)[0-9])', re.MULTILINE)


class Representation:
    """One form in which bytes are sent.

    Args:
        buffers: The bytes, as they go out.
        media_type: Content type.
        entity_tag: Strong entity tag, with its double quotes.
        content_encoding: ``gzip`` or nothing.
        is_immutable: The name never stands for other bytes: media. A playlist's name does.
    """

    __slots__ = (
        "_answers",
        "_buffers",
        "_content_encoding",
        "_entity_tag",
        "_is_immutable",
        "_media_type",
        "_size_bytes",
    )

    def __init__(
        self,
        buffers: tuple[bytes, ...],
        media_type: str,
        entity_tag: str,
        *,
        content_encoding: str = "",
        is_immutable: bool = False,
    ) -> None:
        self._buffers = buffers
        self._size_bytes = sum(map(len, buffers))
        self._media_type = media_type
        self._entity_tag = entity_tag
        self._content_encoding = content_encoding
        self._is_immutable = is_immutable
        # By the seconds that caches may keep them: two for a playlist, one for all else.
        self._answers: dict[int, Answer] = {}

    def answer(self, request: MediaRequest, max_age_s: int) -> Answer:
        """Answer a request for it: with all of it, with a range of it, or with a 304.

        Args:
            request: The request, by GET or HEAD.
            max_age_s: Seconds that caches may keep the answer, or ``NO_STORE``.
        """
        # RFC 9110 13.2.2: If-None-Match comes before Range.
        if request.if_none_match and _matches(request.if_none_match, self._entity_tag):
            return Answer(HTTPStatus.NOT_MODIFIED, self._validators(max_age_s))
        whole = self._answers.get(max_age_s)
        if whole is None:
            whole = self._answers[max_age_s] = self._whole(max_age_s)
        # RFC 9110 14.2: "A server MUST ignore a Range header field received with a request method that is unrecognized
        # or for which range handling is not defined", and defines it for GET alone.
        if request.range and request.method == "GET" and self._is_immutable:
            return self._ranged(request, whole, max_age_s)
        return whole

    def _whole(self, max_age_s: int) -> Answer:
        headers = (
            ("Content-Type", self._media_type),
            ("Content-Length", str(self._size_bytes)),
            *((("Content-Encoding", self._content_encoding),) if self._content_encoding else ()),
            *((("Accept-Ranges", "bytes"),) if self._is_immutable else ()),
            *self._validators(max_age_s),
        )
        return Answer(HTTPStatus.OK, headers, self._buffers)

    def _validators(self, max_age_s: int) -> Headers:
        """The fields of a 200 that a 304 repeats (RFC 9110 15.4.5), and CORS."""
        if max_age_s == NO_STORE:
            caching = "no-store"
        else:
            caching = f"max-age={max_age_s}, immutable" if self._is_immutable else f"max-age={max_age_s}"
        vary = () if self._is_immutable else (("Vary", "Accept-Encoding"),)
        return (("Cache-Control", caching), ("ETag", self._entity_tag), *vary, *CORS)

    def _ranged(self, request: MediaRequest, whole: Answer, max_age_s: int) -> Answer:
        """Answer a range request: 206, 416, or all of it where the range is none that we serve.

        Several ranges at once are answered with the whole, as RFC 9110 14.2 allows.
        """
        # 13.1.5: If-Range compares strongly; a date never matches, since we send none.
        if request.if_range and request.if_range != self._entity_tag:
            return whole
        size = self._size_bytes
        try:
            asked = byte_range(request.range, size)
        except UnsatisfiableRangeError:
            return _unsatisfiable(size)
        if asked is None:
            return whole
        start, stop = asked
        headers = (
            ("Content-Type", self._media_type),
            ("Content-Length", str(stop - start)),
            ("Content-Range", f"bytes {start}-{stop - 1}/{size}"),
            ("Accept-Ranges", "bytes"),
            *self._validators(max_age_s),
        )
        return Answer(HTTPStatus.PARTIAL_CONTENT, headers, cut(self._buffers, start, stop))


class _Known(NamedTuple):
    content: weakref.ref[NamedBytes]
    representation: Representation
    word: str
    """In the names of the media of a locked channel's playlist; empty elsewhere."""


class Representations:
    """Those that one door has made, for as long as the bytes are held: their window bounds them."""

    def __init__(self) -> None:
        # By the identity of the bytes: a dictionary of weak keys takes four times as long. The end of the bytes removes
        # the entry before another object can have their identity.
        self._plain: dict[int, _Known] = {}
        self._gzipped: dict[int, _Known] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._plain) + len(self._gzipped)

    def find(self, content: NamedBytes, *, gzipped: bool = False, word: str = "") -> Representation:
        """The representation of bytes; one object for as long as they are held.

        Args:
            content: The bytes.
            gzipped: Under Content-Encoding gzip; of a playlist alone.
            word: In the names of the media of a locked channel, the same for all who may see its playlist; of that
                alone. Another one, as when viewers were withdrawn, has another representation take the place.
        """
        known = self._gzipped if gzipped else self._plain
        identity = id(content)
        found = known.get(identity)
        if found is not None and found.content() is content and found.word == word:
            return found.representation
        if content.kind is BytesKind.PLAYLIST:
            representation = _playlist(content, word, gzipped=gzipped)
        else:
            media_type = "video/mp4" if content.has_video else "audio/mp4"
            representation = Representation(content.buffers, media_type, f'"{content.name}"', is_immutable=True)
        known[identity] = _Known(weakref.ref(content, lambda _: known.pop(identity, None)), representation, word)
        return representation


def _playlist(content: NamedBytes, word: str, *, gzipped: bool) -> Representation:
    buffers = content.buffers
    if word:
        buffers = (_MEDIA_URI.sub(rb"\g<1>" + word.encode() + b"/", b"".join(buffers)),)
    if gzipped:
        # mtime is 0, so equal text gives equal bytes.
        buffers = (gzip.compress(b"".join(buffers), GZIP_LEVEL, mtime=0),)
    return Representation(buffers, PLAYLIST_TYPE, _hashed_tag(buffers), content_encoding="gzip" if gzipped else "")


def _hashed_tag(buffers: tuple[bytes, ...]) -> str:
    return f'"{hashlib.blake2b(b"".join(buffers), digest_size=9).hexdigest()}"'


def _matches(if_none_match: str, entity_tag: str) -> bool:
    """Compare weakly, as RFC 9110 13.1.2 has it; our tags hold no comma."""
    if if_none_match.strip() == "*":
        return True
    return any(tag.strip().removeprefix("W/") == entity_tag for tag in if_none_match.split(","))


def _unsatisfiable(size_bytes: int) -> Answer:
    headers = (("Content-Range", f"bytes */{size_bytes}"), ("Content-Length", "0"), *CORS)
    return Answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers)
