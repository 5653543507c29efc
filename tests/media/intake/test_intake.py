from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from streamd.formats.codecs.codec import parse_config
from streamd.formats.flv.metadata import StreamMetadata
from streamd.formats.flv.tag import FlvTag, TagType
from streamd.media.intake import header_reader
from streamd.media.intake.actions import Action, Drop, Hold, Open, Split, TagDropReason
from streamd.media.intake.header_reader import HEADERS_AT_ONCE_MAX, SEQUENCE_HEADER_BYTES_MAX, TAGS_PER_HEADER
from streamd.media.intake.intake import Intake
from streamd.media.intake.limits import COMPOSITION_TIME_MAX_MS, IntakeLimits
from streamd.media.intake.track import TrackHeader
from tests.support.work import count_calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

AVCC = bytes.fromhex("0142c01fffe1000b6742c01fd900780227e54001000568cb83cb20")
OTHER_AVCC = bytes.fromhex("014d401fffe1000b674d401fd900780227e54001000568cb83cb20")
ASC = b"\x11\x90"
OTHER_ASC = b"\x12\x10"
LIMITS = IntakeLimits(
    track_wait_ms=1000,
    keyframe_wait_ms=5000,
    opening_tags_max=400,
    opening_bytes_max=5000,
    reopen_tags_min=4,
    tracks_max=2,
)


def avc_header(record: bytes = AVCC) -> FlvTag:
    return FlvTag(TagType.VIDEO, 0, b"\x17\x00\x00\x00\x00" + record)


def aac_header(record: bytes = ASC) -> FlvTag:
    return FlvTag(TagType.AUDIO, 0, b"\xaf\x00" + record)


def key(timestamp_ms: int, size: int = 1) -> FlvTag:
    return FlvTag(TagType.VIDEO, timestamp_ms, b"\x17\x01\x00\x00\x00" + b"k" * size)


def inter(timestamp_ms: int) -> FlvTag:
    return FlvTag(TagType.VIDEO, timestamp_ms, b"\x27\x01\x00\x00\x00p")


def sound(timestamp_ms: int) -> FlvTag:
    return FlvTag(TagType.AUDIO, timestamp_ms, b"\xaf\x01a")


def receive(intake: Intake, tags: Iterable[FlvTag]) -> list[Action]:
    return [intake.receive(tag) for tag in tags]


def opening(actions: Iterable[Action]) -> Open:
    (found,) = [action for action in actions if isinstance(action, Open)]
    return found


def frames(action: Open) -> list[FlvTag]:
    return list(action.tags)


def kinds(action: Open) -> list[TagType]:
    return [track.kind for track in action.tracks]


def opened(tags: Iterable[FlvTag] = (aac_header(), avc_header(), sound(0), key(0))) -> Intake:
    """A gate that has opened, long enough ago to open again."""
    intake = Intake(LIMITS)
    assert isinstance(receive(intake, tags)[-1], Open)
    script = FlvTag(TagType.SCRIPT, 0, b"x")
    receive(intake, [script] * LIMITS.reopen_tags_min)
    intake.drops.clear()
    return intake


BOTH = [TagType.VIDEO, TagType.AUDIO]


class TestOpening:
    def test_opens_with_the_first_keyframe_when_both_headers_are_in(self) -> None:
        intake = Intake(LIMITS)
        actions = receive(intake, [aac_header(), avc_header(), sound(40), key(40)])
        assert actions[:3] == [Hold(), Hold(), Hold()]
        action = opening(actions)
        assert kinds(action) == BOTH
        assert [track.codec for track in action.tracks] == ["avc1", "mp4a"]
        assert [track.config.codec_string for track in action.tracks] == ["avc1.42c01f", "mp4a.40.2"]
        assert [track.record for track in action.tracks] == [AVCC, ASC]
        assert action.headers == (
            FlvTag(TagType.VIDEO, 40, b"\x90avc1" + AVCC),
            FlvTag(TagType.AUDIO, 40, b"\xaf\x00" + ASC),
        )
        assert action.tags == (sound(40), key(40))

    def test_feeds_from_then_on(self) -> None:
        intake = opened()
        tags = [sound(0), inter(33), sound(21), key(2000)]
        assert receive(intake, tags) == tags

    def test_frame_rate_of_the_metadata_is_passed_on(self) -> None:
        intake = Intake(LIMITS)
        intake.metadata = StreamMetadata(frame_rate=29.97)
        assert opening(receive(intake, [aac_header(), avc_header(), sound(0), key(0)])).frame_rate_hint == 29.97

    def test_frames_before_the_keyframe_are_dropped(self) -> None:
        intake = Intake(LIMITS)
        tags = [aac_header(), avc_header(), inter(0), sound(0), sound(21), inter(33), key(40)]
        assert frames(opening(receive(intake, tags))) == [key(40)]
        assert intake.drops == {TagDropReason.BEFORE_KEYFRAME: 4}

    def test_audio_that_ran_ahead_of_the_keyframe_is_kept(self) -> None:
        tags = [aac_header(), avc_header(), sound(21), sound(43), key(40)]
        assert frames(opening(receive(Intake(LIMITS), tags))) == [sound(43), key(40)]

    def test_header_behind_its_keyframe_opens_with_the_next_tag(self) -> None:
        intake = Intake(LIMITS)
        actions = receive(intake, [avc_header(), key(0), inter(33), aac_header(), sound(10)])
        assert [type(action) for action in actions] == [Hold, Hold, Hold, Hold, Open]
        assert frames(opening(actions)) == [key(0), inter(33), sound(10)]

    def test_header_that_changes_while_frames_are_held_lets_go_of_them(self) -> None:
        intake = Intake(LIMITS)
        tags = [avc_header(), key(0), inter(33), avc_header(OTHER_AVCC), inter(66), aac_header(), key(99), sound(99)]
        action = opening(receive(intake, tags))
        assert action.tracks[0].record == OTHER_AVCC
        assert frames(action) == [key(99), sound(99)]

    def test_video_header_that_changes_keeps_the_audio(self) -> None:
        intake = Intake(LIMITS)
        tags = [avc_header(), aac_header(), sound(50), avc_header(OTHER_AVCC), key(40)]
        assert frames(opening(receive(intake, tags))) == [sound(50), key(40)]


