"""The interface through which events make requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ReceiverAnswer:
    """The answer of a receiver."""

    status: int
    """HTTP status."""
    retry_after_s: float = 0.0
    """Its ``Retry-After``, seconds."""
    location: str = ""
    """Its ``Location``, which is not followed."""
    body: bytes = b""
    """As much of its body as was asked for."""

    @property
    def is_success(self) -> bool:
        """Standard Webhooks, Delivery success and failure: "2xx"."""
        return 200 <= self.status <= 299


class Sender(Protocol):
    """Makes POST requests; follows no redirect, and reaches no address that the operator did not allow."""

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float, answer_bytes_max: int = 0
    ) -> ReceiverAnswer:
        """POST ``body``.

        Args:
            url: The receiver.
            body: Sent as ``application/json``, unless the headers say otherwise.
            headers: Beside those of the request itself.
            timeout_s: For all of it, the look-up of the name too.
            answer_bytes_max: How much of the answer's body is read.

        Raises:
            ReceiverUnreachableError: There was no answer.
        """


class Getter(Protocol):
    """Makes GET requests, as bounded as ``Sender``'s."""

    async def get(self, url: str, *, timeout_s: float, answer_bytes_max: int) -> ReceiverAnswer:
        """GET what is there.

        Args:
            url: Where.
            timeout_s: For all of it, the look-up of the name too.
            answer_bytes_max: How much of the answer's body is read.

        Raises:
            ReceiverUnreachableError: There was no answer.
        """
