"""A key set elsewhere: read, read again, and held on to while it is down."""

from __future__ import annotations

import json
import logging

import pytest

from streamd.clock import ManualClock
from streamd.errors import ReceiverUnreachableError
from streamd.services.events.sender import ReceiverAnswer
from streamd.services.playback.key_ring import REMOTE_KEYS_MAX, KeyRing
from streamd.services.playback.key_set import ANSWER_BYTES_MAX, REFRESH_S, RETRY_S, RemoteKeySet, read_key_set
from streamd.services.playback.playback_key import jwk_of
from streamd.services.playback.verifying_key import Algorithm
from tests.support.playback_gate import KEYS

pytestmark = pytest.mark.asyncio
URL = "https://issuer.example/jwks.json"


class Issuer:
    """Answers, or does not."""

    def __init__(self) -> None:
        self.answer = ReceiverAnswer(200, body=body(Algorithm.EDDSA))
        self.is_down = False
        self.asked = 0

    async def get(self, url: str, *, timeout_s: float, answer_bytes_max: int) -> ReceiverAnswer:
        self.asked += 1
        if self.is_down:
            raise ReceiverUnreachableError("no answer")
        return self.answer


def body(*algorithms: Algorithm) -> bytes:
    return json.dumps({"keys": [jwk_of(KEYS[each][0]) for each in algorithms]}).encode()


class House:
    def __init__(self) -> None:
        self.clock, self.issuer, self.ring = ManualClock(), Issuer(), KeyRing()
        self.keys = RemoteKeySet(URL, self.issuer, self.clock, self.ring)

    def knows(self, algorithm: Algorithm) -> bool:
        return self.ring.find(f"key-{algorithm}", self.clock.now()) is not None


async def test_is_read_and_read_again() -> None:
    house = House()
    await house.keys.look()
    assert house.knows(Algorithm.EDDSA)
    house.issuer.answer = ReceiverAnswer(200, body=body(Algorithm.ES256))
    house.clock.advance(REFRESH_S - 1)
    await house.keys.look()
    assert house.issuer.asked == 1
    house.clock.advance(1)
    await house.keys.look()
    assert house.knows(Algorithm.ES256)
    assert not house.knows(Algorithm.EDDSA)


async def test_the_old_keys_hold_while_it_is_down(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    await house.keys.look()
    house.issuer.is_down = True
    with caplog.at_level(logging.INFO):
        for _ in range(200):
            house.clock.advance(REFRESH_S)
            await house.keys.look()
        house.issuer.is_down = False
        house.clock.advance(RETRY_S)
        await house.keys.look()
    assert house.knows(Algorithm.EDDSA)
    assert [record.msg for record in caplog.records] == ["key_set.failed", "key_set.recovered"]


@pytest.mark.parametrize(
    "answer",
    [
        ReceiverAnswer(500, body=body(Algorithm.ES256)),
        ReceiverAnswer(302, location="http://169.254.169.254/"),
        ReceiverAnswer(200, body=b""),
        ReceiverAnswer(200, body=b"<html>"),
        ReceiverAnswer(200, body=b"[]"),
        ReceiverAnswer(200, body=b'{"keys": {}}'),
        ReceiverAnswer(200, body=b"[" * 100_000),
        ReceiverAnswer(200, body=b" " * (ANSWER_BYTES_MAX + 1)),
    ],
)
async def test_what_is_no_key_set_changes_nothing(answer: ReceiverAnswer) -> None:
    house = House()
    await house.keys.look()
    house.issuer.answer = answer
    house.clock.advance(REFRESH_S)
    await house.keys.look()
    assert house.knows(Algorithm.EDDSA)


async def test_a_key_that_is_not_known_makes_it_look_sooner_but_not_each_time() -> None:
    house = House()
    await house.keys.look()
    for _ in range(50):
        house.keys.hurry()
        await house.keys.look()
    assert house.issuer.asked == 1
    house.clock.advance(RETRY_S)
    house.keys.hurry()
    await house.keys.look()
    assert house.issuer.asked == 2


async def test_without_a_url_nobody_is_asked() -> None:
    house = House()
    house.keys.url = ""
    await house.keys.look()
    assert house.issuer.asked == 0


async def test_only_so_many_and_only_good_ones() -> None:
    listed = [{"kty": "oct", "k": "AAAA", "kid": "x"}, None, jwk_of(KEYS[Algorithm.RS256][0])]
    assert [key.kid for key in read_key_set(json.dumps({"keys": listed}).encode())] == ["key-RS256"]
    many = [jwk_of(KEYS[Algorithm.EDDSA][0])] * 1000
    assert len(read_key_set(json.dumps({"keys": many}).encode())) == REMOTE_KEYS_MAX


async def test_a_key_of_the_operators_is_not_put_out_of_place() -> None:
    ring, clock = KeyRing(), ManualClock()
    own, other = KEYS[Algorithm.EDDSA][0], KEYS[Algorithm.ES256][0]
    ring.set_own({"k": (own, None)})
    ring.set_remote([type(other)("k", other.algorithm, other.material)])
    assert ring.find("k", clock.now()) is own
    ring.withdraw("k")
    assert ring.find("k", clock.now()) is None