class TestMissingTrack:
    def test_video_alone_opens_after_a_second_of_media(self) -> None:
        intake = Intake(LIMITS)
        tags = [avc_header(), key(0), *(inter(ms) for ms in range(40, 2000, 40))]
        actions = receive(intake, tags)
        action = opening(actions)
        assert kinds(action) == [TagType.VIDEO]
        assert frames(action)[-1].timestamp_ms == 1000
        assert actions[-1] == tags[-1]

    def test_audio_alone_opens_after_a_second_of_media(self) -> None:
        actions = receive(Intake(LIMITS), [aac_header(), *(sound(ms) for ms in range(0, 1100, 20))])
        action = opening(actions)
        assert kinds(action) == [TagType.AUDIO]
        assert [tag.timestamp_ms for tag in frames(action)] == list(range(0, 1001, 20))

    @pytest.mark.parametrize(
        ("metadata", "tags"),
        [
            (StreamMetadata(lacks_audio=True), [avc_header(), key(0)]),
            (StreamMetadata(lacks_video=True), [aac_header(), sound(0)]),
        ],
    )
    def test_track_that_the_metadata_denies_is_not_waited_for(
        self, metadata: StreamMetadata, tags: list[FlvTag]
    ) -> None:
        intake = Intake(LIMITS)
        intake.metadata = metadata
        assert isinstance(receive(intake, tags)[-1], Open)

    def test_audio_header_without_frames_is_no_audio(self) -> None:
        """Players wait for ever for the sound of a track that has none."""
        tags = [aac_header(), avc_header(), key(0), *(inter(ms) for ms in range(40, 2000, 40))]
        action = opening(receive(Intake(LIMITS), tags))
        assert kinds(action) == [TagType.VIDEO]
        assert frames(action)[-1].timestamp_ms == 1000

    def test_keyframe_that_never_comes_leaves_the_audio(self) -> None:
        intake = Intake(LIMITS)
        tags = [aac_header(), avc_header()]
        tags += [tag for ms in range(0, 6000, 20) for tag in (sound(ms), inter(ms))]
        action = opening(receive(intake, tags))
        assert kinds(action) == [TagType.AUDIO]
        # No backlog: what waited is as much as waits for a track.
        assert [tag.timestamp_ms for tag in frames(action)] == list(range(3980, 5001, 20))

    def test_keyframe_that_comes_after_all_brings_the_video(self) -> None:
        intake = Intake(LIMITS)
        tags = [aac_header(), avc_header(), *(sound(ms) for ms in range(0, 5001, 20))]
        assert kinds(opening(receive(intake, tags))) == [TagType.AUDIO]
        actions = receive(intake, [sound(5020), inter(5020), sound(5040), sound(5060), key(5060)])
        assert [type(action) for action in actions] == [FlvTag, Drop, FlvTag, FlvTag, Open]
        assert kinds(opening(actions)) == BOTH

    @pytest.mark.parametrize("step_ms", [0, -20])
    def test_time_that_does_not_pass_does_not_hold_for_ever(self, step_ms: int) -> None:
        tags = [avc_header(), key(0), *(inter(index * step_ms) for index in range(1, LIMITS.opening_tags_max))]
        assert kinds(opening(receive(Intake(LIMITS), tags))) == [TagType.VIDEO]

    def test_what_is_held_is_bounded_in_bytes(self) -> None:
        actions = receive(Intake(LIMITS), [avc_header(), key(0, size=3000), key(1, size=3000)])
        assert len(frames(opening(actions))) == 2

    def test_header_that_flaps_does_not_hold_for_ever(self) -> None:
        intake = Intake(LIMITS)
        receive(intake, [avc_header(), key(0)])
        tags = [tag for ms in range(40, 1100, 40) for tag in (aac_header(b""), inter(ms))]
        assert kinds(opening(receive(intake, tags))) == [TagType.VIDEO]


class TestReopening:
    def test_changed_video_header_reopens_at_the_next_keyframe(self) -> None:
        intake = opened()
        actions = receive(intake, [avc_header(OTHER_AVCC), inter(40), sound(40), key(80), inter(120)])
        assert [type(action) for action in actions] == [Hold, Drop, FlvTag, Open, FlvTag]
        action = opening(actions)
        assert action.tracks[0].record == OTHER_AVCC
        assert frames(action) == [key(80)]

    def test_changed_audio_header_reopens_at_the_next_keyframe(self) -> None:
        intake = opened()
        actions = receive(intake, [aac_header(OTHER_ASC), inter(40), sound(40), key(80), sound(80)])
        assert [type(action) for action in actions] == [Hold, FlvTag, Drop, Open, FlvTag]
        assert opening(actions).tracks[1].record == OTHER_ASC

    def test_changed_audio_header_of_audio_alone_reopens_at_once(self) -> None:
        intake = Intake(LIMITS)
        intake.metadata = StreamMetadata(lacks_video=True)
        receive(intake, [aac_header(), *(sound(ms) for ms in range(0, 100, 20))])
        actions = receive(intake, [aac_header(OTHER_ASC), sound(100)])
        assert [type(action) for action in actions] == [Hold, Open]

    def test_late_audio_is_taken_in_at_the_next_keyframe(self) -> None:
        intake = Intake(LIMITS)
        intake.metadata = StreamMetadata(lacks_audio=True)
        receive(intake, [avc_header(), key(0), *(inter(ms) for ms in range(40, 400, 40))])
        actions = receive(intake, [aac_header(), sound(400), inter(400), key(440), sound(440)])
        assert [type(action) for action in actions] == [Hold, Drop, FlvTag, Open, FlvTag]
        assert kinds(opening(actions)) == BOTH

    def test_changed_audio_does_not_wait_for_ever_for_a_keyframe(self) -> None:
        intake = opened()
        actions = receive(intake, [aac_header(OTHER_ASC), *(sound(ms) for ms in range(0, 5001, 20))])
        assert kinds(opening(actions)) == [TagType.AUDIO]

    @pytest.mark.parametrize("header", [avc_header(), aac_header()])
    def test_repeated_header_is_dropped_and_counted(self, header: FlvTag) -> None:
        intake = opened()
        assert intake.receive(header) == Drop(TagDropReason.REPEATED_HEADER)
        assert intake.receive(key(40)) == key(40)

    def test_header_that_changes_and_changes_back_reopens_nothing(self) -> None:
        intake = opened()
        receive(intake, [avc_header(OTHER_AVCC), avc_header()])
        assert intake.receive(key(40)) == key(40)

    def test_header_that_becomes_unusable_ends_its_track(self) -> None:
        intake = opened()
        actions = receive(intake, [aac_header(b"\x11"), sound(20), inter(40), key(80)])
        assert isinstance(actions[0], Drop)
        assert actions[0].reason is TagDropReason.BAD_CODEC_CONFIG
        assert actions[1] == Drop(TagDropReason.NO_HEADER, "mp4a")
        assert actions[2] == inter(40)
        assert kinds(opening(actions)) == [TagType.VIDEO]

    def test_codec_changing_on_every_frame_opens_seldom(self) -> None:
        intake = opened()
        tags = [tag for index in range(100) for tag in (avc_header(OTHER_AVCC if index % 2 else AVCC), key(index * 40))]
        actions = receive(intake, tags)
        assert sum(isinstance(action, Open) for action in actions) <= len(tags) / LIMITS.reopen_tags_min


