"""Viewers of HTTP-FLV that drop what they read: a load for ``pairs.py``, as a process of its own.

Each port is given as many viewers as the others, in turn. Bytes are dropped in the kernel (``MSG_TRUNC``) and those of
TLS are not decrypted, so that a load core has time to spare. It prints a line when all have come, and ends with its
standard input; a viewer that the server closed is an error.

    python -m bench.drain --viewers 100 --ramp 8 [--tls] PATH PORT …
"""

from __future__ import annotations

import argparse
import select
import socket
import sys
import time

from bench.silent import Client

# Bytes that a viewer may be behind by, in the kernel.
RECEIVE_BUFFER_BYTES = 256 * 1024
READ_BYTES = 1 << 20
LOOK_S = 60.0


class Drain:
    """Sockets whose bytes are dropped."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._closed = 0

    def add(self, viewer: socket.socket) -> None:
        """Drop all that comes on one more."""
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        viewer.setblocking(False)
        self._sockets[viewer.fileno()] = viewer
        self._poll.register(viewer, select.EPOLLIN)

    def run_until(self, deadline: float) -> None:
        """Drop what comes until a time of the monotonic clock, or until standard input has ended."""
        while (left_s := deadline - time.monotonic()) > 0:
            for descriptor, _ in self._poll.poll(left_s):
                if descriptor == sys.stdin.fileno():
                    raise SystemExit(f"{self._closed} viewers were closed" if self._closed else 0)
                self._drop(descriptor)

    def end_with_input(self) -> None:
        """End the program when standard input ends."""
        self._poll.register(sys.stdin, select.EPOLLIN)

    def _drop(self, descriptor: int) -> None:
        try:
            count = len(self._sockets[descriptor].recv(READ_BYTES, socket.MSG_TRUNC))
        except BlockingIOError:
            return
        if not count:
            self._poll.unregister(descriptor)
            self._closed += 1


def main() -> None:
    """Open the viewers, say so, and read."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--viewers", type=int, required=True, help="of each port")
    parser.add_argument("--ramp", type=float, required=True, help="seconds in which they come")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("path")
    parser.add_argument("ports", nargs="+", type=int)
    arguments = parser.parse_args()
    drain = Drain()
    clients = [Client(port, is_tls=arguments.tls) for port in arguments.ports]
    request = f"GET {arguments.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    begun_at = time.monotonic()
    for number in range(arguments.viewers):
        for client in clients:
            drain.add(client.open(request))
        drain.run_until(begun_at + (number + 1) * arguments.ramp / arguments.viewers)
    print("all are there", flush=True)
    drain.end_with_input()
    while True:
        drain.run_until(time.monotonic() + LOOK_S)


if __name__ == "__main__":
    main()
