"""The operator's service that says who may watch (``[playback] hook_url``), with what it has said in a cache.

It is asked once for a viewing: the ticket that they get then stands for its word. 2xx lets them in, 4xx does not, and
all else is no answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from streamd.errors import ReceiverUnreachableError
from streamd.formats.address import source_of
from streamd.services.events.event import payload
from streamd.services.events.signature import new_message_id, signed_headers
from streamd.services.playback.questions import Questions
from streamd.services.playback.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.clock import Clock
    from streamd.services.events.sender import Sender
    from streamd.services.playback.visitor import Visitor

log = logging.getLogger(__name__)

REQUEST_TYPE: Final = "playback.requested"
TIMEOUT_S: Final = 3.0
# It says two numbers.
ANSWER_BYTES_MAX: Final = 4096
# Answers of now, 500 bytes each; a page and its player ask for the same within a moment.
ANSWERS_MAX: Final = 4096
# A refusal holds this long, and a word without ``ttl_s`` too: a player that tries again is not a question more.
ANSWER_S: Final = 10.0
# Questions under way: a show that begins. One viewer more is asked to come back.
QUESTIONS_MAX: Final = 256
# Of one address: a quarter of them.
QUESTIONS_PER_SOURCE_MAX: Final = 64
# Of one address, in a row and in each minute after them: a school behind it whose 300 pupils come at once, each with a
# page and a player. A viewer who changes a letter of the query each time asks no more of the service than this.
QUESTIONS_PER_MINUTE_MAX: Final = 600
# Texts of a viewer's request go on to the service no longer than this.
TEXT_CHARS_MAX: Final = 2048
TTL_S_MAX: Final = 366 * 86_400
LINE_INTERVAL_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class PlaybackHookOptions:
    """The service."""

    url: str = ""
    secret: str = field(default="", repr=False)
    allows_on_failure: bool = False


@dataclass(frozen=True, slots=True)
class HookVerdict:
    """The answer of the operator's service."""

    allows: bool
    ttl_s: float | None = None
    """For how long a viewer may watch, seconds; None: as long as a ticket is good."""
    viewers_max: int = 0


class ViewerHook:
    """Asks the service.

    Args:
        options: The service.
        sender: Makes the requests.
        clock: For signatures, and the age of answers.
        withdrawn_at: Says when all that was given out of a channel, or of a recording and its channel, was withdrawn;
            an answer from before counts no more.
    """

    def __init__(
        self,
        options: PlaybackHookOptions,
        sender: Sender,
        clock: Clock,
        withdrawn_at: Callable[[str, str], int] = lambda _channel, _owner: 0,
    ) -> None:
        self.options = options
        self._sender = sender
        self._clock = clock
        self._withdrawn_at = withdrawn_at
        self._answers: OrderedDict[tuple[str, ...], tuple[float, HookVerdict]] = OrderedDict()
        self._asked: dict[tuple[str, ...], asyncio.Task[HookVerdict]] = {}
        self._questions = Questions(
            clock.monotonic,
            per_minute_max=QUESTIONS_PER_MINUTE_MAX,
            per_source_max=QUESTIONS_PER_SOURCE_MAX,
            all_max=QUESTIONS_MAX,
        )
        self._told_at = float("-inf")

    async def ask(self, channel: str, visitor: Visitor, token: str, query: str, *, owner: str = "") -> HookVerdict:
        """Ask whether a viewer may watch.

        Args:
            channel: The channel or recording.
            visitor: The viewer who asks.
            token: The token that they showed, unchecked; empty for none.
            query: The query of their request, without it.
            owner: The channel that a recording is of.

        Raises:
            PlaybackRefusedError: They may not, or there is no answer and that forbids, or too much is asked already.
        """
        said = (channel, visitor.address, visitor.user_agent, visitor.referrer, token, query)
        key = (*said, str(self._withdrawn_at(channel, owner)))
        verdict = self._known(key)
        if verdict is None:
            task = self._asked.get(key)
            if task is None:
                source = source_of(visitor.address)
                self._questions.begin(source)
                task = self._asked[key] = asyncio.create_task(self._ask(key, said))
                task.add_done_callback(lambda _: self._end(key, source))
            try:
                verdict = await asyncio.shield(task)
            except ReceiverUnreachableError as exc:
                self._tell(exc)
                if not self.options.allows_on_failure:
                    raise Refusal.UNDECIDED.error() from None
                verdict = HookVerdict(allows=True)
        if not verdict.allows:
            raise Refusal.FORBIDDEN.error()
        return verdict

    def _end(self, key: tuple[str, ...], source: str) -> None:
        self._asked.pop(key, None)
        self._questions.end(source)

    def _known(self, key: tuple[str, ...]) -> HookVerdict | None:
        found = self._answers.get(key)
        return found[1] if found is not None and found[0] > self._clock.monotonic() else None

    async def _ask(self, key: tuple[str, ...], said: tuple[str, ...]) -> HookVerdict:
        now = self._clock.now()
        names = ("channel", "address", "user_agent", "referrer", "token", "query")
        body = payload(REQUEST_TYPE, now, {name: text[:TEXT_CHARS_MAX] for name, text in zip(names, said, strict=True)})
        headers = signed_headers(self.options.secret, new_message_id(), now, body)
        answer = await self._sender.post(
            self.options.url, body, headers, timeout_s=TIMEOUT_S, answer_bytes_max=ANSWER_BYTES_MAX
        )
        if answer.is_success:
            verdict = _read(answer.body)
        elif 400 <= answer.status <= 499:
            verdict = HookVerdict(allows=False)
        else:
            # A redirect is not followed: where it leads to is not who was asked.
            raise ReceiverUnreachableError(f"HTTP {answer.status}")
        lasts_s = ANSWER_S if verdict.ttl_s is None else min(verdict.ttl_s, ANSWER_S)
        self._answers[key] = self._clock.monotonic() + lasts_s, verdict
        if len(self._answers) > ANSWERS_MAX:
            self._answers.popitem(last=False)
        return verdict

    def _tell(self, exc: ReceiverUnreachableError) -> None:
        now = self._clock.monotonic()
        if now - self._told_at >= LINE_INTERVAL_S:
            self._told_at = now
            log.warning("playback_hook.failed", extra={"reason": str(exc)})


def _read(body: bytes) -> HookVerdict:
    """Read ``{ttl_s, max}``; nothing said is no bound, and what is wrong is no answer."""
    if not body.strip():
        return HookVerdict(allows=True)
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise ReceiverUnreachableError("the answer is no JSON") from None
    if not isinstance(said, dict):
        raise ReceiverUnreachableError("the answer is no JSON object")
    ttl_s, viewers_max = said.get("ttl_s"), said.get("max", 0)
    if ttl_s is not None and (isinstance(ttl_s, bool) or not isinstance(ttl_s, int | float)):
        raise ReceiverUnreachableError("ttl_s is no number")
    if ttl_s is not None and not 1 <= ttl_s <= TTL_S_MAX:
        raise ReceiverUnreachableError("ttl_s is from 1 second to 366 days")
    if isinstance(viewers_max, bool) or not isinstance(viewers_max, int) or not 0 <= viewers_max <= 65_535:
        raise ReceiverUnreachableError("max is no number of viewers")
    return HookVerdict(allows=True, ttl_s=ttl_s, viewers_max=viewers_max)