class TestDropping:
    @pytest.mark.parametrize(
        ("tag_type", "payload", "reason"),
        [
            (TagType.SCRIPT, b"\x02\x00\x0aonMetaData", TagDropReason.SCRIPT),
            (15, b"\x00", TagDropReason.SCRIPT),
            (TagType.VIDEO, b"", TagDropReason.EMPTY),
            (TagType.AUDIO, b"", TagDropReason.EMPTY),
            (TagType.AUDIO, b"\xaf\x01", TagDropReason.EMPTY),
            (TagType.VIDEO, b"\x27\x01\x00\x00\x00", TagDropReason.EMPTY),
            (TagType.VIDEO, b"\x27\x01\x00", TagDropReason.MALFORMED),
            (TagType.AUDIO, b"\xaf\x09", TagDropReason.MALFORMED),
            (TagType.VIDEO, b"\x57\x00", TagDropReason.COMMAND_FRAME),
            (TagType.VIDEO, b"\xd1\x00", TagDropReason.COMMAND_FRAME),
            (TagType.VIDEO, b"\xd4avc1\x02\x00\x09colorInfo", TagDropReason.METADATA),
            (TagType.AUDIO, b"\x94mp4a\x01\x02\x00\x00\x00\x03", TagDropReason.METADATA),
            (TagType.VIDEO, b"\x17\x02\x00\x00\x00", TagDropReason.SEQUENCE_END),
            (TagType.VIDEO, b"\x92avc1", TagDropReason.SEQUENCE_END),
            (TagType.AUDIO, b"\x92mp4a", TagDropReason.SEQUENCE_END),
            (TagType.VIDEO, b"\x91vvc1\x00\x00\x00x", TagDropReason.UNSUPPORTED_CODEC),
            (TagType.VIDEO, b"\x90vp08\x01", TagDropReason.UNSUPPORTED_CODEC),
            (TagType.VIDEO, b"\x91mp4ax", TagDropReason.UNSUPPORTED_CODEC),
            (TagType.AUDIO, b"\x90hvc1\x01", TagDropReason.UNSUPPORTED_CODEC),
            (TagType.VIDEO, b"\x91hvc1\x00\x00\x00x", TagDropReason.NO_HEADER),
            (TagType.AUDIO, b"\x90Opusx", TagDropReason.BAD_CODEC_CONFIG),
            (TagType.AUDIO, b"\x90ac-3", TagDropReason.EMPTY),
            (TagType.VIDEO, b"\x95av01\x80", TagDropReason.UNSUPPORTED_CODEC),
            (TagType.VIDEO, b"\x22\x00\x00", TagDropReason.UNSUPPORTED_CODEC),
            (TagType.AUDIO, b"\x3fx", TagDropReason.UNSUPPORTED_CODEC),
            (TagType.AUDIO, b"\x2f\xff\xfb", TagDropReason.BAD_CODEC_CONFIG),
            (TagType.AUDIO, b"\x91ec-3\x0b\x77" + bytes(6), TagDropReason.BAD_CODEC_CONFIG),
            (TagType.AUDIO, b"\x91ec-3\x0b\x77\x00\x00\x00\x80\x00\x00", TagDropReason.UNSUPPORTED_CODEC),
            (TagType.AUDIO, b"\x91Opusx", TagDropReason.NO_HEADER),
            (TagType.VIDEO, b"\xa6\x01avc1\x01\x00\x00\x00x", TagDropReason.NO_HEADER),
            (TagType.AUDIO, b"\x95\x01mp4a\x03x", TagDropReason.NO_HEADER),
        ],
    )
    def test_reason(self, tag_type: int, payload: bytes, reason: TagDropReason) -> None:
        for intake in (Intake(LIMITS), opened()):
            action = intake.receive(FlvTag(tag_type, 0, payload))
            assert isinstance(action, Drop)
            assert action.reason is reason
            assert intake.drops == {reason: 1}

    @pytest.mark.parametrize("tag", [key(0), sound(0)])
    def test_frame_before_its_header_is_dropped(self, tag: FlvTag) -> None:
        action = Intake(LIMITS).receive(tag)
        assert isinstance(action, Drop)
        assert action.reason is TagDropReason.NO_HEADER

    def test_codec_is_named(self) -> None:
        assert opened().receive(FlvTag(TagType.VIDEO, 0, b"\x91vvc1\x00\x00\x00x")) == Drop(
            TagDropReason.UNSUPPORTED_CODEC, "vvc1"
        )

    @pytest.mark.parametrize("composition_time_ms", [COMPOSITION_TIME_MAX_MS, -COMPOSITION_TIME_MAX_MS])
    def test_composition_time_up_to_a_quarter_hour_is_the_publishers(self, composition_time_ms: int) -> None:
        tag = FlvTag(TagType.VIDEO, 0, b"\x27\x01" + composition_time_ms.to_bytes(3, "big", signed=True) + b"x")
        assert opened().receive(tag) == tag

    @pytest.mark.parametrize("composition_time_ms", [COMPOSITION_TIME_MAX_MS + 1, -COMPOSITION_TIME_MAX_MS - 1])
    def test_composition_time_beyond_is_dropped(self, composition_time_ms: int) -> None:
        tag = FlvTag(TagType.VIDEO, 0, b"\x27\x01" + composition_time_ms.to_bytes(3, "big", signed=True) + b"x")
        assert opened().receive(tag) == Drop(TagDropReason.COMPOSITION_TIME, f"{composition_time_ms} ms")

    @pytest.mark.parametrize("tag_type", [TagType.VIDEO, TagType.AUDIO])
    def test_tracks_beyond_the_limit_are_dropped(self, tag_type: TagType) -> None:
        intake = Intake(LIMITS)
        codec, record = (b"avc1", AVCC) if tag_type is TagType.VIDEO else (b"mp4a", ASC)
        head = b"\x96\x00" if tag_type is TagType.VIDEO else b"\x95\x00"
        headers = [FlvTag(tag_type, 0, head + codec + bytes((track_id,)) + record) for track_id in range(1, 5)]
        assert receive(intake, headers)[2:] == [Drop(TagDropReason.EXTRA_TRACK, f"track {n}") for n in (3, 4)]

    def test_frames_of_mp3_beyond_the_limit_are_dropped(self) -> None:
        intake = Intake(LIMITS)
        frames = [FlvTag(TagType.AUDIO, 0, b"\x95\x01.mp3" + bytes((n,)) + b"\xff\xfb\x94\x64") for n in range(1, 4)]
        assert receive(intake, frames) == [Hold(), Hold(), Drop(TagDropReason.EXTRA_TRACK, "track 3")]


class TestCanonicalFraming:
    """libavformat must see one framing, whatever the encoder changes in mid-stream."""

    @pytest.mark.parametrize("payload", [b"\xad\x01a", b"\xa2\x01a", b"\x91mp4aa", b"\x95\x01mp4a\x00a"])
    def test_aac(self, payload: bytes) -> None:
        assert opened().receive(FlvTag(TagType.AUDIO, 20, payload)) == sound(20)

    def test_mod_ex(self) -> None:
        payload = b"\xa7\x02\x00\x00\x01\x03avc1nal"
        assert opened().receive(FlvTag(TagType.VIDEO, 20, payload)) == FlvTag(TagType.VIDEO, 20, b"\xa3avc1nal")

    def test_enhanced_headers_open(self) -> None:
        actions = receive(
            Intake(LIMITS),
            [
                FlvTag(TagType.VIDEO, 0, b"\x90avc1" + AVCC),
                FlvTag(TagType.AUDIO, 0, b"\x90mp4a" + ASC),
                FlvTag(TagType.AUDIO, 0, b"\x91mp4aa"),
                FlvTag(TagType.VIDEO, 0, b"\x93avc1k"),
            ],
        )
        assert opening(actions).headers == (
            FlvTag(TagType.VIDEO, 0, b"\x90avc1" + AVCC),
            FlvTag(TagType.AUDIO, 0, b"\xaf\x00" + ASC),
        )
        assert opening(actions).tags == (sound(0), FlvTag(TagType.VIDEO, 0, b"\x93avc1k"))


HEVC_RECORD = bytes.fromhex(
    "0101600000009000000000003cf000fcfdf8f800000f03"
    "a00001001840010c01ffff01600000030090000003000003003c959009"
    "a10001002942010101600000030090000003000003003ca00a080c16595912930b9a020000030002000003003c10"
    "a2000100064401c073c189"
)
MP3_FRAME = b"\xff\xfb\x94\x64x"


