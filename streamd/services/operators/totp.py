"""Time-based one-time passwords, the six digits of an authenticator.

Ours, and not a library's: whoever refuses a code that was used before has to know which step a code is of, and pyotp's
``verify`` says only that it fits; what would be left of the library is the six lines of ``code_of``.

Spec: RFC 6238 (TOTP) over RFC 4226 (HOTP), with SHA-1, 6 digits and 30 s: what every authenticator takes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

# RFC 4226, R6: "The length of the shared secret MUST be at least 128 bits. This document RECOMMENDs … 160 bits."
SECRET_BYTES = 20
DIGITS = 6
STEP_S = 30
# RFC 6238 5.2: "We RECOMMEND that at most one time step is allowed as the network delay." One to either side: the clock
# of a telephone may be ahead as well.
STEPS_AROUND = 1
_CODE = re.compile(rf"[0-9]{{{DIGITS}}}")


def new_secret() -> bytes:
    """Draw a secret to share with an authenticator."""
    return secrets.token_bytes(SECRET_BYTES)


def code_of(secret: bytes, step: int) -> str:
    """The code of a step.

    Args:
        secret: The secret that server and authenticator share.
        step: Number of the step since 1970, RFC 6238's T.
    """
    digest = hmac.digest(secret, step.to_bytes(8, "big"), hashlib.sha1)
    # RFC 4226 5.4, dynamic truncation: "the low-order 4 bits of the last byte" say where 31 bits are taken from.
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return str(number % 10**DIGITS).zfill(DIGITS)


def step_of(secret: bytes, code: str, now: datetime, *, after: int = 0) -> int | None:
    """The step that a code is of.

    Args:
        secret: The secret that server and authenticator share.
        code: As it was typed; blanks in it do not count.
        now: Wall time.
        after: The last step of which a code was taken. RFC 6238 5.2: "The verifier MUST NOT accept the second attempt
            of the OTP after the successful validation has been issued for the first OTP."

    Returns:
        A step later than ``after``; None where the code is of none.
    """
    code = code.replace(" ", "")
    if not _CODE.fullmatch(code):
        return None
    current = int(now.timestamp()) // STEP_S
    found = None
    # All are compared, so that the time tells nothing.
    for step in range(current - STEPS_AROUND, current + STEPS_AROUND + 1):
        if hmac.compare_digest(code_of(secret, step), code) and step > after:
            found = step
    return found


def shown_secret(secret: bytes) -> str:
    """The secret as people type it into an authenticator: base 32, without padding."""
    return base64.b32encode(secret).decode().rstrip("=")
