"""The health of a publisher's stream, in a stable vocabulary, with advice for its broadcaster.

Once a second a stream is measured (``Vitals``) and checked (``health_checks``). A finding is raised when its condition
has held for a while, and withdrawn when it has not been met for a while, so that nothing flaps. Pure of I/O: time comes
in as an argument.

The codes follow the names that the field has: YouTube's ``configurationIssues`` and OvenMediaEngine's alert rules. They
are part of the API: a code keeps its meaning.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from streamd.media.packet import Track


class Severity(enum.Enum):
    """The meaning of a finding to viewers, the worst first."""

    ERROR = "error"
    """They do not see or hear it as it should be."""
    WARNING = "warning"
    """Some of them may, or it is later than it could be."""
    INFO = "info"
    """They do not notice."""


class HealthStatus(enum.Enum):
    """The whole of it in one word, as YouTube's ``healthStatus`` has it."""

    GOOD = "good"
    """No fault, or none that viewers notice."""
    OK = "ok"
    """The worst finding is a warning."""
    BAD = "bad"
    """There is an error."""
    NO_DATA = "no_data"
    """No playable media has come yet, or the publisher is away."""


class HealthCode(enum.Enum):
    """The faults that a stream can have."""

    NOT_PLAYABLE = "not_playable"
    """Media arrives, but none of it can be played."""
    PUBLISHER_AWAY = "publisher_away"
    """The publisher's connection is gone, and the stream waits for it to come back."""
    STARVED = "starved"
    """Less media arrives than time passes."""
    FASTER_THAN_REAL_TIME = "faster_than_real_time"
    """More media arrives than time passes."""
    TRACK_REFUSED = "track_refused"
    """A track is not carried: its codec, its configuration, or one track too many."""
    VIDEO_MISSING = "video_missing"
    AUDIO_MISSING = "audio_missing"
    VIDEO_CODEC_UNPLAYABLE = "video_codec_unplayable"
    """Not every browser decodes the picture, or none does."""
    AUDIO_CODEC_UNPLAYABLE = "audio_codec_unplayable"
    """Not every browser decodes the sound."""
    KEYFRAME_INTERVAL_LONG = "keyframe_interval_long"
    KEYFRAME_INTERVAL_IRREGULAR = "keyframe_interval_irregular"
    KEYFRAMES_UNFIT = "keyframes_unfit"
    """No decoder can begin with what the encoder calls keyframes: intra refresh, most often."""
    FRAMES_MISSING = "frames_missing"
    """Fewer frames a second than this stream had before."""
    FRAME_RATE_LOW = "frame_rate_low"
    FRAME_RATE_HIGH = "frame_rate_high"
    BITRATE_LOW = "bitrate_low"
    """Too few bits for the picture's size."""
    BITRATE_HIGH = "bitrate_high"
    """More than the lines of many viewers carry."""
    RESOLUTION_SMALL = "resolution_small"
    RESOLUTION_LARGE = "resolution_large"
    TIMESTAMPS_REPAIRED = "timestamps_repaired"
    MEDIA_DAMAGED = "media_damaged"
    """Some media could not be read, and was dropped."""
    OUTPUT_FAILED = "output_failed"
    """One of the ways to watch or keep the stream is broken off; the others go on."""
    OUTPUT_INTERRUPTED = "output_interrupted"
    """One of them has a gap, and is tried again."""
    OUTPUT_DELAYED = "output_delayed"
    """One of them is late, and loses nothing by it."""

    # Each is itself and no other. An enumeration hashes its name otherwise, in Python, for each check of each second.
    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault."""

    code: HealthCode
    severity: Severity
    message: str
    """The fault, as it was measured last, for the broadcaster to read."""
    advice: str
    """The remedy, naming OBS's menu and field."""
    since: datetime
    """Time when it began."""


@dataclass(frozen=True, slots=True)
class Health:
    """How well a stream arrives."""

    status: HealthStatus
    findings: tuple[Finding, ...] = ()
    """The worst first, and the oldest first of those."""

    @property
    def is_healthy(self) -> bool | None:
        """Whether the stream is well; None if that is not known."""
        return None if self.status is HealthStatus.NO_DATA else self.status is HealthStatus.GOOD

    @property
    def codes(self) -> tuple[HealthCode, ...]:
        """The codes of its faults."""
        return tuple(finding.code for finding in self.findings)


@dataclass(slots=True)
class Vitals:
    """The measures of one publisher's stream, taken once a second.

    They are not changed; to freeze each of them would cost as much as the checks do.
    """

    is_playable: bool
    """Viewers have something to play."""
    fed_s: float
    """How long the publisher has fed it, seconds."""
    videos: Sequence[Track] = ()
    """The video tracks that are carried; like the others, there are none before the first keyframe."""
    audios: Sequence[Track] = ()
    """The audio tracks that are carried; none where all of their sound is silence of ours."""
    lacks_video: bool = False
    """The publisher's metadata describes sound alone."""
    lacks_audio: bool = False
    """The publisher's metadata describes pictures alone."""
    media_bitrate_bps: float | None = None
    """Bits to a second of media, all tracks; None before there is some media."""
    frame_rate: float | None = None
    """Frames to a second of media; None likewise."""
    frame_rate_best: float = 0.0
    """The highest that it was."""
    media_rate: float | None = None
    """Seconds of media that arrive in a second, lately; None before that can be said."""
    media_lead_s: float = 0.0
    """How much more media has come than time has passed since the publisher began, seconds."""
    keyframe_intervals_ms: Sequence[int] = ()
    """The last ones, oldest first."""
    open_gop_ms: int = 0
    """How much media has come since the last keyframe, milliseconds."""
    keyframes_unfit: int = 0
    """How many of the last keyframes, in a row, are such by the encoder's word alone."""
    repairs: Mapping[str, int] = field(default_factory=dict)
    """Timestamps repaired in the last seconds, by reason."""
    damages: int = 0
    """How many media messages of the last seconds could not be read."""
    refusals: Sequence[str] = ()
    """Media that is not carried, with the reason, in words; each once."""
    failed_outputs: Sequence[str] = ()
    """Names of the outputs that are dropped."""
    output_faults: Mapping[str, str] = field(default_factory=dict)
    """The trouble of outputs that go on, by name."""
    output_delays: Mapping[str, str] = field(default_factory=dict)
    """What outputs that go on wait for, by name."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A condition that is met now."""

    severity: Severity
    message: str
    advice: str


