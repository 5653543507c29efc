from __future__ import annotations

import pytest

from streamd.formats.rtmp.message import Message
from streamd.formats.rtmp.user_control import answer, stream_begin


def test_stream_begin_names_the_stream() -> None:
    assert stream_begin(1) == Message(4, 0, 0, bytes.fromhex("0000 00000001"))


def test_a_ping_is_answered_with_its_timestamp() -> None:
    assert answer(bytes.fromhex("0006 01020304")) == Message(4, 0, 0, bytes.fromhex("0007 01020304"))


@pytest.mark.parametrize(
    "payload", ["", "00", "0006", "0006 010203", "0003 00000001 00000bb8", "0007 01020304", "001f 00000001", "ffff"]
)
def test_the_rest_needs_no_answer(payload: str) -> None:
    assert answer(bytes.fromhex(payload)) is None
