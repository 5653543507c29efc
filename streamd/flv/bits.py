"""Bit fields of codec configuration records (ISO/IEC 14496-3 section 4.1.1, ITU-T H.264 section 7.2)."""

from __future__ import annotations

from streamd.errors import CodecConfigError

# Exp-Golomb values in a configuration are at most 32 bits long; more zeros in a row are no value.
_LEADING_ZEROS_MAX = 32


class BitReader:
    """Reads big-endian bit fields from a record of a few bytes.

    Args:
        data: The record; the caller bounds its length, for it is held as one integer.
    """

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self.bits_left = 8 * len(data)

    def read(self, bits: int) -> int:
        """Read an unsigned field: ``uimsbf`` or ``u(n)``.

        Raises:
            CodecConfigError: The record ends before it.
        """
        if bits > self.bits_left:
            raise CodecConfigError("a codec configuration ends too early")
        self.bits_left -= bits
        return self._value >> self.bits_left & ((1 << bits) - 1)

    def read_ue(self) -> int:
        """Read an unsigned Exp-Golomb code, ``ue(v)`` (H.264 section 9.1).

        Raises:
            CodecConfigError: The record ends inside it, or it is longer than any value.
        """
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > _LEADING_ZEROS_MAX:
                raise CodecConfigError("a codec configuration with an endless Exp-Golomb code")
        return (1 << zeros) - 1 + self.read(zeros)

    def read_se(self) -> int:
        """Read a signed Exp-Golomb code, ``se(v)`` (H.264 section 9.1.1)."""
        code = self.read_ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)
