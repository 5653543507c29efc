"""A token: a JWT, read within bounds and checked with the one algorithm of its key.

Spec: RFC 7515 section 5.2; RFC 7519 section 7.2; RFC 8725 (best current practices).
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from streamd.services.playback.claims import read_object
from streamd.services.playback.refusal import Refusal
from streamd.services.playback.verifying_key import is_kid

if TYPE_CHECKING:
    from streamd.services.playback.verifying_key import VerifyingKey

# A token with every claim and an RS256 signature of 4096 bits has 1.2 kB.
TOKEN_CHARS_MAX: Final = 4096
# Headers that were read lately, up to as long as a token: a signer has one.
HEADERS_MAX: Final = 64
_FORM = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
# RFC 7515 4.1: parameters that bring a key along, which nobody should believe, or change what is signed.
_REFUSED = frozenset(("crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c"))


@dataclass(frozen=True, slots=True)
class ShownToken:
    """A token that can be read, and is not checked yet."""

    text: str = field(repr=False)
    kid: str
    """Id of the key that it names."""
    algorithm: str | None
    """The algorithm that its header names; None for none."""
    payload: dict[str, Any] = field(repr=False)
    """Its claims, believed by nobody so far."""

    @property
    def signature(self) -> str:
        """Its last part, which no two tokens have in common."""
        return self.text.rpartition(".")[2]


def read_token(text: str) -> ShownToken:
    """Read a token without believing it.

    Args:
        text: As it was sent.

    Raises:
        PlaybackRefusedError: It is none, or longer than any of ours.
    """
    found = _FORM.fullmatch(text) if len(text) <= TOKEN_CHARS_MAX else None
    if found is None:
        raise Refusal.MALFORMED.error()
    named, algorithm = _header(found[1])
    payload = read_object(_decoded(found[2]))
    kid = payload.get("kid", named)
    if not isinstance(kid, str):
        kid = named
    # Some libraries cannot write the header: the claim stands for it. Two that differ are a trick.
    if kid is None or (kid is not named and not is_kid(kid)) or (named is not None and kid != named):
        raise Refusal.UNKNOWN_KEY.error()
    return ShownToken(text, kid, algorithm, payload)


@lru_cache(maxsize=HEADERS_MAX)
def _header(part: str) -> tuple[str | None, str | None]:
    """The id of the key and the algorithm that a header names.

    Args:
        part: As it stands in a token; all tokens of a signer have the same one.

    Raises:
        PlaybackRefusedError: It is none of ours.
    """
    header = read_object(_decoded(part))
    if not _REFUSED.isdisjoint(header):
        raise Refusal.MALFORMED.error()
    kid = header.get("kid")
    if not isinstance(kid, str):
        kid = None
    elif not is_kid(kid):
        raise Refusal.UNKNOWN_KEY.error()
    algorithm = header.get("alg")
    return kid, algorithm if isinstance(algorithm, str) else None


def check_signature(token: ShownToken, key: VerifyingKey) -> None:
    """See that a token was signed with a key, by the key's algorithm.

    Raises:
        PlaybackRefusedError: It was not.
    """
    # 10 MB of memory, which a server without locked channels does not need (verifying_key.py).
    import jwt

    # RFC 8725 3.1: the algorithm is the key's. A header that says another one is a lie.
    if token.algorithm != key.algorithm.value:
        raise Refusal.SIGNATURE.error()
    body, _, signature = token.text.rpartition(".")
    try:
        # PyJWT's own object for a whole token reads both parts once more.
        is_right = jwt.get_algorithm_by_name(key.algorithm.value).verify(
            body.encode("ascii"), key.material, _decoded(signature)
        )
    except (jwt.PyJWTError, ValueError, TypeError):
        is_right = False
    if not is_right:
        raise Refusal.SIGNATURE.error()


def _decoded(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise Refusal.MALFORMED.error() from None
