"""The sequence headers of one publisher's tracks: which one each track has, and which are not taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from streamd.errors import CodecConfigError, UnsupportedCodecError
from streamd.formats.codecs.codec import (
    AUDIO_CODECS,
    CODECS_WITHOUT_HEADER,
    VIDEO_CODECS,
    CodecConfig,
    canonical_record,
    parse_config,
)
from streamd.formats.flv.tag import TagType
from streamd.media.intake.actions import Drop, TagDropReason
from streamd.media.intake.header_reader import HeaderReader, check_size, digest
from streamd.media.intake.track import TrackHeader, TrackKey

if TYPE_CHECKING:
    from streamd.media.intake.drop_book import DropBook
    from streamd.media.intake.share import Share

_CODECS = {TagType.VIDEO: VIDEO_CODECS, TagType.AUDIO: AUDIO_CODECS}


class HeaderAnswer(NamedTuple):
    """The outcome for a sequence header, or for a frame that may stand for one."""

    drop: Drop | None
    """Why it is not taken; None where it is."""
    is_changed: bool
    """The track has another header than before, or none any more: it begins anew."""


_TAKEN = HeaderAnswer(None, is_changed=False)
_CHANGED = HeaderAnswer(None, is_changed=True)


class TrackHeaders:
    """The last good sequence header of each track.

    Args:
        book: Counts what is dropped, and keeps in mind what is refused.
        tracks_max: Tracks of a kind.

    Attributes:
        known: By track.
    """

    def __init__(self, book: DropBook, tracks_max: int) -> None:
        self.known: dict[TrackKey, TrackHeader] = {}
        self._book = book
        self._tracks_max = tracks_max
        self._reader = HeaderReader()
        # Codec and record of those that came when no more of them were to be read: an encoder sends its own once.
        self._late: dict[TrackKey, tuple[str, bytes]] = {}
        # Headers that the demuxer refused: the codec, and the digest that a header is known again by.
        self._unfit: dict[TrackKey, tuple[str, bytes | CodecConfig]] = {}

    def receive(self, share: Share, tags: int) -> HeaderAnswer:
        """Take a sequence header.

        Args:
            share: The header.
            tags: How many the publisher has sent so far.
        """
        key, codec = share.key, share.codec
        if codec in CODECS_WITHOUT_HEADER:
            # FFmpeg sends one all the same, of no bytes.
            return HeaderAnswer(self._book.drop(TagDropReason.EMPTY, codec), is_changed=False)
        self._late.pop(key, None)
        known = self.known.get(key)
        try:
            if codec not in _CODECS[key[0]]:
                raise UnsupportedCodecError(codec)
            check_size(share.body_bytes)
            record = canonical_record(codec, share.body())
        except (CodecConfigError, UnsupportedCodecError) as exc:
            return self._refuse(key, exc)
        if known is not None and known.codec == codec and known.record == record:
            self._book.carry(key)
            return HeaderAnswer(self._book.drop(TagDropReason.REPEATED_HEADER), is_changed=False)
        if known is None and self._is_full(key[0]):
            return HeaderAnswer(self._refuse_extra(key), is_changed=False)
        return self._read(key, codec, record, tags)

    def check_frame(self, share: Share, tags: int) -> HeaderAnswer:
        """Say whether a frame could be decoded, if its track were opened.

        Where the codec has no sequence header, the frame stands for one.

        Args:
            share: The frame.
            tags: How many the publisher has sent so far.
        """
        key, codec = share.key, share.codec
        if not share.body_bytes:
            return HeaderAnswer(self._book.drop(TagDropReason.EMPTY), is_changed=False)
        if codec not in _CODECS[key[0]]:
            drop = self._book.refuse(key, TagDropReason.UNSUPPORTED_CODEC, codec)
            return HeaderAnswer(drop, is_changed=False)
        if codec in CODECS_WITHOUT_HEADER:
            return self._read_frame(share, tags)
        known = self.known.get(key)
        if known is not None and known.codec == codec:
            return _TAKEN
        is_changed = self._read_late(key, codec, tags)
        known = self.known.get(key)
        if known is not None and known.codec == codec:
            return HeaderAnswer(None, is_changed)
        return HeaderAnswer(self._book.drop(TagDropReason.NO_HEADER, codec), is_changed)

    def refuse(self, header: TrackHeader, why: str) -> Drop:
        """Do without a track whose header the demuxer does not take, until it has another."""
        key = header.key
        self._unfit[key] = _known_by(header)
        self.known.pop(key, None)
        return self._book.refuse(key, TagDropReason.BAD_CODEC_CONFIG, why)

    @property
    def late_bytes(self) -> int:
        """Bytes of the headers that are to be read later."""
        return sum(len(record) for _, record in self._late.values())

    def _read(self, key: TrackKey, codec: str, record: bytes, tags: int) -> HeaderAnswer:
        """Let a track begin anew with a sequence header, if that is fit and may be read now."""
        try:
            config = self._reader.read(codec, record, tags)
        except (CodecConfigError, UnsupportedCodecError) as exc:
            answer = self._refuse(key, exc)
            if answer.drop is not None and answer.drop.reason is TagDropReason.HEADER_FLOOD:
                self._late[key] = codec, record
            return answer
        self._set(TrackHeader(key[0], codec, record, config, key[1]))
        return _CHANGED

    def _read_late(self, key: TrackKey, codec: str, tags: int) -> bool:
        """Read the sequence header of a frame that came when no more of them were to be read, if one may be now.

        Returns:
            Whether the track begins anew with it, or ends.
        """
        late = self._late.get(key)
        if late is None or late[0] != codec or not self._reader.may_read(tags):
            return False
        del self._late[key]
        return self._read(key, *late, tags).is_changed

    def _read_frame(self, share: Share, tags: int) -> HeaderAnswer:
        """Take a frame for its own sequence header where the codec has none."""
        key, codec = share.key, share.codec
        book, known = self._book, self.known.get(key)
        try:
            check_size(share.body_bytes)
            frame = share.body()
            config = parse_config(codec, frame)
        except UnsupportedCodecError as exc:
            return HeaderAnswer(book.refuse(key, TagDropReason.UNSUPPORTED_CODEC, exc.codec), is_changed=False)
        except CodecConfigError as exc:
            drop = book.refuse(key, TagDropReason.BAD_CODEC_CONFIG, str(exc), exc.limit)
            return HeaderAnswer(drop, is_changed=False)
        if known is None and self._is_full(key[0]):
            return HeaderAnswer(self._refuse_extra(key), is_changed=False)
        if known is not None and known.codec == codec and known.config == config:
            book.carry(key)
            return _TAKEN
        if self._unfit.get(key) == (codec, config):
            return HeaderAnswer(book.refuse(key, TagDropReason.BAD_CODEC_CONFIG, codec), is_changed=False)
        try:
            self._reader.take(tags)
        except CodecConfigError as exc:
            drop = book.refuse(key, TagDropReason.HEADER_FLOOD, codec, exc.limit)
            return HeaderAnswer(drop, is_changed=False)
        self._set(TrackHeader(key[0], codec, frame, config, key[1]))
        return _CHANGED

    def _refuse(self, key: TrackKey, error: CodecConfigError | UnsupportedCodecError) -> HeaderAnswer:
        if isinstance(error, UnsupportedCodecError):
            drop = self._book.refuse(key, TagDropReason.UNSUPPORTED_CODEC, error.codec)
        else:
            reason = (
                TagDropReason.HEADER_FLOOD if error.limit == "sequence_headers_max" else TagDropReason.BAD_CODEC_CONFIG
            )
            drop = self._book.refuse(key, reason, str(error), error.limit)
        # Whatever the new one is worth, what follows it is not in the form that the old one described.
        return HeaderAnswer(drop, is_changed=self.known.pop(key, None) is not None)

    def _refuse_extra(self, key: TrackKey) -> Drop:
        return self._book.refuse(key, TagDropReason.EXTRA_TRACK, f"track {key[1]}", "tracks_max")

    def _set(self, header: TrackHeader) -> None:
        key = header.key
        if key in self._unfit and self._unfit[key] == _known_by(header):
            self.known.pop(key, None)
            return
        self.known[key] = header
        self._book.carry(key)

    def _is_full(self, kind: TagType) -> bool:
        return sum(key[0] is kind for key in self.known.keys() | self._late.keys()) >= self._tracks_max


def _known_by(header: TrackHeader) -> tuple[str, bytes | CodecConfig]:
    """The digest that a header is known again by: one that the demuxer refused, and that is not kept."""
    if header.codec in CODECS_WITHOUT_HEADER:
        return header.codec, header.config
    return header.codec, digest(header.record)