@dataclass(frozen=True, slots=True)
class Check:
    """The rule for one code."""

    code: HealthCode
    observe: Callable[[Vitals, bool], Observation | None]
    """Learns whether the finding is raised, so that raising can be stricter than keeping."""
    raise_after_s: float = 0.0
    """For how long the condition must hold."""
    withdraw_after_s: float = 0.0
    """For how long the condition must not have been met."""
    is_of_tracks: bool = False
    """It looks at the tracks alone, which stay the same for hours: while it finds nothing in them, so it stays."""


@dataclass(slots=True)
class _Condition:
    """A condition that was met, from when on, and until when."""

    observation: Observation
    since: datetime
    first_met_at: float
    last_met_at: float
    is_raised: bool = False


_NO_DATA = Health(HealthStatus.NO_DATA)
_GOOD = Health(HealthStatus.GOOD)
_SEVERITIES = list(Severity)
_STATUS = {Severity.ERROR: HealthStatus.BAD, Severity.WARNING: HealthStatus.OK, Severity.INFO: HealthStatus.GOOD}


class HealthMonitor:
    """Follows the health of one stream.

    Args:
        checks: The rules; each code once.

    Attributes:
        health: As it was assessed last.
    """

    def __init__(self, checks: Sequence[Check]) -> None:
        self.health = _NO_DATA
        self._checks = checks
        self._met: dict[HealthCode, _Condition] = {}
        # For a stream without fault, whose every second is the same: the questions without their rules, and the tracks
        # in which those who look at nothing else have found nothing.
        self._observers = tuple(check.observe for check in checks)
        self._observers_of_others = tuple(check.observe for check in checks if not check.is_of_tracks)
        self._good_tracks: tuple[Sequence[Track], Sequence[Track]] | None = None

    def assess(self, vitals: Vitals, *, now: float, wall_now: datetime) -> None:
        """Check a stream; called about once a second while a publisher feeds it.

        Args:
            vitals: Its measures.
            now: Loop time, seconds.
            wall_now: Wall time, aware, for ``Finding.since``.
        """
        met = self._met
        if not met and self._is_without_fault(vitals):
            self.health = _GOOD if vitals.is_playable else _NO_DATA
            return
        for check in self._checks:
            condition = met.get(check.code)
            observation = check.observe(vitals, condition is not None and condition.is_raised)
            if observation is not None:
                if condition is None:
                    condition = met[check.code] = _Condition(observation, wall_now, now, now)
                condition.observation = observation
                condition.last_met_at = now
                condition.is_raised = condition.is_raised or now - condition.first_met_at >= check.raise_after_s
            elif condition is not None and (
                not condition.is_raised or now - condition.last_met_at >= check.withdraw_after_s
            ):
                del met[check.code]
        self.health = self._sum_up(is_playable=vitals.is_playable)

    def _is_without_fault(self, vitals: Vitals) -> bool:
        """Whether no check meets its condition, where none has met it before."""
        known = self._good_tracks
        is_known = known is not None and vitals.videos is known[0] and vitals.audios is known[1]
        for observe in self._observers_of_others if is_known else self._observers:
            if observe(vitals, False) is not None:
                return False
        if not is_known:
            self._good_tracks = (vitals.videos, vitals.audios)
        return True

    def _sum_up(self, *, is_playable: bool) -> Health:
        if not self._met:
            return _GOOD if is_playable else _NO_DATA
        findings = [
            Finding(code, seen.observation.severity, seen.observation.message, seen.observation.advice, seen.since)
            for code, seen in self._met.items()
            if seen.is_raised
        ]
        findings.sort(key=lambda finding: (_SEVERITIES.index(finding.severity), finding.since))
        status = _STATUS[findings[0].severity] if findings else HealthStatus.GOOD
        return Health(status if is_playable else HealthStatus.NO_DATA, tuple(findings))


def away(since: datetime) -> Health:
    """The health of a stream whose publisher's connection is gone, and that waits for it.

    Args:
        since: When it went.
    """
    finding = Finding(
        HealthCode.PUBLISHER_AWAY,
        Severity.ERROR,
        "The encoder's connection is gone; the stream waits for it to come back.",
        "OBS comes back by itself if Settings → Advanced → Automatically Reconnect is enabled. If it does not, press "
        "Start Streaming.",
        since,
    )
    return Health(HealthStatus.NO_DATA, (finding,))