def hevc_header(track_id: int) -> FlvTag:
    return FlvTag(TagType.VIDEO, 0, b"\x96\x00hvc1" + bytes((track_id,)) + HEVC_RECORD)


def hevc(timestamp_ms: int, track_id: int, *, is_key: bool = False) -> FlvTag:
    """A frame of another track, in the form that OBS sends."""
    head = b"\x96\x03hvc1" if is_key else b"\xa6\x03hvc1"
    return FlvTag(TagType.VIDEO, timestamp_ms, head + bytes((track_id,)) + b"n")


def other_sound(timestamp_ms: int, track_id: int, payload: bytes = b"a") -> FlvTag:
    return FlvTag(TagType.AUDIO, timestamp_ms, b"\x95\x01mp4a" + bytes((track_id,)) + payload)


def other_aac_header(track_id: int) -> FlvTag:
    return FlvTag(TagType.AUDIO, 0, b"\x95\x00mp4a" + bytes((track_id,)) + ASC)


def mp3(timestamp_ms: int, frame: bytes = MP3_FRAME) -> FlvTag:
    return FlvTag(TagType.AUDIO, timestamp_ms, b"\x2f" + frame)


def tracks(action: Open) -> list[tuple[str, int]]:
    return [(track.codec, track.track_id) for track in action.tracks]


TWO_AND_TWO = [avc_header(), hevc_header(1), aac_header(), other_aac_header(3)]


class TestMultitrack:
    """Enhanced RTMP v2, "Multitrack"."""

    def test_opens_when_every_track_has_begun(self) -> None:
        tags = [*TWO_AND_TWO, key(0), sound(0), hevc(0, 1), hevc(33, 1, is_key=True), inter(33), other_sound(40, 3)]
        actions = receive(Intake(LIMITS), tags)
        assert tracks(opening(actions)) == [("avc1", 0), ("hvc1", 1), ("mp4a", 0), ("mp4a", 3)]
        assert opening(actions).headers == (
            FlvTag(TagType.VIDEO, 0, b"\x90avc1" + AVCC),
            FlvTag(TagType.VIDEO, 0, b"\x96\x00hvc1\x01" + HEVC_RECORD),
            FlvTag(TagType.AUDIO, 0, b"\xaf\x00" + ASC),
            FlvTag(TagType.AUDIO, 0, b"\x95\x00mp4a\x03" + ASC),
        )
        assert frames(opening(actions)) == [tag for tag in tags[4:] if tag != hevc(0, 1)]

    def test_keyframe_of_another_track_may_come_first(self) -> None:
        tags = [avc_header(), hevc_header(1), aac_header(), sound(0), hevc(0, 1, is_key=True), key(0)]
        assert frames(opening(receive(Intake(LIMITS), tags))) == [sound(0), hevc(0, 1, is_key=True), key(0)]

    def test_keyframe_long_before_the_leads_is_let_go(self) -> None:
        tags = [avc_header(), hevc_header(1), aac_header(), hevc(0, 1, is_key=True), hevc(200, 1), key(400), sound(400)]
        intake = Intake(LIMITS)
        assert [type(action) for action in receive(intake, tags)][-2:] == [Hold, Hold]
        action = intake.receive(hevc(433, 1, is_key=True))
        assert isinstance(action, Open)
        assert frames(action) == [key(400), sound(400), hevc(433, 1, is_key=True)]

    def test_track_that_does_not_begin_is_waited_for_a_second(self) -> None:
        tags = [*TWO_AND_TWO, key(0), sound(0), other_sound(0, 3), *(inter(ms) for ms in range(40, 2000, 40))]
        action = opening(receive(Intake(LIMITS), tags))
        assert tracks(action) == [("avc1", 0), ("mp4a", 0), ("mp4a", 3)]
        assert frames(action)[-1].timestamp_ms == 1000

    def test_track_that_begins_later_comes_in_with_the_leads_next_keyframe(self) -> None:
        intake = opened()
        actions = receive(intake, [hevc_header(1), hevc(40, 1), hevc(80, 1, is_key=True), inter(80), key(120)])
        assert [type(action) for action in actions] == [Hold, Drop, Drop, FlvTag, Hold]
        action = intake.receive(hevc(120, 1, is_key=True))
        assert isinstance(action, Open)
        assert tracks(action) == [("avc1", 0), ("hvc1", 1), ("mp4a", 0)]
        assert frames(action) == [key(120), hevc(120, 1, is_key=True)]

    def test_message_of_several_tracks_is_split(self) -> None:
        intake = opened()
        payload = b"\x95\x11mp4a\x05\x00\x00\x01a\x00\x00\x00\x02bc\x06\x00\x00\x01d"
        action = intake.receive(FlvTag(TagType.AUDIO, 7, payload))
        assert action == Split((other_sound(7, 5), FlvTag(TagType.AUDIO, 7, b"\xaf\x01bc"), other_sound(7, 6, b"d")))
        assert isinstance(action, Split)
        assert [type(each) for each in receive(intake, action.tags)] == [Drop, FlvTag, Drop]

    def test_empty_frames_in_it_are_dropped_at_once(self) -> None:
        intake = opened()
        tracks = b"".join(bytes((n,)) + b"\x00\x00\x00" for n in (1, 2)) + b"\x00\x00\x00\x01a"
        assert intake.receive(FlvTag(TagType.AUDIO, 7, b"\x95\x11mp4a" + tracks)) == Split((sound(7),))
        assert intake.drops == {TagDropReason.EMPTY: 2}

    @pytest.mark.parametrize(("tag_type", "head"), [(TagType.AUDIO, b"\x95\x11mp4a"), (TagType.VIDEO, b"\x96\x13hvc1")])
    def test_no_more_tracks_are_read_than_there_may_be_and_one(self, tag_type: TagType, head: bytes) -> None:
        tracks = b"".join(bytes((n,)) + b"\x00\x00\x01x" for n in range(256))
        action = opened().receive(FlvTag(tag_type, 7, head + tracks))
        assert isinstance(action, Split)
        assert len(action.tags) == LIMITS.tracks_max + 1

    def test_empty_ones_without_number_cost_nothing(self) -> None:
        intake = opened()
        tag = FlvTag(TagType.AUDIO, 7, b"\x95\x11mp4a" + b"".join(bytes((n % 256,)) + bytes(3) for n in range(250_000)))
        assert count_calls(lambda: intake.receive(tag)) < 150

    @pytest.mark.parametrize(("tag_type", "head"), [(TagType.AUDIO, b"\x95\x11mp4a"), (TagType.VIDEO, b"\x96\x13hvc1")])
    def test_one_that_is_in_it_twice_is_an_error(self, tag_type: TagType, head: bytes) -> None:
        action = opened().receive(FlvTag(tag_type, 7, head + b"\x05\x00\x00\x01x" * 2))
        assert action == Drop(TagDropReason.MALFORMED, "track 5 twice in a message")

    def test_video_of_several_codecs_is_split(self) -> None:
        payload = b"\x96\x23avc1\x00\x00\x00\x01khvc1\x01\x00\x00\x01n\xff\x00\x01\x02\x02\x00\x00\x01x"
        action = opened().receive(FlvTag(TagType.VIDEO, 7, payload))
        assert action == Split(
            (
                FlvTag(TagType.VIDEO, 7, b"\x93avc1k"),
                hevc(7, 1, is_key=True),
                FlvTag(TagType.VIDEO, 7, b"\x96\x03\xff\x00\x01\x02\x02x"),
            )
        )

    def test_lowest_track_leads_where_there_is_no_track_0(self) -> None:
        tags = [hevc_header(4), hevc_header(2), hevc(0, 4, is_key=True), hevc(0, 2, is_key=True)]
        intake = Intake(LIMITS)
        intake.metadata = StreamMetadata(lacks_audio=True)
        assert tracks(opening(receive(intake, tags))) == [("hvc1", 2), ("hvc1", 4)]

    @pytest.mark.parametrize("is_new", [False, True])
    def test_what_is_found_goes_with_the_frame(self, is_new: bool) -> None:
        tags = [*TWO_AND_TWO, key(0), sound(0), hevc(0, 1, is_key=True), other_sound(0, 3)]
        intake = Intake(LIMITS)
        frames = list(opening(receive(intake, tags)).tags)
        if is_new:
            frames = [key(40), sound(40), hevc(40, 1, is_key=True), other_sound(40, 3)]
            assert receive(intake, frames) == frames
        heads = [frame.head for frame in frames if frame.head is not None]
        assert [(head.track_number, head.track_id, head.is_keyframe, head.body_at) for head in heads] == [
            (1, 0, True, 5),
            (3, 0, True, 2),
            (2, 1, True, 7),
            (4, 3, True, 7),
        ]


