"""From a request for a pushed stream to its head and its fan-out; every door asks here.

``decide_push`` is pure; this is where it is told what is live now.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamd.doors.delivery.answer import Absence
from streamd.doors.delivery.push_path import decide_push

if TYPE_CHECKING:
    from streamd.doors.delivery.answer import Answer
    from streamd.doors.delivery.channels import PublicChannels
    from streamd.doors.delivery.push_path import PushPath
    from streamd.services.live.fanout import Fanout


@dataclass(frozen=True, slots=True)
class Push:
    """Write the head, with ``Connection: close``, and in the same step of the loop attach the socket."""

    head: Answer
    fanout: Fanout


class PushLookup:
    """Answers requests for pushed streams.

    Args:
        channels: Finds the channel of a name.
    """

    def __init__(self, channels: PublicChannels) -> None:
        self._channels = channels

    def ask(self, method: str, path: PushPath) -> Answer | Push:
        """Answer a request as things stand now.

        Args:
            method: Of the request.
            path: The stream and format that it asks for.

        Returns:
            A whole answer, or the head of a stream that follows.
        """
        fanout = self._find(path)
        if isinstance(fanout, Absence):
            return decide_push(method, path, fanout)
        head = decide_push(method, path, None)
        return Push(head, fanout) if method == "GET" else head

    def _find(self, path: PushPath) -> Fanout | Absence:
        channel = self._channels.find(path.name)
        if isinstance(channel, Absence):
            return channel
        return channel.fanout(path.format.value) or Absence.UNKNOWN
