from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, cast

import pytest

from streamd.doors.delivery.listener import listen
from streamd.doors.tls.sending import KERNEL_BYTES_MAX
from tests.support.doors import LOOPS

if TYPE_CHECKING:
    from streamd.doors.delivery.door import MediaDoor


class Door:
    """Keeps the listener."""

    server: asyncio.Server

    def listens(self, server: asyncio.Server) -> None:
        self.server = server


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="Linux and macOS have it")
@pytest.mark.parametrize("loop", LOOPS)
def test_the_kernel_holds_little_for_each_viewer(loop: str) -> None:
    async def main() -> None:
        door = Door()
        address = await listen(cast("MediaDoor", door), "127.0.0.1", 0)
        sockets = door.server.sockets
        assert [each.getsockname()[:2] for each in sockets] == [address]
        option = socket.TCP_NOTSENT_LOWAT  # type: ignore[attr-defined,unused-ignore]
        assert [each.getsockopt(socket.IPPROTO_TCP, option) for each in sockets] == [KERNEL_BYTES_MAX]
        door.server.close()
        await door.server.wait_closed()

    LOOPS[loop](main())