class TestCodecWithoutHeader:
    """MP3, AC-3 and E-AC-3 describe themselves in every frame."""

    def test_first_frame_stands_for_the_header_and_is_played_as_well(self) -> None:
        action = opening(receive(Intake(LIMITS), [avc_header(), mp3(0), key(0)]))
        assert [track.config.codec_string for track in action.tracks] == ["avc1.42c01f", "mp4a.6B"]
        assert action.headers[1] == FlvTag(TagType.AUDIO, 0, b"\x91.mp3" + MP3_FRAME)
        assert frames(action) == [FlvTag(TagType.AUDIO, 0, b"\x91.mp3" + MP3_FRAME), key(0)]

    def test_other_frames_of_the_same_kind_change_nothing(self) -> None:
        intake = opened([avc_header(), mp3(0), key(0)])
        assert isinstance(intake.receive(mp3(24, b"\xff\xfb\x54\x64y")), FlvTag)

    def test_frame_of_another_kind_reopens_at_the_next_keyframe(self) -> None:
        intake = opened([avc_header(), mp3(0), key(0)])
        actions = receive(intake, [mp3(24, b"\xff\xfb\x90\x64y"), inter(40), key(80)])
        assert [type(action) for action in actions] == [Drop, FlvTag, Open]
        assert opening(actions).tracks[1].config.sample_rate == 44_100


SURROUND_ASC = b"\x11\xb0"
SURROUND = (aac_header(SURROUND_ASC), avc_header(), sound(0), key(0))


class TestStoppedTrack:
    """A track that ends while others go on; there is no silence for sound in 5.1."""

    def fill(self, intake: Intake, tag: Callable[[int], FlvTag], start_ms: int, end_ms: int) -> list[Action]:
        return receive(intake, [tag(ms) for ms in range(start_ms, end_ms, 20)])

    def test_audio_that_stops_is_left_out_from_the_next_keyframe_on(self) -> None:
        intake = opened(SURROUND)
        actions = self.fill(intake, inter, 20, LIMITS.audio_gone_ms + 1000)
        assert {type(action) for action in actions} == {FlvTag}
        action = intake.receive(key(LIMITS.audio_gone_ms + 1000))
        assert isinstance(action, Open)
        assert kinds(action) == [TagType.VIDEO]

    def test_audio_that_comes_back_comes_in_with_a_keyframe(self) -> None:
        intake = opened(SURROUND)
        self.fill(intake, inter, 20, LIMITS.audio_gone_ms + 1000)
        receive(intake, [key(3000), *(inter(ms) for ms in range(3020, 3200, 20))])
        actions = receive(intake, [sound(3200), inter(3200), key(3240), sound(3240)])
        assert [type(action) for action in actions] == [Drop, FlvTag, Open, FlvTag]
        assert kinds(opening(actions)) == BOTH

    def test_audio_that_comes_back_before_a_keyframe_was_never_away(self) -> None:
        intake = opened(SURROUND)
        self.fill(intake, inter, 20, LIMITS.audio_gone_ms + 1000)
        assert receive(intake, [sound(3000), key(3000)]) == [sound(3000), key(3000)]

    def test_video_that_stops_leaves_the_audio(self) -> None:
        intake = opened()
        action = opening(self.fill(intake, sound, 20, LIMITS.video_gone_ms + 1000))
        assert kinds(action) == [TagType.AUDIO]

    def test_video_that_comes_back_begins_with_a_keyframe(self) -> None:
        intake = opened()
        self.fill(intake, sound, 20, LIMITS.video_gone_ms + 1000)
        actions = receive(intake, [inter(6000), sound(6000), key(6020)])
        assert [type(action) for action in actions] == [Drop, FlvTag, Open]
        assert kinds(opening(actions)) == BOTH

    def test_pause_shorter_than_that_changes_nothing(self) -> None:
        intake = opened(SURROUND)
        self.fill(intake, inter, 20, LIMITS.audio_gone_ms - 200)
        assert receive(intake, [sound(1900), key(1920)]) == [sound(1900), key(1920)]

    def test_slides_seconds_apart_are_no_stop(self) -> None:
        intake = opened()
        for ms in range(0, 20_000, 20):
            tag = key(ms) if ms % 4_000 == 0 else sound(ms)
            assert intake.receive(tag) == tag

    @pytest.mark.parametrize("leap_ms", [3_600_000, -3_600_000])
    def test_leap_of_time_while_a_track_is_silent_for_a_moment_is_no_stop(self, leap_ms: int) -> None:
        intake = opened()
        self.fill(intake, inter, 20, 1_000)
        self.fill(intake, inter, 1_000 + leap_ms, 1_800 + leap_ms)
        assert receive(intake, [sound(1_800 + leap_ms), key(1_800 + leap_ms)]) == [
            sound(1_800 + leap_ms),
            key(1_800 + leap_ms),
        ]

    def test_track_that_stops_with_a_leap_of_time_is_noticed(self) -> None:
        intake = opened()
        self.fill(intake, inter, 3_600_000, 3_600_000 + LIMITS.audio_gone_ms + 1000)
        assert isinstance(intake.receive(key(3_603_100)), Open)

    def test_jump_of_time_between_two_tracks_is_no_stop(self) -> None:
        intake = opened()
        for ms in range(0, 10_000, 40):
            leap_ms = 3_600_000 if ms > 5_000 else 0
            actions = receive(intake, [inter(ms + leap_ms), sound(ms)])
            assert {type(action) for action in actions} == {FlvTag}
        assert isinstance(intake.receive(key(10_000)), FlvTag)


