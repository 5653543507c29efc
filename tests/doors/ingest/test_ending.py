from __future__ import annotations

import asyncio

import pytest

from streamd.doors.ingest.ending import LINGER_BYTES_MAX, LINGER_S, Ending, Stage


def test_it_lingers_for_so_long_and_no_longer() -> None:
    ending = Ending()
    assert not ending.is_overdue(1000.0)
    ending.linger(100.0)
    assert ending.has_begun
    assert not ending.is_overdue(100.0 + LINGER_S)
    assert ending.is_overdue(100.1 + LINGER_S)


def test_it_throws_away_so_many_bytes_and_no_more() -> None:
    ending = Ending()
    ending.linger(0.0)
    assert not ending.discard(LINGER_BYTES_MAX)
    assert ending.discard(1)


def test_it_is_over_once() -> None:
    ending = Ending()
    assert ending.finish()
    assert not ending.finish()
    assert ending.stage is Stage.CLOSED
    assert not ending.is_overdue(1000.0)


@pytest.mark.parametrize(
    ("lost_by", "reason"), [(None, "peer closed"), (ConnectionResetError(), "connection lost")], ids=["fin", "reset"]
)
def test_a_socket_that_the_peer_ends_is_the_reason_where_no_other_was_given(
    lost_by: Exception | None, reason: str
) -> None:
    ending = Ending()
    ending.lose(lost_by)
    ending.finish()
    assert ending.reason == reason


def test_the_first_reason_counts() -> None:
    ending = Ending()
    ending.explain("memory is short")
    ending.explain("too late")
    ending.lose(ConnectionResetError())
    ending.finish()
    assert ending.reason == "memory is short"


@pytest.mark.asyncio
async def test_it_is_waited_for() -> None:
    ending = Ending()
    waiting = asyncio.create_task(ending.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    ending.finish()
    await waiting
