"""A playback gate with one key of each algorithm, and tokens of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import jwt

from streamd.clock import ManualClock
from streamd.services.playback.countries import Countries
from streamd.services.playback.gate import PlaybackGate
from streamd.services.playback.gate_options import GateOptions
from streamd.services.playback.playback_key import generate
from streamd.services.playback.policy import PlaybackRule, Policy
from streamd.services.playback.verifying_key import Algorithm, VerifyingKey
from streamd.services.playback.visitor import Visitor

HOME = Visitor("192.0.2.7", user_agent="player/1")
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = int(START.timestamp())


def kid_of(algorithm: Algorithm) -> str:
    """The id of the key of an algorithm."""
    return f"key-{algorithm.value}"


# RSA takes a moment: they are made once for all tests.
KEYS: dict[Algorithm, tuple[VerifyingKey, str]] = {each: generate(kid_of(each), each) for each in Algorithm}


class GateHouse:
    """A gate, and what a test needs to show at it."""

    def __init__(self, policy: Policy = Policy.SIGNED, countries: Countries | None = None, **options: Any) -> None:
        self.clock = ManualClock(START)
        self.counted: list[str] = []
        self.gate = PlaybackGate(
            self.clock, GateOptions(policy, **options), countries or Countries(None), self.counted.append
        )
        self.gate.set_secret(bytes(range(32)))
        self.gate.keys.set_own({key.kid: (key, None) for key, _ in KEYS.values()})

    def rule(self, subject: str, policy: Policy, password_hash: str = "") -> None:
        """Decide for one channel."""
        rules = {**self.gate.policies.rules, subject: PlaybackRule(policy, password_hash)}
        self.gate.policies_changed(self.gate.policies.replace(rules))


def token(
    algorithm: Algorithm = Algorithm.EDDSA,
    *,
    kid: str | None = None,
    header: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    """A token for the channel demo, good for a minute, unless the claims say otherwise; None leaves one out."""
    whole = {"sub": "demo", "exp": NOW + 60, **claims}
    return jwt.encode(
        {name: value for name, value in whole.items() if value is not None},
        KEYS[algorithm][1],
        algorithm=algorithm.value,
        headers={"kid": kid if kid is not None else kid_of(algorithm), **(header or {})},
    )
