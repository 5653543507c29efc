"""Keys: made, kept, published and read back; and what is none."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from streamd.errors import KeyRequestError
from streamd.services.playback.playback_key import generate, jwk_of, of_jwk, of_pem, of_stored, stored_of
from streamd.services.playback.verifying_key import Algorithm, is_kid, new_kid
from tests.support.playback_gate import KEYS

ASYMMETRIC = [each for each in Algorithm if each is not Algorithm.HS256]


def pem_of(key: Any) -> str:
    return str(
        key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode("ascii")
    )


@pytest.mark.parametrize("algorithm", [*Algorithm])
def test_what_is_shown_signs_what_is_kept_checks(algorithm: Algorithm) -> None:
    key, private = KEYS[algorithm]
    signed = jwt.encode({"sub": "demo"}, private, algorithm=algorithm.value)
    kept = of_stored(key.kid, algorithm, stored_of(key))
    assert jwt.decode(signed, kept.material, algorithms=[algorithm.value]) == {"sub": "demo"}


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_published_key_is_read_back_and_has_no_private_part(algorithm: Algorithm) -> None:
    key, private = KEYS[algorithm]
    published = jwk_of(key)
    assert published is not None
    assert (published["kid"], published["alg"], published["use"]) == (key.kid, algorithm, "sig")
    assert published.keys().isdisjoint({"d", "p", "q", "dp", "dq", "qi", "k"})
    again = of_jwk(json.loads(json.dumps(published)))
    assert again is not None
    jwt.decode(jwt.encode({}, private, algorithm=algorithm.value), again.material, algorithms=[algorithm.value])


def test_a_secret_is_not_published_nor_shown() -> None:
    key, secret = KEYS[Algorithm.HS256]
    assert jwk_of(key) is None
    assert secret not in repr(key)
    assert len(secret) >= 32


def test_ids_are_new() -> None:
    assert new_kid() != new_kid()
    assert is_kid(new_kid())


@pytest.mark.parametrize("text", ["", " ", "a b", "a\nb", "k" * 129, "é", "\x7f"])
def test_no_id(text: str) -> None:
    assert not is_kid(text)


class TestOfPem:
    @pytest.mark.parametrize("algorithm", ASYMMETRIC)
    def test_a_public_key(self, algorithm: Algorithm) -> None:
        key, private = KEYS[algorithm]
        taken = of_pem("mine", algorithm, pem_of(key.material))
        jwt.decode(jwt.encode({}, private, algorithm=algorithm.value), taken.material, algorithms=[algorithm.value])

    @pytest.mark.parametrize(
        ("algorithm", "pem"),
        [
            (Algorithm.EDDSA, ""),
            (Algorithm.EDDSA, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
            (Algorithm.EDDSA, KEYS[Algorithm.EDDSA][1]),
            (Algorithm.EDDSA, pem_of(KEYS[Algorithm.ES256][0].material)),
            (Algorithm.RS256, pem_of(KEYS[Algorithm.EDDSA][0].material)),
            (Algorithm.HS256, pem_of(KEYS[Algorithm.RS256][0].material)),
            (Algorithm.ES256, pem_of(ec.generate_private_key(ec.SECP384R1()).public_key())),
            (Algorithm.RS256, pem_of(rsa.generate_private_key(65537, 1024).public_key())),
            (Algorithm.EDDSA, "x" * 5000),
            (Algorithm.EDDSA, "é"),
        ],
    )
    def test_no_public_key_of_that_algorithm(self, algorithm: Algorithm, pem: str) -> None:
        with pytest.raises(KeyRequestError) as refused:
            of_pem("mine", algorithm, pem)
        assert "PRIVATE" not in str(refused.value)


class TestOfJwk:
    @pytest.mark.parametrize(
        "change",
        [
            {"kid": ""}, {"kid": 7}, {"kid": "../../etc/passwd x"}, {"use": "enc"}, {"alg": "HS256"}, {"alg": "none"},
            {"kty": "oct", "k": "AAAA"}, {"kty": ["OKP"]}, {"crv": "X25519"}, {"x": "!"}, {"x": 7}, {"x": None},
        ],
    )  # fmt: skip
    def test_a_key_that_signs_nothing_for_us(self, change: dict[str, Any]) -> None:
        jwk = jwk_of(KEYS[Algorithm.EDDSA][0])
        assert jwk is not None
        assert of_jwk({**jwk, **change}) is None

    @pytest.mark.parametrize("jwk", [None, 7, [], "key", {}])
    def test_no_jwk(self, jwk: object) -> None:
        assert of_jwk(jwk) is None

    def test_a_private_half_that_was_published_is_not_kept(self) -> None:
        key, _ = generate("leaked", Algorithm.ES256)
        jwk = jwk_of(key)
        assert jwk is not None
        found = of_jwk({**jwk, "d": "AAAA"})
        assert found is not None
        assert jwk_of(found) == jwk
