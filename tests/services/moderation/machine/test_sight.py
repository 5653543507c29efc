"""What the process that looks may say, and what is believed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamd.services.moderation.categories import Category
from streamd.services.moderation.machine.sight import (
    LENGTH,
    MATCHES_MAX,
    WORDS_MAX,
    Look,
    Match,
    Ready,
    SightOptions,
    packed,
)
from streamd.services.sandbox import Layer

HASH = "ab" * 32
MATCH = {"list": "known.txt", "category": "VIOLENCE", "hash": HASH, "distance": 3}
LOOK: dict[str, Any] = {
    "hash": HASH,
    "quality": 100,
    "matches": [MATCH],
    "scores": {"a": 0.25, "b": 0.75},
    "words": ["free money"],
    "fault": "",
}
READY: dict[str, Any] = {
    "layers": 3,
    "hash_fault": "",
    "classifier_fault": "no model",
    "words_fault": "",
    "labels": ["a"],
    "lists": [{"name": "known.txt", "hashes": 7, "bad_lines": 1, "faults": ["line 2: no hash"]}],
}


def test_options_arrive_as_they_were_sent() -> None:
    options = SightOptions(("/lists/a.txt",), (HASH,), "nudenet", words=True)
    order = options.order()
    (length,) = LENGTH.unpack(order[: LENGTH.size])
    assert length == len(order) - LENGTH.size
    assert SightOptions.parse(order[LENGTH.size :]) == options


def test_a_look_is_read() -> None:
    look = Look.parse(json.dumps(LOOK).encode())
    assert look == Look(
        HASH,
        100,
        (Match("known.txt", Category.VIOLENCE, HASH, 3),),
        (("b", 0.75), ("a", 0.25)),
        ("free money",),
    )
    assert look.is_comparable
    assert not Look.parse(json.dumps(LOOK | {"quality": 49}).encode()).is_comparable
    assert not Look.parse(json.dumps(LOOK | {"hash": ""}).encode()).is_comparable


def test_a_look_is_bounded() -> None:
    said = LOOK | {"matches": [MATCH] * 100, "words": ["w" * 1000] * 1000, "quality": 10**6, "fault": "f" * 10_000}
    look = Look.parse(json.dumps(said).encode())
    assert (len(look.matches), len(look.words), len(look.words[0]), look.quality) == (MATCHES_MAX, WORDS_MAX, 200, 100)
    assert len(look.fault) == 400


def test_half_a_pair_of_utf16_is_no_text_for_a_database() -> None:
    look = Look.parse(json.dumps(LOOK | {"words": ["\ud800"]}).encode())
    assert look.words == ("?",)


@pytest.mark.parametrize(
    "changed",
    [
        {"hash": "ab"},
        {"hash": HASH.upper()},
        {"hash": 7},
        {"quality": -1},
        {"quality": 1.5},
        {"matches": {}},
        {"matches": [{**MATCH, "category": "CATS"}]},
        {"matches": [{**MATCH, "hash": "'; drop table"}]},
        {"matches": [{**MATCH, "distance": "3"}]},
        {"matches": [3]},
        {"scores": [1]},
        {"scores": {"a": 2}},
        {"scores": {"a": -0.1}},
        {"scores": {"a": float("nan")}},
        {"scores": {"a": "1"}},
        {"words": "words"},
        {"words": [1]},
        {"fault": None},
    ],
)
def test_another_look_is_an_end_of_what_can_be_read(changed: dict[str, Any]) -> None:
    with pytest.raises(EOFError):
        Look.parse(json.dumps(LOOK | changed).encode())


@pytest.mark.parametrize("said", [b"", b"<html>", b"[]", b"null", b"{}", b"[" * 100_000, b"\xff"])
def test_what_is_no_object_is_neither(said: bytes) -> None:
    for parse in (Look.parse, Ready.parse):
        with pytest.raises(EOFError):
            parse(said)


def test_what_it_has_is_read() -> None:
    ready = Ready.parse(packed(READY)[LENGTH.size :])
    assert ready.layers == Layer.LIMITS | Layer.USER
    assert ready.classifier_fault == "no model"
    assert (ready.lists[0].hashes, ready.lists[0].faults) == (7, ("line 2: no hash",))
    others: list[dict[str, Any]] = [
        {"lists": [{}]},
        {"lists": 3},
        {"labels": None},
        {"layers": "all"},
        {"hash_fault": 1},
    ]
    for changed in others:
        with pytest.raises(EOFError):
            Ready.parse(json.dumps(READY | changed).encode())
