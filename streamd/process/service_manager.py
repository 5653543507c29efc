"""Messages to the service manager, if there is one: ready, reloading, alive, stopping.

Spec: sd_notify(3), "a single datagram" to the Unix socket that NOTIFY_SOCKET names.
"""

from __future__ import annotations

import contextlib
import os
import socket


class ServiceManager:
    """systemd, where it started us with ``Type=notify``.

    Args:
        address: Value of NOTIFY_SOCKET; nothing where there is no service manager.
    """

    def __init__(self, address: str | None = None) -> None:
        address = address if address is not None else os.environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address  # an abstract socket

    def ready(self) -> None:
        """We serve."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """We read our configuration again; ``ready`` follows."""
        self._tell("RELOADING=1")

    def stopping(self) -> None:
        """We end."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """We are not stuck; with ``WatchdogSec=`` it restarts us where this is not heard for so long."""
        self._tell("WATCHDOG=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        # A message that cannot be sent is no reason to stop serving.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(state.encode(), self._address)
