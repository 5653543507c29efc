"""Time stamps of an authority over evidence: that it was there at a time which is not ours to say.

The stamp is over ``SHA256SUMS``, so that ``openssl ts -verify -data SHA256SUMS -in timestamp.tsr`` checks it with the
authority's certificates. The library that reads and makes the messages is an extra (``pip install
'streamd[moderation]'``).

Spec: RFC 3161 sections 2.4 (request and response) and 3.4 (HTTP).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from streamd.errors import ReceiverUnreachableError, StampError

if TYPE_CHECKING:
    from datetime import datetime

    from streamd.services.events.sender import Sender

TIMEOUT_S: Final = 10.0
# A token with the authority's certificates is 5 to 8 kB.
ANSWER_BYTES_MAX: Final = 64 * 1024
# Section 3.4.
_HEADERS: Final = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
# RFC 3161 section 2.4.2: granted, and granted with modifications.
_GRANTED: Final = (0, 1)


class TimeStamper:
    """Asks an authority for stamps.

    Args:
        url: Of the authority; empty for none.
        sender: Makes the requests.
    """

    def __init__(self, url: str, sender: Sender) -> None:
        self.url = url
        self._sender = sender

    async def stamp(self, data: bytes) -> tuple[bytes, datetime]:
        """Have bytes stamped; their hash alone is sent.

        Args:
            data: The bytes.

        Returns:
            The authority's whole answer (TimeStampResp, DER), and the time in it.

        Raises:
            StampError: There is none, or it is of other bytes; or the library is missing.
        """
        try:
            from rfc3161_client import HashAlgorithm, TimestampRequestBuilder
        except ImportError:
            raise StampError("rfc3161-client is missing: pip install 'streamd[moderation]'") from None
        request = TimestampRequestBuilder().data(data).hash_algorithm(HashAlgorithm.SHA256).build()
        try:
            answer = await self._sender.post(
                self.url, request.as_bytes(), _HEADERS, timeout_s=TIMEOUT_S, answer_bytes_max=ANSWER_BYTES_MAX + 1
            )
        except ReceiverUnreachableError as exc:
            raise StampError(str(exc)) from exc
        if not answer.is_success:
            raise StampError(f"HTTP {answer.status}")
        at, nonce = _read(answer.body, data)
        if nonce != request.nonce:
            # Section 2.4.2: the answer "MUST contain the same value"; else it is an older one, played again.
            raise StampError("the stamp is the answer to another request")
        return answer.body, at


def check_stamp(answer: bytes, data: bytes) -> datetime:
    """Read a stamp that was kept.

    The signature is not checked against the authority's certificates, which whoever doubts it has to choose.

    Args:
        answer: TimeStampResp, DER.
        data: What it has to be of.

    Returns:
        The authority's time.

    Raises:
        StampError: It is none, or of other bytes; or the library is missing.
    """
    return _read(answer, data)[0]


def _read(answer: bytes, data: bytes) -> tuple[datetime, int | None]:
    """The time and the nonce in an answer that holds for some bytes."""
    try:
        from rfc3161_client import decode_timestamp_response
    except ImportError:
        raise StampError("rfc3161-client is missing: pip install 'streamd[moderation]'") from None
    if len(answer) > ANSWER_BYTES_MAX:
        raise StampError("the answer is too long for a stamp")
    try:
        response = decode_timestamp_response(answer)
        if response.status not in _GRANTED:
            raise StampError(f"the authority refuses: status {response.status}")
        info = response.tst_info
        digest = bytes(info.message_imprint.message)
        at, nonce = info.gen_time, info.nonce
    except (ValueError, TypeError) as exc:
        raise StampError("the answer is no stamp") from exc
    if digest != hashlib.sha256(data).digest():
        raise StampError("the stamp is of other bytes")
    return at, nonce
