"""How much must have come from a publisher before the kernel wakes us for it.

A wake-up costs as much as what is done for a frame of sound, and two of three messages are one. So sound waits in the
kernel for the picture behind it, and a message that came in part for its rest. Nobody notices: parts end with a
picture, and sound that is pushed rides along with one. Where pictures are as small as sound, or there are none, every
byte wakes: the last picture of a part must not wait for what comes next.

Linux socket(7), SO_RCVLOWAT; the end of a connection wakes in any case. Elsewhere, and under TLS, where the bytes on
the socket are not those of the messages, every byte wakes.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

from streamd.flv.tag import TagType

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from streamd.flv.tag import FlvTag

# More than a frame of sound (480 bytes of AAC at 180 kb/s), less than most pictures.
BETWEEN_MESSAGES_BYTES = 1024
# So many pictures in a row have to be larger than that, a second of them or two, before they are counted on.
LARGE_PICTURES_MIN = 60
# Of a long message that came in part; half of what Linux lets a socket hold to begin with (tcp_rmem: 131072).
WITHIN_MESSAGE_BYTES_MAX = 64 * 1024
# For so long at most, and once more, what is too little to wake for stays in the kernel: a goodbye, for one.
TAKE_REST_S = 0.1


class WakeThreshold:
    """SO_RCVLOWAT of one connection.

    Args:
        transport: The connection.
    """

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        self._socket: socket.socket | None = None
        if sys.platform == "linux" and transport.get_extra_info("sslcontext") is None:
            self._socket = transport.get_extra_info("socket")
        self._bytes = 1
        self._bytes_received = 0
        self._large_pictures = 0

    def note(self, tags: Sequence[FlvTag]) -> None:
        """See how large this publisher's pictures are."""
        for tag_type, _, payload in tags:
            if tag_type == TagType.VIDEO:
                self._large_pictures = self._large_pictures + 1 if len(payload) >= BETWEEN_MESSAGES_BYTES else 0

    def wait_for_media(self, missing_bytes: int) -> None:
        """Have the kernel wait for what is worth waking for.

        Args:
            missing_bytes: How much of a message that came in part is still to come; 0 between messages.
        """
        if missing_bytes:
            self._set(min(missing_bytes, WITHIN_MESSAGE_BYTES_MAX))
        else:
            self._set(BETWEEN_MESSAGES_BYTES if self._large_pictures >= LARGE_PICTURES_MIN else 1)

    def wait_for_anything(self) -> None:
        """Have the kernel wake us for every byte."""
        self._set(1)

    def take_rest(self, bytes_received: int) -> None:
        """Have what the kernel holds, if nothing has come since the last call; to be called every ``TAKE_REST_S``.

        Args:
            bytes_received: How much has come of the connection so far.
        """
        if bytes_received == self._bytes_received:
            self._set(1)
        self._bytes_received = bytes_received

    def _set(self, wake_bytes: int) -> None:
        if wake_bytes != self._bytes and self._socket is not None:
            self._bytes = wake_bytes
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wake_bytes)
