"""An independent judge of media playlists, written from rfc8216bis-22 and not from our renderer.

``check_playlist`` reads one playlist text with a parser of its own and reports every rule that it breaks.
``PlaylistFollower`` reads the reloads of one playlist as a client does, delta updates included, and reports what
changed that must not change. Rules of Apple's authoring specification and of stricter readers are checked where
they go further.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

Say = Callable[[str], None]

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"\r\n]*"|[^",\s][^,\s]*)(?:,|$)')
_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?")
_INTEGER = re.compile(r"[0-9]{1,20}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")

# Attributes and whether each is a quoted-string, by tag (4.4).
_ATTRIBUTES = {
    "EXT-X-PART": {
        "URI": True,
        "DURATION": False,
        "INDEPENDENT": False,
        "BYTERANGE": True,
        "GAP": False,
    },
    "EXT-X-PART-INF": {"PART-TARGET": False},
    "EXT-X-SERVER-CONTROL": {
        "CAN-SKIP-UNTIL": False,
        "CAN-SKIP-DATERANGES": False,
        "HOLD-BACK": False,
        "PART-HOLD-BACK": False,
        "CAN-BLOCK-RELOAD": False,
    },
    "EXT-X-MAP": {"URI": True, "BYTERANGE": True},
    "EXT-X-SKIP": {"SKIPPED-SEGMENTS": False, "RECENTLY-REMOVED-DATERANGES": True},
    "EXT-X-PRELOAD-HINT": {
        "TYPE": False,
        "URI": True,
        "BYTERANGE-START": False,
        "BYTERANGE-LENGTH": False,
    },
    "EXT-X-RENDITION-REPORT": {"URI": True, "LAST-MSN": False, "LAST-PART": False},
}
_ONCE = {
    "EXT-X-VERSION",
    "EXT-X-TARGETDURATION",
    "EXT-X-SERVER-CONTROL",
    "EXT-X-PART-INF",
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-DISCONTINUITY-SEQUENCE",
    "EXT-X-SKIP",
    "EXT-X-ENDLIST",
}
_SEGMENT_TAGS = {
    "EXTINF",
    "EXT-X-PART",
    "EXT-X-MAP",
    "EXT-X-DISCONTINUITY",
    "EXT-X-PROGRAM-DATE-TIME",
    "EXT-X-GAP",
}

# Five decimals are written, so a sum of that many roundings is this exact.
_ROUNDING = Decimal("0.000005")
# Dates have milliseconds.
_DATE_ROUNDING = Decimal("0.002")


@dataclass(frozen=True)
class CheckedPart:
    uri: str
    duration: Decimal
    is_independent: bool


@dataclass(frozen=True)
class CheckedSegment:
    """A segment as a client knows it; ``uri`` is None while it is open."""

    uri: str | None = None
    duration: Decimal = Decimal(0)
    map_uri: str | None = None
    date: datetime | None = None
    is_discontinuous: bool = False
    parts: tuple[CheckedPart, ...] = ()

    @property
    def is_empty(self) -> bool:
        return self.uri is None and not self.parts and not self.is_discontinuous and self.date is None

    @property
    def length(self) -> Decimal:
        return self.duration if self.uri is not None else sum((p.duration for p in self.parts), Decimal(0))


@dataclass
class CheckedPlaylist:
    """What a text says, and what is wrong with it."""

    violations: list[str] = field(default_factory=list)
    version: int = 1
    target_duration: int = 0
    part_target: Decimal | None = None
    server_control: dict[str, str] = field(default_factory=dict)
    media_sequence: int = 0
    discontinuity_sequence: int = 0
    skipped: int = 0
    segments: list[CheckedSegment] = field(default_factory=list)
    """Complete ones, without those that were skipped."""
    open_segment: CheckedSegment | None = None
    hints: dict[str, str] = field(default_factory=dict)
    reports: list[dict[str, str]] = field(default_factory=list)
    is_ended: bool = False

    @property
    def listed(self) -> list[CheckedSegment]:
        return self.segments + ([self.open_segment] if self.open_segment else [])

    @property
    def last_msn(self) -> int:
        """Of the last complete segment."""
        return self.media_sequence + self.skipped + len(self.segments) - 1

    @property
    def duration(self) -> Decimal:
        return sum((segment.length for segment in self.listed), Decimal(0))


def parse_playlist(text: bytes) -> CheckedPlaylist:
    """Read a media playlist; grammar faults are reported, not raised."""
    result = CheckedPlaylist()
    say = result.violations.append
    if text.startswith(b"\xef\xbb\xbf"):
        say("4.1: byte order mark")
    if re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", text):
        say("4.1: control character")
    lines = text.decode("utf-8").split("\n")
    if lines[0] != "#EXTM3U":
        say("4.4.1.1: EXTM3U is not the first line")
    seen: dict[str, int] = {}
    segment = CheckedSegment()
    map_uri: str | None = None
    has_extinf = False
    for line in lines[1:]:
        if not line:
            continue
        if not line.startswith("#"):
            if not has_extinf:
                say(f"4.4.4.1: {line} without EXTINF")
            has_extinf = False
            result.segments.append(replace(segment, uri=line, map_uri=map_uri))
            segment = CheckedSegment()
            continue
        if not line.startswith("#EXT"):
            continue
        tag, _, value = line[1:].partition(":")
        seen[tag] = seen.get(tag, 0) + 1
        if tag in _ONCE and seen[tag] > 1:
            say(f"4.4: {tag} is repeated")
        attributes = _parse_attributes(tag, value, say) if tag in _ATTRIBUTES else {}
        if tag in _SEGMENT_TAGS and "EXT-X-TARGETDURATION" not in seen:
            say(f"{tag} before EXT-X-TARGETDURATION")
        match tag:
            case "EXT-X-VERSION":
                result.version = _integer(tag, value, say)
            case "EXT-X-TARGETDURATION":
                result.target_duration = _integer(tag, value, say)
            case "EXT-X-PART-INF":
                result.part_target = _decimal(tag, attributes.get("PART-TARGET", ""), say)
            case "EXT-X-SERVER-CONTROL":
                result.server_control = attributes
            case "EXT-X-MEDIA-SEQUENCE" | "EXT-X-DISCONTINUITY-SEQUENCE":
                if result.segments or not segment.is_empty:
                    say(f"4.4.3: {tag} after the first segment")
                number = _integer(tag, value, say)
                if tag == "EXT-X-MEDIA-SEQUENCE":
                    result.media_sequence = number
                else:
                    result.discontinuity_sequence = number
            case "EXT-X-SKIP":
                if result.segments or not segment.is_empty:
                    say("4.4.5.2: EXT-X-SKIP after a segment")
                result.skipped = _integer(tag, attributes.get("SKIPPED-SEGMENTS", ""), say)
            case "EXT-X-DISCONTINUITY":
                if segment.parts:
                    say("4.4.4.3: EXT-X-DISCONTINUITY between the parts of a segment")
                segment = replace(segment, is_discontinuous=True)
            case "EXT-X-MAP":
                if segment.parts:
                    say("4.4.4.5: EXT-X-MAP between the parts of a segment")
                map_uri = attributes.get("URI")
            case "EXT-X-PROGRAM-DATE-TIME":
                if not _DATE.fullmatch(value):
                    say(f"4.4.4.6: {value} is not a date with milliseconds in UTC")
                else:
                    segment = replace(segment, date=datetime.fromisoformat(value))
            case "EXT-X-PART":
                duration = _decimal("DURATION", attributes.get("DURATION", ""), say)
                if attributes.get("INDEPENDENT", "YES") != "YES":
                    say("4.4.4.9: INDEPENDENT is not YES")
                part = CheckedPart(attributes.get("URI", ""), duration, "INDEPENDENT" in attributes)
                segment = replace(segment, parts=(*segment.parts, part))
            case "EXTINF":
                has_extinf = True
                segment = replace(segment, duration=_decimal(tag, value.partition(",")[0], say))
                if "," not in value:
                    say("4.4.4.1: EXTINF without a comma")
            case "EXT-X-PRELOAD-HINT":
                kind = attributes.get("TYPE", "")
                if kind not in ("PART", "MAP"):
                    say(f"4.4.5.3: TYPE={kind}")
                if kind in result.hints:
                    say(f"4.4.5.3: two hints of TYPE={kind}")
                result.hints[kind] = attributes.get("URI", "")
            case "EXT-X-RENDITION-REPORT":
                result.reports.append(attributes)
            case "EXT-X-ENDLIST":
                result.is_ended = True
            case _:
                say(f"unknown tag {tag}")
    if not segment.is_empty:
        result.open_segment = replace(segment, map_uri=map_uri)
    if "EXT-X-TARGETDURATION" not in seen:
        say("4.4.3.1: EXT-X-TARGETDURATION is required")
    if "EXT-X-MAP" in seen and result.version < 6:
        say("8: EXT-X-MAP asks for version 6")
    if result.skipped and result.version < 9:
        say("8: EXT-X-SKIP asks for version 9")
    return result


def _parse_attributes(tag: str, text: str, say: Say) -> dict[str, str]:
    attributes: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _ATTRIBUTE.match(text, position)
        if match is None or (match.end() == len(text) and text.endswith(",")):
            say(f"4.2: {tag}:{text} is not an attribute list")
            break
        name, value = match.groups()
        if name in attributes:
            say(f"4.2: {name} twice in {tag}")
        quoted = _ATTRIBUTES[tag].get(name)
        if quoted is None:
            say(f"{tag} has no attribute {name}")
        elif quoted != value.startswith('"'):
            say(f"{tag}: {name} is {'not ' if quoted else ''}a quoted-string")
        attributes[name] = value.strip('"')
        position = match.end()
    return attributes


def _integer(what: str, text: str, say: Say) -> int:
    if not _INTEGER.fullmatch(text) or int(text) >= 2**64:
        say(f"4.2: {what}: {text!r} is not a decimal-integer")
        return 0
    return int(text)


def _decimal(what: str, text: str, say: Say) -> Decimal:
    if not _DECIMAL.fullmatch(text):
        say(f"4.2: {what}: {text!r} is not a decimal-floating-point")
        return Decimal(0)
    return Decimal(text)


def check_playlist(text: bytes) -> list[str]:
    """Report every rule that one full or delta playlist breaks."""
    playlist = parse_playlist(text)
    return _judge_skip(playlist) + _judge(playlist)


def _judge_skip(playlist: CheckedPlaylist) -> list[str]:
    if not playlist.skipped:
        return []
    boundary = playlist.server_control.get("CAN-SKIP-UNTIL")
    if boundary is None:
        return ["6.2.5.1: EXT-X-SKIP without CAN-SKIP-UNTIL"]
    if playlist.duration < Decimal(boundary):
        return ["6.2.5.1: skipped segments nearer to the end than the Skip Boundary"]
    return []


def _judge(playlist: CheckedPlaylist) -> list[str]:
    found = list(playlist.violations)
    say = found.append
    target = playlist.target_duration
    if target < 1:
        say("4.4.3.1: TARGETDURATION below 1")
    _judge_segments(playlist, found)
    if playlist.part_target is None:
        if any(segment.parts for segment in playlist.listed) or playlist.hints.get("PART"):
            say("4.4.3.7: parts without EXT-X-PART-INF")
    else:
        _judge_low_latency(playlist, playlist.part_target, found)
    control = playlist.server_control
    if "HOLD-BACK" in control and Decimal(control["HOLD-BACK"]) < 3 * target:
        say("4.4.3.8: HOLD-BACK below three target durations")
    if "CAN-SKIP-UNTIL" in control and Decimal(control["CAN-SKIP-UNTIL"]) < 6 * target:
        say("4.4.3.8: CAN-SKIP-UNTIL below six target durations")
    for report in playlist.reports:
        if "URI" not in report or "LAST-MSN" not in report:
            say("4.4.5.4: EXT-X-RENDITION-REPORT without URI or LAST-MSN")
    uris = [segment.uri for segment in playlist.segments]
    uris += [part.uri for segment in playlist.listed for part in segment.parts]
    if len(uris) != len(set(uris)):
        say("a URI is listed twice")
    return found


def _judge_segments(playlist: CheckedPlaylist, found: list[str]) -> None:
    target = playlist.target_duration
    for segment in playlist.listed:
        # 4.4.3.1: "rounded to the nearest integer, MUST be less than or equal to the target duration".
        if segment.duration >= target + Decimal("0.5"):
            found.append(f"4.4.3.1: {segment.uri} lasts {segment.duration} of {target} s")
        if segment.parts and segment.uri is not None:
            total = sum((part.duration for part in segment.parts), Decimal(0))
            if abs(total - segment.duration) > _ROUNDING * (len(segment.parts) + 1):
                found.append(f"parts of {segment.uri} last {total}, EXTINF is {segment.duration}")
        if segment.date is None:
            found.append(f"B.1: no EXT-X-PROGRAM-DATE-TIME at {segment.uri}")
    # The map of what follows EXT-X-SKIP may be known from before.
    if not playlist.skipped and any(segment.map_uri is None for segment in playlist.listed):
        found.append("4.4.4.5: a segment without EXT-X-MAP")
    for one, two in pairwise(playlist.listed):
        if one.date is None or two.date is None:
            continue
        step = Decimal(str((two.date - one.date).total_seconds()))
        if two.is_discontinuous:
            if step < one.length - _DATE_ROUNDING:
                found.append(f"4.4.4.6: the date goes back at {two.uri}")
        elif abs(step - one.length) > _DATE_ROUNDING:
            found.append(f"4.4.4.6: dates step by {step} where {one.uri} lasts {one.length}")
        if two.map_uri != one.map_uri and not two.is_discontinuous and one.map_uri is not None:
            found.append(f"4.4.4.3: another EXT-X-MAP without EXT-X-DISCONTINUITY at {two.uri}")


def _judge_low_latency(playlist: CheckedPlaylist, part_target: Decimal, found: list[str]) -> None:
    say = found.append
    control = playlist.server_control
    if control.get("CAN-BLOCK-RELOAD") != "YES":
        say("B.1: CAN-BLOCK-RELOAD is required")
    if "PART-HOLD-BACK" not in control:
        say("4.4.3.8: PART-HOLD-BACK is required with parts")
    elif Decimal(control["PART-HOLD-BACK"]) < 3 * part_target:
        say("Apple 14.3: PART-HOLD-BACK below three PART-TARGETs")
    for segment in playlist.listed:
        for index, part in enumerate(segment.parts):
            if part.duration > part_target:
                say(f"4.4.4.9: {part.uri} lasts {part.duration} of {part_target} s")
            # The last part of a segment may be short; of an open segment the last is not known yet.
            is_last = index == len(segment.parts) - 1
            if not is_last and not part.is_independent and part.duration < part_target * 85 / 100:
                say(f"4.4.4.9: {part.uri} lasts {part.duration}, less than 85 % of {part_target} s")
    distance = Decimal(0)
    for index, segment in enumerate(reversed(playlist.listed)):
        if segment.parts and distance > 3 * playlist.target_duration:
            say(f"4.4.4.9: parts of {segment.uri} are more than three target durations from the end")
        has_open = playlist.open_segment is not None or not playlist.is_ended
        if segment.parts and index + (playlist.open_segment is None and has_open) >= 3:
            say(f"hls-parser: parts of {segment.uri}, which is not one of the last three segments")
        distance += segment.length
    if playlist.is_ended:
        if playlist.hints:
            say("4.4.5.3: EXT-X-PRELOAD-HINT after the end")
        if playlist.open_segment is not None:
            say("an open segment after the end")
    elif "PART" not in playlist.hints:
        say("no EXT-X-PRELOAD-HINT of TYPE=PART in a live playlist")
    listed = {part.uri for segment in playlist.listed for part in segment.parts}
    if playlist.hints.get("PART") in listed:
        say("4.4.5.3: the hinted part is listed already")
    if "MAP" in playlist.hints and playlist.hints["MAP"] in {segment.map_uri for segment in playlist.listed}:
        say("4.4.5.3: the hinted EXT-X-MAP is listed already")


class PlaylistFollower:
    """A client that reloads one playlist and judges what it reads."""

    def __init__(self) -> None:
        self.current: CheckedPlaylist | None = None
        self.first_msn: int | None = None

    def reload(self, text: bytes) -> list[str]:
        """Read the next full or delta playlist and report what is wrong with it."""
        playlist = parse_playlist(text)
        found = _judge_skip(playlist)
        if playlist.skipped:
            found += self._merge(playlist)
        found += _judge(playlist)
        previous = self.current
        if previous is not None:
            found += _compare(previous, playlist)
        if self.first_msn is None:
            self.first_msn = playlist.media_sequence
        # 6.2.2 speaks of removing: a young playlist may be short.
        has_removed = playlist.media_sequence > self.first_msn
        if has_removed and playlist.duration < 3 * playlist.target_duration:
            found.append(f"6.2.2: a live playlist of {playlist.duration} s, target {playlist.target_duration} s")
        self.current = playlist
        return found

    def _merge(self, playlist: CheckedPlaylist) -> list[str]:
        """Put the segments that a delta update skips back, from what was read before (6.3.7)."""
        previous = self.current
        if previous is None:
            return ["6.2.5.1: the first playlist is a delta update"]
        begin = playlist.media_sequence - previous.media_sequence
        kept = previous.segments[begin : begin + playlist.skipped] if begin >= 0 else []
        if len(kept) < playlist.skipped:
            return [f"6.3.7: {playlist.skipped} segments skipped, {len(kept)} of them known"]
        segments = [replace(segment, parts=()) for segment in kept]
        map_uri = segments[-1].map_uri
        playlist.segments = [*segments, *(_with_map(segment, map_uri) for segment in playlist.segments)]
        if playlist.open_segment is not None:
            playlist.open_segment = _with_map(playlist.open_segment, playlist.segments[-1].map_uri)
        playlist.skipped = 0
        return []


def _with_map(segment: CheckedSegment, map_uri: str | None) -> CheckedSegment:
    return segment if segment.map_uri is not None else replace(segment, map_uri=map_uri)


def _compare(old: CheckedPlaylist, new: CheckedPlaylist) -> list[str]:
    """Report what must not have changed between two reloads (6.2.1, 6.2.2)."""
    found: list[str] = []
    say = found.append
    for name in ("target_duration", "part_target", "server_control"):
        if getattr(old, name) != getattr(new, name):
            say(f"6.2.1: {name} changed from {getattr(old, name)} to {getattr(new, name)}")
    if new.media_sequence < old.media_sequence:
        say(f"4.4.3.2: MEDIA-SEQUENCE went back to {new.media_sequence}")
    if new.last_msn < old.last_msn:
        say(f"6.2.1: segment {old.last_msn} was removed from the end")
    removed = old.segments[: max(0, new.media_sequence - old.media_sequence)]
    slid_out = sum(segment.is_discontinuous for segment in removed)
    if len(removed) == new.media_sequence - old.media_sequence:
        expected = old.discontinuity_sequence + slid_out
        if new.discontinuity_sequence != expected:
            say(f"6.2.2: DISCONTINUITY-SEQUENCE is {new.discontinuity_sequence}, not {expected}")
    for msn in range(max(old.media_sequence, new.media_sequence), min(old.last_msn, new.last_msn) + 1):
        one, two = old.segments[msn - old.media_sequence], new.segments[msn - new.media_sequence]
        if replace(one, parts=()) != replace(two, parts=()):
            say(f"6.2.1: segment {msn} changed from {one} to {two}")
        if two.parts and one.parts != two.parts:
            say(f"6.2.1: the parts of segment {msn} changed")
    if old.is_ended and (old.segments, old.open_segment) != (new.segments, new.open_segment):
        say("6.2.1: the playlist changed after EXT-X-ENDLIST")
    if old.is_ended and not new.is_ended:
        say("6.2.1: EXT-X-ENDLIST was taken back")
    opened = old.open_segment
    index = old.last_msn + 1 - new.media_sequence
    if opened is not None and index >= 0:
        now = new.segments[index] if index < len(new.segments) else new.open_segment
        if now is None or (now.parts and now.parts[: len(opened.parts)] != opened.parts):
            say(f"6.2.1: the parts of open segment {old.last_msn + 1} changed")
        elif (now.date, now.is_discontinuous, now.map_uri) != (
            opened.date,
            opened.is_discontinuous,
            opened.map_uri,
        ):
            say(f"6.2.1: the tags of open segment {old.last_msn + 1} changed")
    _compare_hints(old, new, found)
    return found


def _compare_hints(old: CheckedPlaylist, new: CheckedPlaylist, found: list[str]) -> None:
    known = {part.uri for segment in old.listed for part in segment.parts}
    fresh = [part.uri for segment in new.listed for part in segment.parts if part.uri not in known]
    hint = old.hints.get("PART")
    # Parts between that have gone already are not seen.
    missed = new.last_msn - old.last_msn > 2
    if fresh and hint is not None and not missed and fresh[0] != hint:
        found.append(f"4.4.5.3: {hint} was hinted, {fresh[0]} came")
    if not fresh and not new.is_ended and hint != new.hints.get("PART") and not missed:
        found.append("4.4.5.3: another part is hinted though none came")
    hinted_map = old.hints.get("MAP")
    maps = {segment.map_uri for segment in new.listed}
    if hinted_map and fresh and new.last_msn > old.last_msn and hinted_map not in maps and not new.is_ended:
        found.append(f"4.4.5.3: {hinted_map} was hinted and never came")
