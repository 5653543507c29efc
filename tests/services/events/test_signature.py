from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta, timezone

from streamd.services.events.signature import new_message_id, signed_headers
from tests.support.receiver import SECRET

BODY = b'{"type":"stream.started"}'


class TestSignedHeaders:
    """Standard Webhooks 1.0.0, "Webhook headers" and "Signature scheme"."""

    def test_they_are_what_the_text_of_the_spec_says(self) -> None:
        at = datetime(2023, 1, 19, 0, 13, 51, 999_999, UTC)
        headers = signed_headers(SECRET, "msg_x", at, BODY)
        digest = hmac.new(bytes(range(32)), b"msg_x.1674087231." + BODY, hashlib.sha256).digest()
        assert headers == {
            "webhook-id": "msg_x",
            "webhook-timestamp": "1674087231",
            "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        }

    def test_the_zone_in_which_a_time_is_told_changes_nothing(self) -> None:
        at = datetime(2023, 1, 19, tzinfo=UTC)
        elsewhere = at.astimezone(timezone(timedelta(hours=-7)))
        assert signed_headers(SECRET, "msg_x", at, BODY) == signed_headers(SECRET, "msg_x", elsewhere, BODY)

    def test_ids_are_unique_and_without_a_full_stop(self) -> None:
        """ "not be allowed to include any `.`"."""
        ids = {new_message_id() for _ in range(100)}
        assert len(ids) == 100
        assert all(message_id.startswith("msg_") and "." not in message_id for message_id in ids)
