"""How a service that decides alone is asked, and how its answer is read: in our words, nginx-rtmp's or MediaMTX's.

Specifications: nginx-rtmp-module 1.2.2, ``on_publish``; MediaMTX 1.x, ``authMethod: http``.
"""

from __future__ import annotations

import itertools
import json
import uuid
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from streamd.errors import HookAnswerError
from streamd.services.events.event import payload
from streamd.services.keys.publish_hook import REQUEST_TYPE, HookFormat, Question

if TYPE_CHECKING:
    from datetime import datetime

    from streamd.services.events.sender import ReceiverAnswer
    from streamd.services.keys.shown_publish import ShownPublish


class HookWords:
    """Makes the requests of one format, and reads its answers.

    Args:
        hook_format: Which.
    """

    def __init__(self, hook_format: HookFormat) -> None:
        self._format = hook_format
        # nginx numbers its connections.
        self._numbers = itertools.count(1)

    def ask(self, shown: ShownPublish, now: datetime) -> Question:
        """The question about a publish; the publisher's secret is in it."""
        match self._format:
            case HookFormat.STREAMD:
                data = {
                    "app": shown.app,
                    "name": shown.name,
                    "query": shown.query,
                    "address": shown.address,
                    "encoder": shown.encoder,
                }
                return Question(payload(REQUEST_TYPE, now, data), "application/json")
            case HookFormat.NGINX_RTMP:
                fields = {
                    "app": shown.app,
                    "flashver": shown.encoder,
                    "swfurl": "",
                    "tcurl": shown.tc_url,
                    "pageurl": "",
                    "addr": shown.address,
                    "clientid": next(self._numbers),
                    "call": "publish",
                    "name": shown.name,
                    "type": shown.publishing_type,
                }
                # nginx-rtmp puts the query behind its own fields as it is. Signs that no URL has are encoded.
                body = urlencode(fields, errors="replace") + (f"&{_url_text(shown.query)}" if shown.query else "")
                return Question(body.encode(), "application/x-www-form-urlencoded")
            case HookFormat.MEDIAMTX:
                given = dict(parse_qsl(shown.query, keep_blank_values=True))
                fields = {
                    "user": given.get("user", ""),
                    "password": given.get("pass", ""),
                    "token": given.get("jwt", ""),
                    "ip": shown.address,
                    "action": "publish",
                    "path": shown.path,
                    "protocol": "rtmp",
                    "id": str(uuid.uuid4()),
                    "query": shown.query,
                    "userAgent": shown.encoder,
                }
                return Question(json.dumps(fields).encode(), "application/json")

    def channel_of(self, shown: ShownPublish, answer: ReceiverAnswer) -> str | None:
        """The channel that the service lets the publisher into; None where it says no.

        Raises:
            HookAnswerError: The answer decides nothing; the text says why, without anything that was shown.
        """
        is_redirect = self._format is HookFormat.NGINX_RTMP and 300 <= answer.status <= 399
        if not answer.is_success and not is_redirect:
            if 400 <= answer.status <= 499:
                return None
            raise HookAnswerError(f"HTTP {answer.status}")
        if is_redirect:
            # "rtmp://…" pushes the stream elsewhere in nginx-rtmp; here its last part is the name as well.
            channel = answer.location.partition("?")[0].rstrip("/").rpartition("/")[2]
            if not channel:
                raise HookAnswerError(f"HTTP {answer.status} without a Location")
            return channel
        if self._format is not HookFormat.STREAMD:
            return shown.last_name
        return _named_channel(answer.body) or _own_channel(shown)


def _named_channel(body: bytes) -> str:
    """The channel that an answer of ours names; empty where it has no body."""
    if not body.strip():
        return ""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise HookAnswerError("its answer is not JSON") from None
    channel = said.get("channel", "") if isinstance(said, dict) else None
    if not isinstance(channel, str):
        raise HookAnswerError('its answer is not {"channel": "NAME"}')
    return channel


def _own_channel(shown: ShownPublish) -> str:
    """The channel that the publisher asked for, where something beside it proves them."""
    if not shown.query:
        # A name alone is what they were let in by: as a channel's name it would be on every page.
        raise HookAnswerError('its answer names no channel: answer {"channel": "NAME"}')
    return shown.last_name


def _url_text(query: str) -> str:
    """A query as it may stand in a form: what is not printable ASCII is percent-encoded, all else is left."""
    return "".join(c if "!" <= c <= "~" else "".join(f"%{b:02X}" for b in c.encode("utf-8", "replace")) for c in query)
