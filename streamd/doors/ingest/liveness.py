"""Whether a publisher is still there, as far as the kernel knows of its connection.

A phone that changes its network leaves a connection behind that never ends: no FIN comes, no RST, and no media. Media
that does come may lie in the kernel for a while (``wake_threshold.py``), so it is the kernel that is asked.

Linux tcp(7), TCP_INFO; elsewhere only the time is known at which media was read last.
"""

from __future__ import annotations

import math
import socket
import struct
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamd.doors.ingest.wake_threshold import open_again

if TYPE_CHECKING:
    import asyncio

# A connection is seen to be dead only if nothing has come on it for so long: on a bad line a packet of ours may be lost
# while media comes all the same.
DEAD_AFTER_S = 0.25

# The head of Linux' ``struct tcp_info``: tcpi_state, ca_state, retransmits, probes, backoff, options, window scales and
# flags, a byte each; then numbers of 32 bits, of which unacked is the fifth and last_data_recv the twelfth.
_TCP_INFO = struct.Struct("=8B13I")
_UNACKED, _LAST_DATA_RECEIVED = 8 + 4, 8 + 11
_ESTABLISHED = 1


@dataclass(frozen=True, slots=True)
class TcpSigns:
    """A connection, as the kernel sees it."""

    is_established: bool
    """The peer has not closed its side."""
    is_unanswered: bool
    """Something of ours was sent again because the peer has not acknowledged it, and it still has not."""
    quiet_s: float
    """Seconds since data came last."""


def read_signs(connection: socket.socket) -> TcpSigns:
    """Ask the kernel about a connection.

    Raises:
        OSError: It is no TCP connection.
    """
    info = _TCP_INFO.unpack(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
    state, _, retransmits, probes = info[:4]
    return TcpSigns(
        is_established=state == _ESTABLISHED,
        is_unanswered=(retransmits > 0 and info[_UNACKED] > 0) or probes > 0,
        quiet_s=info[_LAST_DATA_RECEIVED] / 1000,
    )


def quiet_s(signs: TcpSigns | None, read_s: float) -> float:
    """Say for how long nothing has come on a connection.

    Args:
        signs: From the kernel; None where it says nothing.
        read_s: Seconds since media was read last.

    Returns:
        Seconds; infinite where the connection is seen to be dead.
    """
    if signs is None:
        return read_s
    quiet = min(signs.quiet_s, read_s)
    is_dead = not signs.is_established or signs.is_unanswered
    return math.inf if is_dead and quiet >= DEAD_AFTER_S else quiet


def signs_of(transport: asyncio.Transport) -> TcpSigns | None:
    """Ask the kernel about a transport's connection; None where it does not say."""
    stand_in: socket.socket | None = transport.get_extra_info("socket")
    if stand_in is None or sys.platform != "linux":
        return None
    connection = open_again(stand_in)
    try:
        return read_signs(connection)
    except OSError:
        return None
    finally:
        connection.detach()
