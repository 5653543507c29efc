"""A key that tokens are checked with, and its algorithm.

The library of the cryptography is 10 MB of memory, which a server without locked channels does not need:
``playback_key.py`` knows it, and is imported when there is a key.

Spec: RFC 7515 (JWS), RFC 7518 (ES256, RS256, HS256), RFC 8037 (EdDSA).
"""

from __future__ import annotations

import enum
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    PublicKey = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey

# A thumbprint has 43 characters; some issuers make two UUIDs of an id.
KID_CHARS_MAX: Final = 128
_KID = re.compile(rf"[\x21-\x7e]{{1,{KID_CHARS_MAX}}}")


class Algorithm(enum.StrEnum):
    """The way in which tokens are signed."""

    EDDSA = "EdDSA"
    ES256 = "ES256"
    RS256 = "RS256"
    HS256 = "HS256"


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A key that tokens are checked with."""

    kid: str
    algorithm: Algorithm
    material: PublicKey | bytes = field(repr=False)
    """A public key, or the secret of HS256 as the bytes that its text has."""


def new_kid() -> str:
    """An id for a key that is made here."""
    return f"pk_{secrets.token_hex(5)}"


def is_kid(text: str) -> bool:
    """Whether a text may be the id of a key: letters, digits and signs, no path or space in the way of a log line."""
    return _KID.fullmatch(text) is not None
