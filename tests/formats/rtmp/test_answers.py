from __future__ import annotations

from streamd.formats.rtmp import command as commands
from streamd.formats.rtmp.answers import Answers


def test_what_is_said_waits_and_is_taken_once() -> None:
    answers = Answers()
    answers.send(commands.result(1.0))
    answers.send_status(1, "status", "NetStream.Publish.Start", "Started.")
    held_bytes = answers.held_bytes
    data = answers.take()
    assert len(data) == held_bytes
    assert (answers.take(), answers.held_bytes) == (b"", 0)


def test_each_kind_has_its_chunk_stream() -> None:
    answers = Answers()
    answers.send(commands.result(1.0))
    assert answers.take()[0] & 0x3F == 3
    answers.send_status(1, "status", "NetStream.Publish.Start", "Started.")
    assert answers.take()[0] & 0x3F == 5
    answers.set_chunk_size(4096)
    assert answers.take()[0] & 0x3F == 2


def test_the_handshake_is_sent_as_it_is() -> None:
    answers = Answers()
    answers.send_raw(b"\x03abc")
    assert answers.take() == b"\x03abc"
