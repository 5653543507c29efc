"""The client's side of the RTMP handshake, in its simple form, which every server takes.

Spec: RTMP 1.0 (2012) section 5.2.
"""

from __future__ import annotations

import hashlib

from streamd.errors import HandshakeError
from streamd.formats.rtmp.handshake import PACKET_BYTES, VERSION


class ClientHandshake:
    """Makes one handshake.

    Args:
        nonce: Fresh random bytes, 16 or more; C1 is drawn from them.

    Attributes:
        opening: C0 and C1, to be sent first.
        is_done: S0, S1 and S2 have come: what follows is the chunk stream.
        trailing_data: Once done: the bytes that came after S2.
    """

    def __init__(self, nonce: bytes) -> None:
        # 5.2.3: four bytes of time (ours starts at 0), then "this field MUST be all 0s".
        self.opening = bytes((VERSION,)) + bytes(8) + hashlib.shake_256(nonce).digest(PACKET_BYTES - 8)
        self.is_done = False
        self.trailing_data = b""
        self._received = b""
        self._has_answered = False

    @property
    def held_bytes(self) -> int:
        """Bytes that we hold of packets that are not whole yet."""
        return len(self._received)

    def receive_data(self, data: bytes) -> bytes:
        """Take bytes of S0, S1 and S2.

        Returns:
            C2, when S1 is whole; else nothing.

        Raises:
            HandshakeError: The server does not speak RTMP, version 3.
        """
        self._received += data
        if self._received and self._received[0] != VERSION:
            raise HandshakeError(
                f"the server does not speak RTMP: its first byte would be 3, and is {self._received[0]}"
            )
        answer = b""
        if not self._has_answered and len(self._received) > PACKET_BYTES:
            # 5.2.4: C2 echoes S1.
            answer = self._received[1 : 1 + PACKET_BYTES]
            self._has_answered = True
        # S2 echoes C1. Servers exist that send anything here, and it shows nothing that TCP has not shown.
        whole = 1 + 2 * PACKET_BYTES
        if len(self._received) >= whole:
            self.is_done = True
            self.trailing_data = self._received[whole:]
            self._received = b""
        return answer
