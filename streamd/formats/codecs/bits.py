"""Bit fields of codec configuration records (ISO/IEC 14496-3 section 4.1.1, ITU-T H.264 section 7.2)."""

from __future__ import annotations

import re
from functools import lru_cache

from streamd.errors import CodecConfigError

# Exp-Golomb values in a configuration are at most 32 bits long; more zeros in a row are no value.
_LEADING_ZEROS_MAX = 32


def code_of(zeros_max: int) -> str:
    """A pattern of one Exp-Golomb code, of up to so many leading zeros."""
    return "|".join(f"{'0' * zeros}1.{{{zeros}}}" for zeros in range(zeros_max + 1))


# Codes of up to 17 bits; codes of one bit, the most frequent in a byte, as a whole row.
_SHORT_CODE = code_of(8)
_SHORT_CODES = re.compile(f"1+|{_SHORT_CODE}")
# So many codes in one search: read one at a time, they are the dearest work that a byte of a record can cause. No code
# is the beginning of another, so a search never has to go back ("+").
_CODES = tuple((codes, re.compile(f"(?:{code_of(_LEADING_ZEROS_MAX)}){{{codes}}}+")) for codes in (64, 8, 1))


@lru_cache(maxsize=64)
def row_of(pattern: str, count: int, least: int | None = None) -> re.Pattern[str]:
    """Make a pattern of so many of a pattern in a row.

    Args:
        pattern: No match of it is the beginning of another, so that a search never has to go back.
        count: How many; the lengths of a specification's lists, which are few.
        least: How few will do; ``count`` by default.
    """
    return re.compile(f"(?:{pattern}){{{count if least is None else least},{count}}}+")


class BitReader:
    """Reads big-endian bit fields from a record of a few bytes.

    The bits are spelled out once, as text: the cost of a field then depends on its length alone, wherever in the record
    it stands, and one search counts the zeros that lead an Exp-Golomb code.

    Args:
        data: The record; the caller bounds its length, for each bit takes a byte.
    """

    def __init__(self, data: bytes) -> None:
        # The 1 in front keeps the zeros that the record begins with.
        self._bits = format(int.from_bytes(b"\x01" + data, "big"), "b")[1:]
        self._size = len(self._bits)
        self._at = 0

    @property
    def bits_left(self) -> int:
        """How many bits are not read yet."""
        return self._size - self._at

    def read(self, bits: int) -> int:
        """Read an unsigned field: ``uimsbf`` or ``u(n)``.

        Raises:
            CodecConfigError: The record ends before it.
        """
        start = self._at
        end = start + bits
        if end > self._size:
            raise CodecConfigError("a codec configuration ends too early")
        self._at = end
        return int(self._bits[start:end], 2) if bits else 0

    def read_flag(self) -> bool:
        """Read a field of one bit, the most frequent one.

        Raises:
            CodecConfigError: The record ends before it.
        """
        at = self._at
        if at >= self._size:
            raise CodecConfigError("a codec configuration ends too early")
        self._at = at + 1
        return self._bits[at] == "1"

    def skip(self, bits: int) -> None:
        """Pass over a field.

        Raises:
            CodecConfigError: The record ends before its end.
        """
        end = self._at + bits
        if end > self._size:
            raise CodecConfigError("a codec configuration ends too early")
        self._at = end

    def read_ue(self) -> int:
        """Read an unsigned Exp-Golomb code, ``ue(v)`` (H.264 section 9.1).

        Raises:
            CodecConfigError: The record ends inside it, or it is longer than any value.
        """
        at = self._at
        # The code goes on behind its first 1 for as many bits as there are zeros before.
        one = self._bits.find("1", at, at + _LEADING_ZEROS_MAX + 1)
        if one < 0:
            raise CodecConfigError("a codec configuration with an Exp-Golomb code that does not end")
        end = 2 * one - at + 1
        if end > self._size:
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
        for codes, pattern in _CODES:
            times, count = divmod(count, codes)
            for _ in range(times):
                self.match(pattern)

    def skip_short_codes(self, count: int) -> None:
        """Pass over Exp-Golomb codes of up to 17 bits.

        Args:
            count: How many: the length of a list in the specification.

        Raises:
            CodecConfigError: The record ends inside them, or one is longer.
        """
        self.match(row_of(_SHORT_CODE, count))

    def peek_short_codes(self, count: int) -> list[str]:
        """Spell out the Exp-Golomb codes that come next, as far as they have up to 17 bits.

        Args:
            count: How many at the most.

        Returns:
            A string for each code; a row of codes of one bit (``1``) is one string.
        """
        codes = row_of(_SHORT_CODE, count, 0).match(self._bits, self._at)
        return _SHORT_CODES.findall(self._bits, self._at, codes.end()) if codes is not None else []

    def match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Pass over what a pattern says of the next bits, spelled out as text.

        Raises:
            CodecConfigError: The record ends inside it, or says something else.
        """
        found = pattern.match(self._bits, self._at)
        if found is None:
            raise CodecConfigError("a codec configuration with a code that does not end, or is out of range")
        self._at = found.end()
        return found
