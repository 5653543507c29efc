"""One line between two processes: messages with their borders, and open files beside them."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from streamd.process.crew import link as module
from streamd.process.crew.link import Link, as_file, close_all, pair, read_file

pytestmark = pytest.mark.asyncio


class Ends:
    """Both ends, and what each hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, Any], list[int]]] = []
        self.closed: list[str] = []
        self.event = asyncio.Event()
        ours, theirs = pair()
        self.here = Link(ours, lambda *_: None, lambda: self.closed.append("here"))
        self.there = Link(theirs, self._hear, self._note_closed)
        self.here.begin()

    def _hear(self, message: dict[str, Any], files: list[int]) -> None:
        self.heard.append((message, files))
        self.event.set()

    def _note_closed(self) -> None:
        self.closed.append("there")
        self.event.set()

    async def wait(self, count: int = 1) -> None:
        async with asyncio.timeout(10):
            while len(self.heard) < count and "there" not in self.closed:
                self.event.clear()
                await self.event.wait()

    def close(self) -> None:
        for each in (self.here, self.there):
            each.close()
        for _, files in self.heard:
            close_all(files)


async def test_messages_keep_their_borders_and_their_order() -> None:
    ends = Ends()
    for number in range(200):
        assert ends.here.send({"number": number, "text": "x" * number})
    ends.there.begin()
    await ends.wait(200)
    assert [message["number"] for message, _ in ends.heard] == [*range(200)]
    ends.close()


async def test_open_files_go_with_a_message_and_are_closed_here() -> None:
    ends = Ends()
    files = [as_file(b"one"), as_file(b"two")]
    assert ends.here.send({"do": "take"}, files)
    for file in files:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(file)
    ends.there.begin()
    await ends.wait()
    message, received = ends.heard.pop()
    assert message == {"do": "take"}
    assert not os.get_inheritable(received[0])
    assert [read_file(file, 10) for file in received] == [b"one", b"two"]
    ends.close()


async def test_a_message_of_a_megabyte_goes_as_a_file() -> None:
    ends = Ends()
    assert ends.here.send({"text": "x" * 1_000_000}, [as_file(b"beside")])
    ends.there.begin()
    await ends.wait()
    message, files = ends.heard.pop()
    assert message == {"text": "x" * 1_000_000}
    assert [read_file(file, 10) for file in files] == [b"beside"]
    ends.close()


async def test_what_the_other_side_does_not_read_waits_and_then_the_line_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WAITING_MAX", 10)
    ends = Ends()
    sent = 0
    while ends.here.send({"text": "x" * 10_000}):
        sent += 1
    assert sent > 10
    assert not ends.here.is_open
    assert ends.closed == ["here"]
    # What the kernel had taken is heard all the same.
    ends.there.begin()
    await ends.wait(sent)
    assert len(ends.heard) == sent - 10
    ends.close()


async def test_what_waits_is_sent_when_the_other_side_reads() -> None:
    ends = Ends()
    for number in range(500):
        assert ends.here.send({"number": number, "text": "x" * 10_000})
    ends.there.begin()
    await ends.wait(500)
    assert [message["number"] for message, _ in ends.heard] == [*range(500)]
    ends.close()


async def test_the_end_of_one_side_is_told_to_the_other() -> None:
    ends = Ends()
    ends.there.begin()
    ends.here.close()
    await ends.wait()
    assert ends.closed == ["here", "there"]
    assert not ends.there.send({"do": "late"})
    ends.close()


async def test_what_is_no_message_is_passed_over() -> None:
    ours, theirs = pair()
    heard: list[dict[str, Any]] = []
    event = asyncio.Event()

    def hear(message: dict[str, Any], _: list[int]) -> None:
        heard.append(message)
        event.set()

    link = Link(theirs, hear)
    with ours:
        ours.send(b"{no json")
        ours.send(b"+")
        ours.send(b'{"do":"go on"}')
        link.begin()
        async with asyncio.timeout(10):
            await event.wait()
    assert heard == [{"do": "go on"}]
    link.close()


async def test_a_file_that_is_too_large_is_not_read() -> None:
    file = as_file(b"12345")
    with pytest.raises(OSError, match="5 bytes, 4 are allowed"):
        read_file(file, 4)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)
