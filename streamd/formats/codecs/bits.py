"""Bit fields of codec configuration records (ISO/IEC 14496-3 section 4.1.1, ITU-T H.264 section 7.2)."""

from __future__ import annotations

import re

from streamd.errors import CodecConfigError

# Exp-Golomb values in a configuration are at most 32 bits long; more zeros in a row are no value.
_LEADING_ZEROS_MAX = 32


def _codes(zeros_max: int) -> str:
    """A pattern of one Exp-Golomb code, of up to so many leading zeros."""
    return "|".join(f"{'0' * zeros}1.{{{zeros}}}" for zeros in range(zeros_max + 1))


# Those of up to 17 bits; codes of one bit, of which there are most a byte, as many as there are in a row.
_SHORT_CODE = _codes(8)
_SHORT_CODES = re.compile(f"1+|{_SHORT_CODE}")
# So many codes in one search: one at a time, they are the dearest that a byte of a record can ask for. No code is the
# beginning of another, so a search never has to go back ("+").
_CODES = tuple((codes, re.compile(f"(?:{_codes(_LEADING_ZEROS_MAX)}){{{codes}}}+")) for codes in (64, 8, 1))


class BitReader:
    """Reads big-endian bit fields from a record of a few bytes.

    The bits are spelled out once, as text: a field then costs what it is long, wherever in the record it stands, and
    the zeros that lead an Exp-Golomb code are counted in one search.

    Args:
        data: The record; the caller bounds its length, for each bit takes a byte.
    """

    def __init__(self, data: bytes) -> None:
        # The 1 in front keeps the zeros that the record begins with.
        self._bits = format(int.from_bytes(b"\x01" + data, "big"), "b")[1:]
        self._at = 0

    @property
    def bits_left(self) -> int:
        """How many bits are not read yet."""
        return len(self._bits) - self._at

    def read(self, bits: int) -> int:
        """Read an unsigned field: ``uimsbf`` or ``u(n)``.

        Raises:
            CodecConfigError: The record ends before it.
        """
        start = self._at
        self.skip(bits)
        return int(self._bits[start : self._at], 2) if bits else 0

    def skip(self, bits: int) -> None:
        """Pass over a field.

        Raises:
            CodecConfigError: The record ends before its end.
        """
        end = self._at + bits
        if end > len(self._bits):
            raise CodecConfigError("a codec configuration ends too early")
        self._at = end

    def read_ue(self) -> int:
        """Read an unsigned Exp-Golomb code, ``ue(v)`` (H.264 section 9.1).

        Raises:
            CodecConfigError: The record ends inside it, or it is longer than any value.
        """
        one = self._skip_zeros()
        end = 2 * one - self._at + 1
        if end > len(self._bits):
            raise CodecConfigError("a codec configuration ends too early")
        self._at = end
        return int(self._bits[one:end], 2) - 1

    def read_se(self) -> int:
        """Read a signed Exp-Golomb code, ``se(v)`` (H.264 section 9.1.1)."""
        code = self.read_ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)

    def skip_codes(self, count: int) -> None:
        """Pass over Exp-Golomb codes, signed or not.

        Args:
            count: How many; the caller has held it against what the specification allows.

        Raises:
            CodecConfigError: The record ends inside them, or one is longer than any value.
        """
        bits, at = self._bits, self._at
        for codes, pattern in _CODES:
            times, count = divmod(count, codes)
            for _ in range(times):
                found = pattern.match(bits, at)
                if found is None:
                    raise CodecConfigError("a codec configuration with an Exp-Golomb code that does not end")
                at = found.end()
        self._at = at

    def peek_short_codes(self, count: int) -> list[str]:
        """Spell out the Exp-Golomb codes that come next, as far as they have up to 17 bits.

        Args:
            count: How many at the most.

        Returns:
            One a string; but those of one bit, ``1``, as many as there are in a row.
        """
        codes = re.compile(f"(?:{_SHORT_CODE}){{0,{count}}}+").match(self._bits, self._at)
        return _SHORT_CODES.findall(self._bits, self._at, codes.end()) if codes is not None else []

    def _skip_zeros(self) -> int:
        """Return where the first 1 stands; the code goes on behind it for as many bits as there are zeros before."""
        one = self._bits.find("1", self._at, self._at + _LEADING_ZEROS_MAX + 1)
        if one < 0:
            raise CodecConfigError("a codec configuration with an Exp-Golomb code that does not end")
        return one