class TestSilence:
    """Sound that stops goes on as silence, so that nobody has to wait for it."""

    SILENCE = b"\xaf\x01\x21\x00\x49\x90\x02\x19\x00\x23\x80"
    # AAC frames at 48 kHz.
    FRAME_MS = 1024 / 48

    def pass_through(self, intake: Intake, tags: Iterable[FlvTag]) -> list[FlvTag]:
        """What comes out for the demuxer; nothing else may."""
        out: list[FlvTag] = []
        for tag in tags:
            action = intake.receive(tag)
            if isinstance(action, Split):
                out += self.pass_through(intake, action.tags)
            else:
                assert isinstance(action, FlvTag)
                out.append(action)
        return out

    def pictures(self, start_ms: int, end_ms: int) -> list[FlvTag]:
        return [key(ms) if ms % 2000 == 0 else inter(ms) for ms in range(start_ms, end_ms, 20)]

    def test_it_begins_a_second_after_the_last_sound_and_goes_on(self) -> None:
        intake = opened()
        out = self.pass_through(intake, self.pictures(20, 10_000))
        silence = [tag for tag in out if tag.tag_type == TagType.AUDIO]
        assert {tag.payload for tag in silence} == {self.SILENCE}
        assert [tag.timestamp_ms for tag in silence] == [n * 1024 // 48 for n in range(1, len(silence) + 1)]
        assert silence[-1].timestamp_ms > 9_500
        assert intake.is_silent
        # At no time is there more silence than pictures, nor less by more than it takes to notice.
        newest = {TagType.VIDEO: 0, TagType.AUDIO: 0}
        for tag in out:
            newest[TagType(tag.tag_type)] = tag.timestamp_ms
            assert 0 <= newest[TagType.VIDEO] - newest[TagType.AUDIO] < LIMITS.audio_silent_ms + 400

    def test_sound_that_comes_back_follows_it_without_a_gap(self) -> None:
        intake = opened()
        self.pass_through(intake, self.pictures(20, 4_900))
        out = self.pass_through(intake, [sound(4_990), inter(5_000), sound(5_011)])
        assert out[-3:] == [sound(4_990), inter(5_000), sound(5_011)]
        assert {tag.payload for tag in out[:-3]} == {self.SILENCE}
        assert self.FRAME_MS - 1 <= 4_990 - out[-4].timestamp_ms < 2 * self.FRAME_MS
        assert not intake.is_silent

    def test_sound_that_came_late_is_let_through(self) -> None:
        intake = opened()
        self.pass_through(intake, self.pictures(20, 2_000))
        assert self.pass_through(intake, [sound(1_500), sound(1_521)]) == [sound(1_500), sound(1_521)]

    def test_a_pause_shorter_than_encoders_interleave_is_none(self) -> None:
        intake = opened()
        for ms in range(0, 10_000, 900):
            tags = [*self.pictures(ms + 20, ms + 900), *(sound(at) for at in range(ms, ms + 900, 20))]
            assert self.pass_through(intake, tags) == tags

    def test_each_track_has_its_own(self) -> None:
        opus_header = FlvTag(TagType.AUDIO, 0, b"\x95\x00Opus\x03" + b"OpusHead\x01\x02" + bytes(9))
        opus = FlvTag(TagType.AUDIO, 0, b"\x95\x01Opus\x03a")
        intake = opened([aac_header(), opus_header, avc_header(), sound(0), opus, key(0)])
        sounds = [tag for ms in range(20, 3000, 20) for tag in (inter(ms), sound(ms))]
        out = self.pass_through(intake, sounds)
        silence = [tag for tag in out if tag not in sounds]
        assert {tag.payload for tag in silence} == {b"\x95\x01Opus\x03\xf8\xff\xfe"}
        assert not intake.is_silent, "one of them is heard"

    def test_media_much_faster_than_time_has_little_of_it(self) -> None:
        intake = Intake(IntakeLimits(silent_frames_max=200, reopen_tags_min=4))
        receive(intake, [aac_header(), avc_header(), sound(0), key(0)])
        out: list[FlvTag] = []
        unread = [inter(ms) for ms in range(20, 1_500, 20)] + [inter(ms) for ms in range(1_500, 300_000, 300)]
        while unread:
            match intake.receive(unread.pop(0)):
                case Split(parts):
                    unread[:0] = parts
                case FlvTag() as tag:
                    out.append(tag)
                case other:
                    raise AssertionError(other)
        assert sum(tag.tag_type == TagType.AUDIO for tag in out) <= 200
        assert not intake.is_silent
        assert kinds(opening(receive(intake, [key(300_000)]))) == [TagType.VIDEO], "the sound has stopped"

    def test_the_time_that_passes_allows_more_of_it(self) -> None:
        intake = Intake(IntakeLimits(silent_frames_max=200))
        receive(intake, [aac_header(), avc_header(), sound(0), key(0)])
        heard = 0
        for start_ms in range(0, 60_000, 1_000):
            intake.allow_silence(60)
            out = self.pass_through(intake, self.pictures(start_ms + 20, start_ms + 1_020))
            heard += sum(tag.tag_type == TagType.AUDIO for tag in out)
        assert heard > 59 * 46
        assert intake.is_silent

    def test_sound_that_comes_back_when_there_may_be_no_more_is_let_through(self) -> None:
        intake = Intake(IntakeLimits(silent_frames_max=100))
        receive(intake, [aac_header(), avc_header(), sound(0), key(0)])
        self.pass_through(intake, self.pictures(20, 2_000))
        assert intake.is_silent
        assert self.pass_through(intake, [sound(4_000), inter(4_000)]) == [sound(4_000), inter(4_000)]

    def test_another_header_ends_it(self) -> None:
        intake = opened()
        self.pass_through(intake, self.pictures(20, 2_990))
        receive(intake, [aac_header(OTHER_ASC)])
        assert not intake.is_silent
        actions = receive(intake, [sound(3_000), inter(3_000), key(4_000)])
        assert [type(action) for action in actions] == [Drop, FlvTag, Open]

    @pytest.mark.parametrize("leap_ms", [3_600_000, -3_600_000])
    def test_a_leap_of_time_ends_it(self, leap_ms: int) -> None:
        intake = opened()
        self.pass_through(intake, self.pictures(20, 3_000))
        actions = receive(intake, self.pictures(3_000 + leap_ms, 8_000 + leap_ms))
        assert not any(isinstance(action, Split) for action in actions)
        assert kinds(opening(actions)) == [TagType.VIDEO]

    @pytest.mark.parametrize("apart_ms", [-3_600_000, -20_000, 20_000, 3_600_000])
    def test_tracks_on_clocks_of_their_own_have_none(self, apart_ms: int) -> None:
        intake = opened([aac_header(), avc_header(), sound(0), key(0)])
        self.pass_through(intake, [tag for ms in range(20, 1000, 20) for tag in (inter(ms + apart_ms), sound(ms))])
        actions = receive(intake, self.pictures(1000 + apart_ms, 9000 + apart_ms))
        assert not any(isinstance(action, Split) for action in actions)


class TestRefusedTrack:
    """The demuxer does not take what the gate let through."""

    def test_others_play_on_without_it(self) -> None:
        intake = opened([avc_header(), aac_header(), sound(0), key(0)])
        intake.refuse(TrackHeader(TagType.AUDIO, "mp4a", ASC, parse_config("mp4a", ASC)), "unfit")
        actions = receive(intake, [sound(20), key(40)])
        assert actions[0] == Drop(TagDropReason.NO_HEADER, "mp4a")
        assert kinds(opening(actions)) == [TagType.VIDEO]

    def test_its_header_is_not_tried_again_but_another_one_is(self) -> None:
        intake = opened([avc_header(), aac_header(), sound(0), key(0)])
        intake.refuse(TrackHeader(TagType.AUDIO, "mp4a", ASC, parse_config("mp4a", ASC)), "unfit")
        receive(intake, [aac_header(), key(40)])
        assert intake.receive(sound(60)) == Drop(TagDropReason.NO_HEADER, "mp4a")
        actions = receive(intake, [aac_header(OTHER_ASC), sound(80), inter(80), inter(90), key(100)])
        assert kinds(opening(actions)) == BOTH

    def test_frames_of_a_codec_without_header_are_dropped(self) -> None:
        intake = opened([avc_header(), mp3(0), key(0)])
        intake.refuse(TrackHeader(TagType.AUDIO, ".mp3", MP3_FRAME, parse_config(".mp3", MP3_FRAME)), "unfit")
        assert intake.receive(mp3(24)) == Drop(TagDropReason.BAD_CODEC_CONFIG, ".mp3")
        assert isinstance(intake.receive(mp3(48, b"\xff\xfb\x90\x64y")), Hold)


class TestRefusals:
    """What is told of tracks that are not carried, for as long as they are not."""

    SOUND, PICTURE = (TagType.AUDIO, 0), (TagType.VIDEO, 0)

    def test_nothing_is_refused_of_a_stream_that_is_well(self) -> None:
        assert opened().refusals == {}

    @pytest.mark.parametrize("record", [ASC, OTHER_ASC])
    def test_a_broken_header_is_mended_by_a_good_one(self, record: bytes) -> None:
        intake = opened()
        action = intake.receive(aac_header(b"\x11"))
        assert intake.refusals == {self.SOUND: action}
        receive(intake, [sound(20), inter(20)])
        assert intake.refusals == {self.SOUND: action}
        intake.receive(aac_header(record))
        assert intake.refusals == {}

    def test_a_codec_that_is_not_carried_gives_way_to_one_that_is(self) -> None:
        intake = opened()
        action = intake.receive(FlvTag(TagType.VIDEO, 0, b"\x91vp08\x00\x00\x00"))
        assert intake.refusals == {self.PICTURE: action}
        # The header that it had all the time.
        intake.receive(avc_header())
        assert intake.refusals == {}

    def test_each_track_is_told_of(self) -> None:
        intake = opened()
        for track in (b"\x05", b"\x06"):
            intake.receive(FlvTag(TagType.AUDIO, 0, b"\x95\x01.wav" + track + b"x"))
        assert intake.refusals == {
            (TagType.AUDIO, track): Drop(TagDropReason.UNSUPPORTED_CODEC, ".wav") for track in (5, 6)
        }

    def test_a_broken_frame_that_is_its_own_header_is_mended_by_the_next(self) -> None:
        intake = opened([avc_header(), mp3(0), key(0)])
        action = intake.receive(mp3(24, b"\xff\xf8\x00\x00"))
        assert intake.refusals == {self.SOUND: action}
        intake.receive(mp3(48))
        assert intake.refusals == {}

    def test_what_the_demuxer_does_not_take_is_refused_until_there_is_another_header(self) -> None:
        intake = opened()
        drop = intake.refuse(TrackHeader(TagType.AUDIO, "mp4a", ASC, parse_config("mp4a", ASC)), "unfit")
        assert drop == Drop(TagDropReason.BAD_CODEC_CONFIG, "unfit")
        intake.receive(aac_header())
        assert intake.refusals == {self.SOUND: drop}
        intake.receive(aac_header(OTHER_ASC))
        assert intake.refusals == {}

    def test_they_are_remembered_of_some_tracks(self) -> None:
        intake = opened()
        receive(intake, [FlvTag(TagType.AUDIO, 0, b"\x95\x01.wav" + bytes((n,)) + b"x") for n in range(256)])
        receive(intake, [FlvTag(TagType.VIDEO, 0, b"\x96\x01vp08" + bytes((n,)) + b"x") for n in range(256)])
        assert len(intake.refusals) == 64


class TestHeaderFlood:
    """What sequence headers may cost, whoever sends how many."""

    def test_header_that_is_too_long_ends_its_track_unread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        intake = opened()
        monkeypatch.setattr(header_reader, "parse_config", None)
        action = intake.receive(avc_header(AVCC.ljust(SEQUENCE_HEADER_BYTES_MAX + 1, b"\x00")))
        assert action == Drop(
            TagDropReason.BAD_CODEC_CONFIG, f"a sequence header of {SEQUENCE_HEADER_BYTES_MAX + 1} bytes"
        )
        assert isinstance(action, Drop)
        assert action.limit == "sequence_header_bytes_max"
        assert intake.receive(inter(40)) == Drop(TagDropReason.NO_HEADER, "avc1")
        assert kinds(opening([intake.receive(sound(40))])) == [TagType.AUDIO]

    def test_frame_that_is_too_long_to_stand_for_a_header_is_none(self) -> None:
        action = Intake(LIMITS).receive(mp3(0, MP3_FRAME.ljust(SEQUENCE_HEADER_BYTES_MAX + 1, b"\x00")))
        assert isinstance(action, Drop)
        assert (action.reason, action.limit) == (TagDropReason.BAD_CODEC_CONFIG, "sequence_header_bytes_max")

    def test_headers_past_the_limit_end_their_track_until_there_are_frames_again(self) -> None:
        intake = opened()
        headers = [avc_header(AVCC + number.to_bytes(2, "big")) for number in range(200)]
        actions = receive(intake, headers)
        assert sum(action == Hold() for action in actions) <= HEADERS_AT_ONCE_MAX + 200 // TAGS_PER_HEADER
        last = actions[-1]
        assert last == Drop(TagDropReason.HEADER_FLOOD, "too many sequence headers at once")
        assert isinstance(last, Drop)
        assert last.limit == "sequence_headers_max"
        assert intake.receive(key(40)) == Drop(TagDropReason.NO_HEADER, "avc1")
        receive(intake, [sound(20 * n) for n in range(TAGS_PER_HEADER)])
        assert isinstance(opening(receive(intake, [headers[0], key(1000)])), Open)

    def test_the_last_of_them_is_read_late_for_an_encoder_sends_its_own_once(self) -> None:
        intake = opened()
        receive(intake, [avc_header(AVCC + number.to_bytes(2, "big")) for number in range(200)])
        assert intake.receive(avc_header(OTHER_AVCC)) == Drop(
            TagDropReason.HEADER_FLOOD, "too many sequence headers at once"
        )
        receive(intake, [sound(20 * n) for n in range(TAGS_PER_HEADER)])
        action = opening(receive(intake, [inter(1000), key(1040)]))
        assert [track.record for track in action.tracks if track.kind is TagType.VIDEO] == [OTHER_AVCC]
        assert not intake.refusals

    def test_one_of_another_codec_than_the_frames_is_not_read_late(self) -> None:
        intake = opened()
        receive(intake, [avc_header(AVCC + number.to_bytes(2, "big")) for number in range(200)])
        receive(intake, [sound(20 * n) for n in range(TAGS_PER_HEADER)])
        assert intake.receive(FlvTag(TagType.VIDEO, 1000, b"\x91hvc1\0\0\0p")) == Drop(TagDropReason.NO_HEADER, "hvc1")

    def test_those_that_wait_to_be_read_are_told_and_are_of_no_more_tracks_than_there_may_be(self) -> None:
        intake = Intake(LIMITS)
        receive(intake, [avc_header(AVCC + number.to_bytes(2, "big")) for number in range(200)])
        before = intake.held_bytes
        record = AVCC.ljust(60_000, b"\0")
        actions = [
            intake.receive(FlvTag(TagType.VIDEO, 0, b"\x96\0avc1" + bytes((number,)) + record)) for number in range(100)
        ]
        reasons = Counter(action.reason for action in actions if isinstance(action, Drop))
        assert reasons[TagDropReason.EXTRA_TRACK] >= 100 - LIMITS.tracks_max
        assert intake.held_bytes - before <= LIMITS.tracks_max * 60_000
        assert intake.held_bytes - before >= 60_000

    def test_two_good_ones_in_turn_are_read_seldom(self) -> None:
        intake = opened()
        actions = receive(intake, [avc_header(OTHER_AVCC if n % 2 else AVCC) for n in range(6400)])
        read = sum(not isinstance(action, Drop) for action in actions)
        assert read <= HEADERS_AT_ONCE_MAX + 6400 // TAGS_PER_HEADER

    def test_one_that_is_repeated_is_none_too_many(self) -> None:
        intake = opened()
        assert set(receive(intake, [avc_header(), aac_header()] * 500)) == {Drop(TagDropReason.REPEATED_HEADER)}
        assert intake.receive(avc_header(OTHER_AVCC)) == Hold()

    def test_frames_that_stand_for_other_headers_are_dropped_past_the_limit(self) -> None:
        intake = Intake(LIMITS)
        kinds_of_mp3 = [MP3_FRAME, b"\xff\xfb\x90\x64y"]
        actions = receive(intake, [mp3(n, kinds_of_mp3[n % 2]) for n in range(3200)])
        flood = Drop(TagDropReason.HEADER_FLOOD, ".mp3")
        others = [action for action in actions if action != flood]
        # Every second frame is like the one before it, as soon as changes are dropped.
        assert actions.count(flood) >= 3200 / 2 - HEADERS_AT_ONCE_MAX - 3200 / TAGS_PER_HEADER
        assert sum(isinstance(action, Open) for action in others) <= 3200 / LIMITS.reopen_tags_min

    def test_a_change_does_not_look_at_what_is_held_of_others(self) -> None:
        intake = Intake(IntakeLimits(keyframe_wait_ms=10_000))
        receive(intake, [aac_header(), avc_header(), *(sound(n // 8) for n in range(4000))])
        flood = [avc_header(AVCC + n.to_bytes(2, "big")) for n in range(90)]
        calls = count_calls(lambda: receive(intake, flood))
        assert calls < 90 * 90

    def test_what_is_held_is_trimmed_a_tag_at_a_time(self) -> None:
        intake = Intake(IntakeLimits(keyframe_wait_ms=100_000))
        receive(intake, [aac_header(), avc_header(), *(sound(n // 4) for n in range(4000))])
        calls = count_calls(lambda: receive(intake, [sound(1000 + n // 4) for n in range(90)]))
        assert calls < 90 * 100
        assert intake.drops[TagDropReason.BEFORE_KEYFRAME] > 60

    def test_the_owner_may_have_no_other_demuxer(self) -> None:
        intake = opened()
        intake.may_reopen = False
        actions = receive(intake, [avc_header(OTHER_AVCC), key(40), sound(60), key(80)])
        assert actions == [Hold(), Drop(TagDropReason.BEFORE_KEYFRAME), sound(60), Drop(TagDropReason.BEFORE_KEYFRAME)]
        intake.may_reopen = True
        receive(intake, [sound(80)])
        assert kinds(opening(receive(intake, [key(120), sound(120)]))) == BOTH

    def test_what_is_kept_is_told(self) -> None:
        intake = Intake(LIMITS)
        receive(intake, [avc_header(), aac_header()])
        headers = len(AVCC) + len(ASC)
        assert intake.held_bytes == headers
        receive(intake, [key(0, 1000), inter(40)])
        assert headers + 1010 <= intake.held_bytes < headers + 2000
        receive(intake, [sound(40)])
        assert intake.held_bytes == headers, "it is open"
        receive(intake, [avc_header(OTHER_AVCC)])
        assert intake.held_bytes == headers + len(OTHER_AVCC), "the old one is still what is open"


class TestRestart:
    """A demuxer that has failed is of no more use."""

    def test_nothing_passes_before_the_keyframe_that_opens_another(self) -> None:
        intake = opened()
        tracks = len(intake.refusals)
        intake.restart()
        assert intake.pass_frames([inter(33), sound(40)]) == 0
        actions = receive(intake, [inter(33), sound(40), inter(66), key(100), inter(133)])
        assert [type(action) for action in actions] == [Drop, Hold, Drop, Open, FlvTag]
        assert kinds(opening(actions)) == BOTH
        assert frames(opening(actions)) == [key(100)]
        assert len(intake.refusals) == tracks

    def test_sound_alone_opens_another_at_once(self) -> None:
        intake = Intake(LIMITS)
        intake.metadata = StreamMetadata(lacks_video=True)
        receive(intake, [aac_header(), sound(0)])
        intake.restart()
        assert isinstance(intake.receive(sound(21)), Open)


class TestManyAtOnce:
    def test_frames_are_passed_up_to_the_first_tag_that_may_be_anything_else(self) -> None:
        intake = Intake(LIMITS)
        opened = [
            tag for tag in (avc_header(), aac_header(), key(0), sound(1)) if isinstance(intake.receive(tag), Open)
        ]
        assert opened
        frames = [inter(33), sound(40), inter(66), key(99), sound(99)]
        assert intake.pass_frames(frames) == len(frames)
        assert intake.pass_frames([*frames, avc_header(OTHER_AVCC), *frames]) == len(frames)
        assert intake.pass_frames([FlvTag(TagType.VIDEO, 0, b""), inter(133)]) == 0
        assert intake.drops.total() == 0

    def test_none_is_passed_while_nothing_is_open(self) -> None:
        assert Intake(LIMITS).pass_frames([inter(0), sound(0)]) == 0

    def test_a_track_that_stops_is_missed_however_many_come_at_once(self) -> None:
        intake = Intake(LIMITS)
        for tag in SURROUND:
            intake.receive(tag)
        for start_ms in range(0, 6_000, 300):
            intake.pass_frames([inter(start_ms + step) for step in range(0, 300, 30)])
        (opening,) = [action for action in [intake.receive(key(6_000))] if isinstance(action, Open)]
        assert [header.kind for header in opening.tracks] == [TagType.VIDEO]

    @pytest.mark.parametrize("offset", range(16))
    def test_a_track_that_pauses_within_one_read_is_missed(self, offset: int) -> None:
        intake = Intake(LIMITS)
        for tag in SURROUND:
            intake.receive(tag)
        pause = [inter(ms) for ms in range(30, 6_000 + 30 * offset, 30)]
        for tag in pause[intake.pass_frames(pause) :]:
            intake.receive(tag)
        (opening,) = [action for action in [intake.receive(key(6_500))] if isinstance(action, Open)]
        assert [header.kind for header in opening.tracks] == [TagType.VIDEO]
