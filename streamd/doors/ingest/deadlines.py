"""How long a connection may stay in each state, and what it has failed to do when it has stayed too long."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.formats.rtmp.state import State
from streamd.limits import DEFAULT
from streamd.services.live.publisher import EndReason

# Seconds that a verdict may take beside the key store's answer: the publish hook has ten at the most.
VERDICT_EXTRA_S = 15.0


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """Limits of one RTMP connection, times in seconds. The reasons stand in the configuration's ``[limits]``."""

    handshake_timeout_s: float = DEFAULT.handshake_timeout_s
    publish_timeout_s: float = DEFAULT.publish_timeout_s
    media_timeout_s: float = DEFAULT.media_timeout_s
    verify_timeout_s: float = DEFAULT.verify_timeout_s
    messages_per_second_max: int = DEFAULT.messages_per_second_max
    unsent_answers_bytes_max: int = DEFAULT.unsent_answers_bytes_max


@dataclass(frozen=True, slots=True)
class Overdue:
    """A thing that a connection has failed to do in time."""

    limit: str
    """Key in ``[limits]``; empty where the fault is ours."""
    reason: str
    """For the log, and for the publisher."""
    end_reason: EndReason


def overdue(state: State, *, open_s: float, stay_s: float, options: IngestOptions) -> Overdue | None:
    """Say what a connection that does not publish has failed to do in time.

    Args:
        state: Where it stands.
        open_s: Seconds since it was opened.
        stay_s: Seconds since it logged in, asked for a publish, or ended one; whichever was last.
        options: The limits.

    Returns:
        None while it has time.
    """
    match state:
        # A byte now and then is no handshake, so all of it counts.
        case State.HANDSHAKE | State.CONNECTING if open_s > options.handshake_timeout_s:
            reason = f"no handshake within {options.handshake_timeout_s:g} s"
            return Overdue("handshake_timeout_s", reason, EndReason.CONNECTION_LOST)
        case State.CONNECTED if stay_s > options.publish_timeout_s:
            reason = f"no publish within {options.publish_timeout_s:g} s"
            return Overdue("publish_timeout_s", reason, EndReason.CONNECTION_LOST)
        case State.PUBLISH_PENDING if stay_s > options.verify_timeout_s + VERDICT_EXTRA_S:
            # The store and the hook have their own time limits, so this is a fault of ours.
            return Overdue("", "the publish was not decided", EndReason.INTERNAL_ERROR)
    return None


def no_media(options: IngestOptions) -> Overdue:
    """Say what a publisher has failed to do that has sent no media for too long."""
    return Overdue("media_timeout_s", f"no media for {options.media_timeout_s:g} s", EndReason.MEDIA_TIMEOUT)
