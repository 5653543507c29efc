"""The publish hook: a service of the operator's that may forbid a publish whose key is good.

It is asked after the key was verified and before ``Publish.Start``, with a time limit, and can only take away: a key
that dies meanwhile opens no channel, because the registry asks once more (``services/keys/verifier.py``, V3).
"""

from __future__ import annotations

import enum
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamd.errors import PublishForbiddenError, PublishUndecidedError, ReceiverUnreachableError
from streamd.limits import PUBLISH_HOOK
from streamd.services.events.event import payload
from streamd.services.events.signature import new_message_id, signed_headers

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.services.events.sender import Sender
    from streamd.services.keys.admission import Admission
    from streamd.services.metrics import Metrics

log = logging.getLogger(__name__)

REQUEST_TYPE = "publish.requested"


class HookFormat(enum.StrEnum):
    """The words in which a hook that decides alone is asked."""

    STREAMD = "streamd"
    NGINX_RTMP = "nginx-rtmp"
    MEDIAMTX = "mediamtx"


@dataclass(frozen=True, slots=True)
class Question:
    """A request to a hook that decides alone; a publisher's secret is in it."""

    body: bytes = field(repr=False)
    content_type: str


@dataclass(frozen=True, slots=True)
class HookOptions:
    """The service, and the decision without an answer."""

    url: str
    secret: str
    """``whsec_`` and base64; the question is signed with it. Empty: it is not."""
    timeout_s: float = PUBLISH_HOOK.timeout_s
    """For the answer. Encoders wait about ten seconds for theirs."""
    allows_on_failure: bool = False
    """Fail open: no answer lets the publish through. Otherwise it is refused, and the encoder tries again."""
    decides: bool = False
    """It decides alone (publish_decider.py): the keys of the store are not asked."""
    format: HookFormat = HookFormat.STREAMD
    """The form of the question to one that decides."""


class PublishHook:
    """Asks the operator's service over a publish.

    Args:
        options: The service, and the decision without an answer.
        sender: How.
        clock: For signatures and durations.
        metrics: Counted into.
    """

    def __init__(self, options: HookOptions, *, sender: Sender, clock: Clock, metrics: Metrics) -> None:
        self._options = options
        self._sender = sender
        self._clock = clock
        self._metrics = metrics

    async def decide(self, admission: Admission, address: str, encoder: str) -> None:
        """Ask whether a publish may begin. 2xx allows it, 4xx forbids it; all else is no answer.

        Args:
            admission: From the key service.
            address: IP address of the publisher.
            encoder: Name that its software gives itself.

        Raises:
            PublishForbiddenError: The service says no.
            PublishUndecidedError: It does not answer, and that forbids.
        """
        now = self._clock.now()
        data = {
            "stream": admission.user,
            "user": admission.user,
            "key_id": admission.key_id,
            "address": address,
            "encoder": encoder,
        }
        body = payload(REQUEST_TYPE, now, data)
        headers = signed_headers(self._options.secret, new_message_id(), now, body)
        started_at = self._clock.monotonic()
        try:
            answer = await self._sender.post(self._options.url, body, headers, timeout_s=self._options.timeout_s)
            if not answer.is_success and not 400 <= answer.status <= 499:
                raise ReceiverUnreachableError(f"HTTP {answer.status}")
            result = "allowed" if answer.is_success else "forbidden"
        except ReceiverUnreachableError as exc:
            result = "failed"
            log.warning("publish_hook.failed", extra={"stream": admission.user, "reason": str(exc)})
        self._metrics.publishing.publish_hook_seconds.observe(self._clock.monotonic() - started_at)
        self._metrics.publishing.publish_hook_answers_total.labels(result).inc()
        if result == "forbidden":
            raise PublishForbiddenError
        if result == "failed" and not self._options.allows_on_failure:
            raise PublishUndecidedError
