"""The headers by which a receiver tells a genuine request, and a repeated one.

Spec: Standard Webhooks 1.0.0, "Webhook headers" and "Signature scheme", symmetric (``v1``).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook

# 128 bits: as unlikely to come twice as a UUID.
ID_BYTES = 16


def new_message_id() -> str:
    """An id for one message: "it remains the same no matter how many times" it is sent."""
    return f"msg_{secrets.token_hex(ID_BYTES)}"


def signed_headers(secret: str, message_id: str, at: datetime, body: bytes) -> Mapping[str, str]:
    """The headers of one attempt.

    Args:
        secret: ``whsec_`` and base64.
        message_id: The message's.
        at: Time of the attempt, which is later than the event; a receiver refuses a signature that is minutes old.
        body: The exact bytes of the request.
    """
    at = at.astimezone(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, at, body.decode()),
    }
