"""Keys that tokens are signed with: made, shown once, read, and published as JWKs.

The algorithm belongs to the key: a token is checked with the algorithm of the key that its ``kid`` names, whatever its
header says.

Spec: RFC 7515 (JWS), RFC 7517 (JWK), RFC 7518 (ES256, RS256, HS256), RFC 8037 (EdDSA), RFC 8725 section 3.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from streamd.errors import KeyRequestError
from streamd.services.playback.verifying_key import Algorithm, VerifyingKey, is_kid

# NIST SP 800-131A asks for 2048; a check with more than 8192 takes a millisecond.
RSA_BITS: Final = range(2048, 8193)
_RSA_BITS_MADE: Final = 2048
# RFC 7518 3.2: "A key of the same size as the hash output […] or larger MUST be used".
SECRET_CHARS: Final = range(32, 513)
# A PEM of the largest RSA key has 1.5 kB.
PEM_CHARS_MAX: Final = 4096


PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey


def jwk_of(key: VerifyingKey) -> dict[str, Any] | None:
    """A key as a JWK; None for a secret."""
    material = key.material
    if isinstance(material, bytes):
        return None
    if isinstance(material, ed25519.Ed25519PublicKey):
        found = OKPAlgorithm.to_jwk(material, as_dict=True)
    elif isinstance(material, ec.EllipticCurvePublicKey):
        found = ECAlgorithm.to_jwk(material, as_dict=True)
    else:
        found = RSAAlgorithm.to_jwk(material, as_dict=True)
    found.pop("key_ops", None)
    return {**found, "kid": key.kid, "use": "sig", "alg": key.algorithm.value}


def stored_of(key: VerifyingKey) -> bytes:
    """A key as the store has it: DER of a public key, or the secret itself."""
    if isinstance(key.material, bytes):
        return key.material
    return key.material.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def of_stored(kid: str, algorithm: Algorithm, stored: bytes) -> VerifyingKey:
    """Read what ``stored_of`` gave."""
    if algorithm is Algorithm.HS256:
        return VerifyingKey(kid, algorithm, stored)
    return VerifyingKey(kid, algorithm, _checked(serialization.load_der_public_key(stored), algorithm))


def generate(kid: str, algorithm: Algorithm) -> tuple[VerifyingKey, str]:
    """Make a key; RSA takes some 50 ms of a processor.

    Returns:
        The key that is kept, and the text that is shown once: a private key as PEM (PKCS #8), or the secret of HS256,
        which is signed with as the text that it is.
    """
    private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    match algorithm:
        case Algorithm.EDDSA:
            private = ed25519.Ed25519PrivateKey.generate()
        case Algorithm.ES256:
            private = ec.generate_private_key(ec.SECP256R1())
        case Algorithm.RS256:
            private = rsa.generate_private_key(65537, _RSA_BITS_MADE)
        case Algorithm.HS256:
            secret = secrets.token_urlsafe(32)
            return VerifyingKey(kid, algorithm, secret.encode()), secret
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return VerifyingKey(kid, algorithm, private.public_key()), pem.decode()


def of_pem(kid: str, algorithm: Algorithm, pem: str) -> VerifyingKey:
    """Take a public key whose private half stays elsewhere.

    Raises:
        KeyRequestError: It is none, or none of this algorithm.
    """
    if algorithm is Algorithm.HS256:
        raise KeyRequestError("HS256 has no public key: let the server make the secret")
    if len(pem) > PEM_CHARS_MAX or "PRIVATE KEY" in pem:
        raise KeyRequestError("public_key: send the public key alone, as PEM")
    try:
        return VerifyingKey(kid, algorithm, _checked(serialization.load_pem_public_key(pem.encode()), algorithm))
    except (ValueError, UnsupportedAlgorithm):
        raise KeyRequestError(f"public_key is no PEM of a public key for {algorithm}") from None


def of_jwk(jwk: object) -> VerifyingKey | None:
    """Take a key of a JWK set; None for one that signs no tokens for us.

    Secrets (``oct``) are no keys here: what is published is known to everybody.
    """
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig":
        return None
    kid, kind, curve = jwk.get("kid"), jwk.get("kty"), jwk.get("crv", "")
    if not (isinstance(kid, str) and is_kid(kid) and isinstance(kind, str) and isinstance(curve, str)):
        return None
    algorithm = _JWK_ALGORITHMS.get((kind, curve))
    if algorithm is None or jwk.get("alg", algorithm.value) != algorithm.value:
        return None
    # The public half of it alone, so that a private key that was published by mistake is not taken for more.
    public = {name: jwk[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in jwk}
    try:
        return VerifyingKey(kid, algorithm, _checked(_READERS[algorithm](json.dumps(public)), algorithm))
    except (ValueError, TypeError, PyJWTError, UnsupportedAlgorithm):
        return None


_READERS: Final[dict[Algorithm, Callable[[str], object]]] = {
    Algorithm.EDDSA: OKPAlgorithm.from_jwk,
    Algorithm.ES256: ECAlgorithm.from_jwk,
    Algorithm.RS256: RSAAlgorithm.from_jwk,
}
_JWK_ALGORITHMS: Final = {
    ("OKP", "Ed25519"): Algorithm.EDDSA,
    ("EC", "P-256"): Algorithm.ES256,
    ("RSA", ""): Algorithm.RS256,
}


def _checked(key: object, algorithm: Algorithm) -> PublicKey:
    """A key that is one of an algorithm.

    Raises:
        ValueError: It is not.
    """
    match algorithm, key:
        case Algorithm.EDDSA, ed25519.Ed25519PublicKey():
            return key
        case Algorithm.ES256, ec.EllipticCurvePublicKey() if isinstance(key.curve, ec.SECP256R1):
            return key
        case Algorithm.RS256, rsa.RSAPublicKey() if key.key_size in RSA_BITS:
            return key
    raise ValueError
