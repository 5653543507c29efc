"""Tokens: read within bounds, and checked by the algorithm of the key alone."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import PlaybackRefusedError
from streamd.services.playback.playback_key import stored_of
from streamd.services.playback.token import TOKEN_CHARS_MAX, check_signature, read_token
from streamd.services.playback.verifying_key import Algorithm, VerifyingKey
from tests.support.playback_gate import KEYS, token


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def reason(text: str, key: VerifyingKey) -> str:
    with pytest.raises(PlaybackRefusedError) as refused:
        check_signature(read_token(text), key)
    assert text not in str(refused.value)
    return refused.value.reason


@pytest.mark.parametrize("algorithm", [*Algorithm])
def test_a_good_one(algorithm: Algorithm) -> None:
    shown = read_token(token(algorithm))
    assert shown.kid == f"key-{algorithm}"
    assert shown.payload["sub"] == "demo"
    check_signature(shown, KEYS[algorithm][0])


@pytest.mark.parametrize("algorithm", [*Algorithm])
@pytest.mark.parametrize("other", [*Algorithm])
def test_the_key_of_another_algorithm_checks_nothing(algorithm: Algorithm, other: Algorithm) -> None:
    if algorithm is not other:
        assert reason(token(algorithm), KEYS[other][0]) == "signature"


class TestAlgorithmOfTheHeader:
    """RFC 8725 section 3.1: the header's word is not believed."""

    @pytest.mark.parametrize("alg", ["none", "None", "NONE", "", "HS256", "HS512", "ES512", 7, None])
    def test_another_one(self, alg: object) -> None:
        good = token()
        header = part({"alg": alg, "kid": "key-EdDSA"})
        for signature in (good.rpartition(".")[2], ""):
            assert reason(f"{header}.{good.split('.')[1]}.{signature}", KEYS[Algorithm.EDDSA][0]) == "signature"

    @pytest.mark.parametrize("algorithm", [Algorithm.EDDSA, Algorithm.ES256, Algorithm.RS256])
    def test_hs256_with_the_public_key_as_secret(self, algorithm: Algorithm) -> None:
        key = KEYS[algorithm][0]
        assert not isinstance(key.material, bytes)
        for secret in (
            key.material.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
            stored_of(key),
        ):
            body = f"{part({'alg': 'HS256', 'kid': key.kid})}.{part({'sub': 'demo', 'exp': 4e9})}"
            signer = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
            signature = base64.urlsafe_b64encode(signer.sign(body.encode(), secret)).decode().rstrip("=")
            assert reason(f"{body}.{signature}", key) == "signature"

    @pytest.mark.parametrize("name", ["crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c"])
    def test_a_parameter_that_brings_its_own_key_or_another_reading(self, name: str) -> None:
        text = f"{part({'alg': 'EdDSA', 'kid': 'key-EdDSA', name: ['x']})}.{part({'sub': 'demo'})}.AAAA"
        assert reason(text, KEYS[Algorithm.EDDSA][0]) == "malformed"


class TestKid:
    @pytest.mark.parametrize("kid", ["", "a b", "k" * 129, "\n"])
    def test_none_that_can_be(self, kid: str) -> None:
        assert reason(token(kid=kid), KEYS[Algorithm.EDDSA][0]) == "unknown_key"

    def test_a_path_is_a_name_like_any_other(self) -> None:
        assert read_token(token(kid="../../../dev/null")).kid == "../../../dev/null"

    def test_in_the_claims_where_the_header_has_none(self) -> None:
        body = f"{part({'alg': 'EdDSA'})}.{part({'kid': 'k'})}"
        assert read_token(f"{body}.AAAA").kid == "k"

    def test_two_that_differ(self) -> None:
        body = f"{part({'alg': 'EdDSA', 'kid': 'a'})}.{part({'kid': 'b'})}"
        assert reason(f"{body}.AAAA", KEYS[Algorithm.EDDSA][0]) == "unknown_key"


class TestBadInput:
    @pytest.mark.parametrize(
        "text",
        [
            "x", "a.b", "a.b.c.d", "a.b.c.d.e", "..", "a..c", "e30.e30.AAAA\n", "e30=.e30.AAAA", "%65.b.c", "é.b.c",
            "bnVsbA.e30.AAAA", "e30.W10.AAAA", "a.a.a", "A" * TOKEN_CHARS_MAX + ".e30.AAAA",
            "A" * 65_536, f"{'A' * 30_000}.{'A' * 30_000}.AAAA",
        ],
    )  # fmt: skip
    def test_no_token(self, text: str) -> None:
        assert reason(text, KEYS[Algorithm.EDDSA][0]) == "malformed"

    @pytest.mark.parametrize("algorithm", [*Algorithm])
    def test_one_bit_of_the_signature(self, algorithm: Algorithm) -> None:
        good = token(algorithm)
        body, _, signature = good.rpartition(".")
        data = bytearray(base64.urlsafe_b64decode(signature + "=="))
        data[7] ^= 1
        changed = base64.urlsafe_b64encode(data).decode().rstrip("=")
        assert reason(f"{body}.{changed}", KEYS[algorithm][0]) == "signature"

    def test_other_claims_under_the_same_signature(self) -> None:
        header, _, signature = token().split(".")
        changed = f"{header}.{part({'sub': 'demo', 'exp': 4e9})}.{signature}"
        assert reason(changed, KEYS[Algorithm.EDDSA][0]) == "signature"

    @given(st.text(alphabet="AZaz09-_.e30=%", max_size=200))
    def test_whatever_it_is(self, text: str) -> None:
        with pytest.raises(PlaybackRefusedError):
            check_signature(read_token(text), KEYS[Algorithm.EDDSA][0])

    @given(st.binary(max_size=100), st.binary(max_size=100), st.binary(max_size=70))
    def test_whatever_its_parts_are(self, header: bytes, payload: bytes, signature: bytes) -> None:
        parts = (header, payload, signature)
        text = ".".join(base64.urlsafe_b64encode(each).decode().rstrip("=") for each in parts)
        with pytest.raises(PlaybackRefusedError):
            check_signature(read_token(text), KEYS[Algorithm.EDDSA][0])
