"""The port that viewers connect to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streamd.doors.delivery.viewer_connection import ViewerConnection
from streamd.doors.tls.sending import bound_kernel_bytes
from streamd.doors.tls.sliced import SlicedTls

if TYPE_CHECKING:
    from streamd.doors.delivery.door import MediaDoor
    from streamd.doors.tls.handshakes import TlsGuard

# Connections that wait in the kernel to be accepted: a popular stream that starts brings them at once.
ACCEPT_BACKLOG = 4096


async def listen(
    door: MediaDoor, host: str | None, port: int, tls: TlsGuard | None = None, *, shares_port: bool = False
) -> tuple[str, int]:
    """Let viewers in at a door.

    Args:
        door: Whose viewers they are.
        host: Address to bind; None for all interfaces.
        port: Port; 0 for a free one.
        tls: For HTTPS; None for plain HTTP.
        shares_port: Other processes of ours listen there too: the kernel spreads the viewers (``SO_REUSEPORT``).

    Returns:
        The address and port that are bound.

    Raises:
        OSError: The address cannot be bound.
    """

    def make_connection() -> ViewerConnection:
        return ViewerConnection(door)

    server = await asyncio.get_running_loop().create_server(
        make_connection if tls is None else tls(make_connection, SlicedTls().accept),
        host,
        port,
        backlog=ACCEPT_BACKLOG,
        reuse_port=shares_port or None,
    )
    for listener in server.sockets:
        bound_kernel_bytes(listener)
    door.listens(server)
    address: tuple[str, int] = server.sockets[0].getsockname()[:2]
    return address
