"""The gate in front of the demuxer: which tags it may see, and when it is opened.

libavformat decides at open which streams there are, and does not survive a tag that makes another one later; so
every tag is read here first. The gate waits until the codec configurations and the first keyframe are in, then
lets through what belongs to the tracks as they were opened, in one canonical framing, and asks for a new demuxer
at the next keyframe when a configuration changes or a track appears. It drops, and counts, everything else.

Sound that stops while the pictures go on would let players stand still, for they play both or neither. Where the codec
has a frame of silence, the gate goes on with that; else the track is left out from the next keyframe on.

How long it waits is told by the tags' own timestamps, and bounded by ``IntakeLimits`` in time, tags and bytes:
nothing waits for ever for a track that does not come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from streamd.errors import FlvError
from streamd.formats.codecs.codec import CODECS_WITHOUT_HEADER
from streamd.formats.flv.metadata import StreamMetadata
from streamd.formats.flv.tag import FlvTag, TagType
from streamd.media.intake.actions import HOLD, Action, Drop, Open, Split, TagDropReason
from streamd.media.intake.drop_book import DropBook
from streamd.media.intake.frame_table import FrameTable
from streamd.media.intake.headers import TrackHeaders
from streamd.media.intake.held import HeldFrames
from streamd.media.intake.limits import COMPOSITION_TIME_MAX_MS, IntakeLimits
from streamd.media.intake.missing import ROLL_CALL_TAGS, RollCall
from streamd.media.intake.share import Share, ShareKind, read_shares
from streamd.media.intake.silence import Silences
from streamd.media.intake.states import TABLE, Kind, State, Step
from streamd.media.intake.track import TrackHeader, TrackKey, header_tag
from streamd.media.intake.tracks import TrackSet
from streamd.media.intake.wait import Wait

if TYPE_CHECKING:
    from streamd.media.intake.headers import HeaderAnswer

_ROLL_CALL_TAGS = ROLL_CALL_TAGS
_OPEN = State.OPEN


class Intake:
    """The gate of one publisher.

    Feed it every tag in order and do what it answers. Demuxing may lag behind: after ``Open`` it lets frames through
    at once, and the owner queues those until the demuxer is open.

    Attributes:
        metadata: The claims of the publisher's last onMetaData; the owner sets it.
        may_reopen: Whether the owner can take another ``Open``; while not, tracks that have changed are dropped.
    """

    def __init__(self, limits: IntakeLimits | None = None) -> None:
        self.metadata = StreamMetadata()
        self.may_reopen = True
        self._limits = limits or IntakeLimits()
        self._state = State.CLOSED
        self._was_open = False
        self._book = DropBook()
        self._headers = TrackHeaders(self._book, self._limits.tracks_max)
        self._tracks = TrackSet(self._headers.known)
        self._frames = FrameTable()
        self._roll = RollCall()
        self._silences = Silences(self._limits)
        # The actions that go before the next tag.
        self._silent_tags: list[FlvTag] = []
        self._held = HeldFrames(self._limits)
        self._wait = Wait(self._limits.opening_tags_max)
        self._tags_since_open = 0
        self._tags_before_open = 0

    @property
    def drops(self) -> Counter[TagDropReason]:
        """How many tags, or tracks of tags, were dropped, by reason."""
        return self._book.counts

    @property
    def refusals(self) -> dict[TrackKey, Drop]:
        """Why the tracks that cannot be carried are not, until they have a good sequence header."""
        return self._book.refusals

    @property
    def held_bytes(self) -> int:
        """Bytes of the publisher's media that it keeps: frames that are held, and sequence headers."""
        headers = {
            id(header): len(header.record)
            for tracks in (self._headers.known, self._tracks.opened)
            for header in tracks.values()
        }
        return self._held.held_bytes + sum(headers.values()) + self._headers.late_bytes

    @property
    def is_silent(self) -> bool:
        """Whether the publisher's sound has stopped, and all that there is of it is ours."""
        if not self._silences.made:
            return False
        return all(key in self._silences for key in self._tracks.opened if key[0] is TagType.AUDIO)

    def allow_silence(self, frames: int) -> None:
        """Let more silence be made: as much of it as the time that has passed, and not the publisher's, has room for.

        Args:
            frames: How many frames more; what is not used adds up to ``IntakeLimits.silent_frames_max``.
        """
        self._silences.allow(frames)

    def receive(self, tag: FlvTag) -> Action:
        """Decide about the next tag of the publisher."""
        passed = self.pass_frames((tag,))
        if self._silent_tags:
            silent_tags, self._silent_tags = self._silent_tags, []
            return Split((*silent_tags, tag))
        if passed:
            return tag
        self._tags_since_open += 1
        if not tag.payload:
            return self._book.drop(TagDropReason.EMPTY)
        if tag.tag_type not in (TagType.VIDEO, TagType.AUDIO):
            return self._book.drop(TagDropReason.SCRIPT)
        try:
            shares = read_shares(tag, self._limits.tracks_max + 1)
        except FlvError as exc:
            return self._book.drop(TagDropReason.MALFORMED, str(exc))
        if len(shares) > 1:
            return self._split(shares)
        if not shares:
            return self._book.drop(TagDropReason.COMMAND_FRAME)
        (share,) = shares
        match share.kind:
            case ShareKind.FRAME:
                return self._receive_frame(share)
            case ShareKind.HEADER:
                return self._note_header(share.key, self._headers.receive(share, self._tags)) or HOLD
            case ShareKind.TRANSPORT_HEADER:
                what = f"{share.codec} in MPEG-2 TS form"
                return self._book.refuse(share.key, TagDropReason.UNSUPPORTED_CODEC, what)
            case ShareKind.SEQUENCE_END:
                return self._book.drop(TagDropReason.SEQUENCE_END)
            case ShareKind.METADATA:
                return self._book.drop(TagDropReason.METADATA)

    def pass_frames(self, tags: Sequence[FlvTag]) -> int:
        """Let those of the next tags through that are frames of open tracks, up to the first that may be anything else.

        Nearly every tag is one, and its first bytes say so. The way round, with the header read in full, comes to the
        same, and takes four times as long.

        Returns:
            How many tags to give to the demuxer; the one behind them, if there is one, is for ``receive``.
        """
        passed = 0
        while passed < len(tags):
            # However many come at once, the roll is called at every so many.
            room = _ROLL_CALL_TAGS - self._tags_since_open % _ROLL_CALL_TAGS
            stretch = tags if not passed and len(tags) <= room else tags[passed : passed + room]
            if len(stretch) == room and self._tracks.opened:
                self._call_roll(stretch[0])
                if self._silent_tags:
                    break
            if self._state is not _OPEN:
                break
            frames = self._frames.count_frames(stretch)
            self._tags_since_open += frames
            passed += frames
            if frames < len(stretch):
                break
        return passed

    def refuse(self, header: TrackHeader, why: str) -> Drop:
        """Do without a track whose header the demuxer does not take, until it has another; the demuxer did not open."""
        self._close()
        drop = self._headers.refuse(header, why)
        self._begin_anew(header.key)
        self._wait.start()
        return drop

    def restart(self) -> None:
        """Do without the demuxer that is open, which is of no more use: the next keyframe opens another."""
        self._close()
        self._wait.start()

    # The kind of a tag.

    @property
    def _tags(self) -> int:
        """How many tags there have been."""
        return self._tags_before_open + self._tags_since_open

    def _split(self, shares: list[Share]) -> Split:
        """Make a tag of each track's share; frames of no bytes are not worth one."""
        kept = [share for share in shares if share.body_bytes or share.kind is not ShareKind.FRAME]
        if len(kept) < len(shares):
            self._book.counts[TagDropReason.EMPTY] += len(shares) - len(kept)
        return Split(tuple(share.canonical() for share in kept), is_multitrack=True)

    def _note_header(self, key: TrackKey, answer: HeaderAnswer) -> Drop | None:
        """Let a track begin anew if it has another header; return why what brought it is dropped, if it is."""
        if answer.is_changed:
            self._take_step(Kind.HEADER, key, None)
        return answer.drop

    # The way of a frame.

    def _receive_frame(self, share: Share) -> Action:
        key = share.key
        dropped = self._note_header(key, self._headers.check_frame(share, self._tags))
        if dropped is not None:
            return dropped
        if abs(share.composition_time_ms) > COMPOSITION_TIME_MAX_MS:
            return self._book.drop(TagDropReason.COMPOSITION_TIME, f"{share.composition_time_ms} ms")
        tag = share.canonical()
        if self._tracks.opened:
            silent_tags = self._silences.give_way(key, tag)
            if silent_tags is not None:
                # The sound is back; what is missing before it is silent as well.
                self._compare_tracks()
                return Split((*silent_tags, tag))
            self._roll.note(key, tag.timestamp_ms)
            if share.can_start and key not in self._tracks.started:
                self._tracks.start(key)
                self._compare_tracks()
        return self._take_step(self._kind_of_frame(key, can_start=share.can_start), key, tag)

    def _kind_of_frame(self, key: TrackKey, *, can_start: bool) -> Kind:
        """Say what a frame of a track is to the others, whose headers are known."""
        tracks = self._tracks
        if not can_start and key not in tracks.started:
            return Kind.EARLY_FRAME
        if self._state is _OPEN:
            # The tracks that have begun are those that are open.
            return Kind.KNOWN_FRAME
        if can_start and self._may_turn() and tracks.lead() in (key, None):
            return Kind.TURN
        if tracks.is_as_opened(key):
            return Kind.KNOWN_FRAME
        return Kind.OTHER_SOUND if key[0] is TagType.AUDIO else Kind.OTHER_PICTURE

    def _may_turn(self) -> bool:
        return self.may_reopen and self._tags_since_open >= self._limits.reopen_tags_min

    def _take_step(self, kind: Kind, key: TrackKey, tag: FlvTag | None) -> Action:
        """Do with a tag what the table says.

        Args:
            kind: Its kind.
            key: Its track.
            tag: The frame in its canonical framing; None of a header.
        """
        step, states_after = TABLE[self._state, kind]
        if step is Step.BEGIN_ANEW:
            action = self._begin_anew(key)
        else:
            assert tag is not None, "headers alone are no frames"
            action = self._decide(step, key, tag)
        assert self._state in states_after, f"{kind} led to {self._state}"
        return action

    def _decide(self, step: Step, key: TrackKey, tag: FlvTag) -> Action:
        match step:
            case Step.PASS:
                presence = self._frames.look(tag)
                assert presence is not None, "a frame in its canonical framing, of a track that is open"
                return tag
            case Step.HOLD:
                return self._hold(key, tag)
            case Step.REOPEN:
                self._close()
                return self._hold(key, tag)
            case Step.WAIT_FOR_PICTURE if self._has_waited_for_picture(tag):
                self._close()
                return self._open([tag])
            case _:
                return self._book.drop(TagDropReason.BEFORE_KEYFRAME)

    def _begin_anew(self, key: TrackKey) -> Action:
        """Let a track begin anew with another sequence header, or end with a broken one."""
        if self._tracks.begin_anew(key):
            # Nothing is held of a track that has not begun.
            self._held.forget(key)
            if self._state is State.WAITING and not self._held:
                self._state = State.CLOSED
        self._silences.end((key,))
        if self._tracks.opened:
            if key not in self._headers.known and key not in self._tracks.opened:
                self._roll.forget(key)
            self._compare_tracks()
        return HOLD

    def _hold(self, key: TrackKey, tag: FlvTag) -> Action:
        tracks = self._tracks
        lead = tracks.lead()
        if key == lead and key not in tracks.started:
            self._wait.start()
            self._note_dropped(*self._held.drop_before(tag.timestamp_ms, tracks.started))
        tracks.start(key)
        self._held.add(key, tag)
        self._state = State.WAITING
        if self._may_open(tag):
            return self._open(self._held.take_all())
        if lead not in tracks.started:
            # Audio waits for video. Frames shown before the keyframe are dropped then, so that a little is enough.
            since_ms = tag.timestamp_ms - self._limits.track_wait_ms
            self._note_dropped(*self._held.trim(since_ms, tracks.started))
        return HOLD

    def _note_dropped(self, frames: int, ended: set[TrackKey]) -> None:
        if frames:
            self._book.counts[TagDropReason.BEFORE_KEYFRAME] += frames
        self._tracks.started -= ended

    def _may_open(self, tag: FlvTag) -> bool:
        """Decide whether what is held is a stream, or all of one that will come in time."""
        if self._held.is_full:
            return True
        tracks, metadata = self._tracks, self.metadata
        lead = tracks.lead()
        if lead is not None and lead not in tracks.started:
            return self._wait.is_over(tag.timestamp_ms, self._limits.keyframe_wait_ms)
        is_known = self._was_open or (
            (lead is not None or metadata.lacks_video) and (metadata.lacks_audio or tracks.has_sound())
        )
        is_complete = is_known and tracks.have_all_started()
        return is_complete or self._wait.is_over(tag.timestamp_ms, self._limits.track_wait_ms)

    def _has_waited_for_picture(self, tag: FlvTag) -> bool:
        return self.may_reopen and self._wait.is_over(tag.timestamp_ms, self._limits.keyframe_wait_ms)

    def _open(self, tags: list[FlvTag]) -> Open:
        tracks = self._tracks
        tracks.open()
        self._was_open = True
        self._tags_before_open += self._tags_since_open
        self._tags_since_open = 0
        self._roll.begin(tracks.opened, tags[-1].timestamp_ms)
        self._frames.open(tracks.opened, self._roll.presences)
        self._compare_tracks()
        time_ms = tags[0].timestamp_ms
        headers = tuple(header_tag(header, time_ms) for header in tracks.opened.values())
        frames = tuple(tag for tag in tags if self._frames.look(tag) is not None)
        return Open(tuple(tracks.opened.values()), headers, frames, self.metadata.frame_rate)

    def _close(self) -> None:
        """Have no demuxer open; what comes next is held until another one can be."""
        self._state = State.CLOSED
        self._tracks.close()
        self._silences.end_all()
        self._silent_tags.clear()
        self._held.forget_all()

    def _compare_tracks(self) -> None:
        """Note whether the tracks are those of the demuxer that is open; if not, waiting for a keyframe begins."""
        differ = self._tracks.differ()
        if differ and self._state is State.OPEN:
            self._wait.start()
        self._state = State.DIFFERING if differ else State.OPEN
        for key, header in self._tracks.opened.items():
            # Frames that stand for their track's header are to be looked at, and so is what comes after silence.
            is_plain = header.codec not in CODECS_WITHOUT_HEADER and key not in self._silences
            self._roll.presences[key].passes = is_plain

    def _call_roll(self, tag: FlvTag) -> None:
        """Find out which of the open tracks have stopped while others go on, up to a tag."""
        roll, silences, tracks = self._roll, self._silences, self._tracks
        if silences.made and silences.has_made(tag):
            return  # It is ours, of a time that has been looked at.
        timestamp_ms = tag.timestamp_ms
        if roll.has_leapt(timestamp_ms) and silences.made:
            silences.end_all()
            self._compare_tracks()
        expected = [key for key in tracks.opened if key in tracks.started]
        for key, missing_ms in roll.find_missing(expected, timestamp_ms):
            is_sound = key[0] is TagType.AUDIO
            if is_sound and silences.begin(tracks.opened[key], roll.heard_ms(key), timestamp_ms, missing_ms):
                roll.excuse(key)
                self._compare_tracks()
            elif missing_ms >= (self._limits.audio_gone_ms if is_sound else self._limits.video_gone_ms):
                tracks.stop(key)
                self._compare_tracks()
        if silences.made:
            silent_tags, ended = silences.make(timestamp_ms)
            self._silent_tags += silent_tags
            for key in ended:
                # Media comes much faster than time passes.
                tracks.stop(key)
                self._compare_tracks()
        roll.end(timestamp_ms)
