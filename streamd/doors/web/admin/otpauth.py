"""The link from which an authenticator reads its secret, or a picture of it.

Spec: Google Authenticator's Key URI Format, which all of them read.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

from streamd.services.operators.totp import DIGITS, STEP_S


def enrolment_uri(secret: str, *, issuer: str, account: str) -> str:
    """The link, ``otpauth://totp/…``.

    Args:
        secret: What is shared, in base 32 without padding.
        issuer: The service, as the authenticator lists it.
        account: Whose code it is.
    """
    query = urlencode({"secret": secret, "issuer": issuer, "digits": DIGITS, "period": STEP_S})
    return f"otpauth://totp/{quote(issuer)}:{quote(account)}?{query}"
