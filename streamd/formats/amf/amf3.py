"""Reader of AMF3, ActionScript 3's values.

Peers that speak AMF3 send AMF0 that switches to AMF3 for single values; we answer in AMF0, so there
is no writer.

Spec: AMF 3 (Adobe, January 2013).
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from typing import NamedTuple

from streamd.errors import AmfError
from streamd.formats.amf.values import (
    DEFAULT_LIMITS,
    UNDEFINED,
    Budget,
    Date,
    EcmaArray,
    Reference,
    TypedObject,
    Value,
    XmlDocument,
)

_DOUBLE = struct.Struct(">d")


class Marker(enum.IntEnum):
    """Type markers, section 3.1."""

    UNDEFINED = 0x00
    NULL = 0x01
    FALSE = 0x02
    TRUE = 0x03
    INTEGER = 0x04
    DOUBLE = 0x05
    STRING = 0x06
    XML_DOCUMENT = 0x07
    DATE = 0x08
    ARRAY = 0x09
    OBJECT = 0x0A
    XML = 0x0B
    BYTE_ARRAY = 0x0C
    VECTOR_INT = 0x0D
    VECTOR_UINT = 0x0E
    VECTOR_DOUBLE = 0x0F
    VECTOR_OBJECT = 0x10
    DICTIONARY = 0x11


# 3.8: the length 0, with the bit that tells it from a reference.
_EMPTY_STRING = 1

# The first bytes of AMF0 that switches to AMF3 (AMF 0 section 3.1), for a string and for a number.
STRING_IN_AMF0 = bytes((0x11, Marker.STRING))
NUMBERS_IN_AMF0 = (bytes((0x11, Marker.INTEGER)), bytes((0x11, Marker.DOUBLE)))


class _Traits(NamedTuple):
    """The names that instances of one class share (section 3.12)."""

    class_name: str
    sealed_names: tuple[str, ...]
    is_dynamic: bool


class Reader:
    """Reads AMF3 values from the middle of a message.

    Strings and traits are resolved through their reference tables; references to complex values
    are checked against the number of those seen, and stay ``Reference``.

    Args:
        data: The message.
        offset: Where the first value starts.
        budget: The rest of the message's limits, where AMF0 around it shares them.
    """

    __slots__ = ("_budget", "_complex_count", "_data", "_strings", "_traits", "offset")

    def __init__(self, data: bytes, offset: int = 0, budget: Budget | None = None) -> None:
        self._data = data
        self.offset = offset
        """Where the next value starts."""
        self._budget = budget or Budget(DEFAULT_LIMITS)
        # The bytes that each string came with; a reference to it counts for as many.
        self._strings: list[tuple[str, int]] = []
        self._traits: list[_Traits] = []
        self._complex_count = 0

    def read_value(self) -> Value:
        """Read one value and move past it.

        Raises:
            AmfError: The bytes end too early, are not AMF3, or pass a limit.
        """
        self._budget.take_value()
        marker = self._byte()
        if marker in _SIMPLE:
            return _SIMPLE[marker]
        read = _READERS.get(marker)
        if read is not None:
            return read(self)
        read_complex = _COMPLEX_READERS.get(marker)
        if read_complex is None:
            raise AmfError(f"AMF3 has no type 0x{marker:02x}")
        header = self._u29()
        if not header & 1:
            # "The remaining 1 to 28 significant bits are used to encode an object reference index."
            return self._reference(header >> 1)
        self._complex_count += 1
        return read_complex(self, header)

    def _integer(self) -> int:
        # 3.6: a 29-bit integer, signed.
        value = self._u29()
        return value - (1 << 29) if value >= 1 << 28 else value

    # Of values with a place in the table of objects, after the U29 that tells them from references to it.

    def _date(self, header: int) -> Date:
        return Date(self._double())

    def _xml(self, header: int) -> XmlDocument:
        return XmlDocument(self._utf8(header >> 1))

    def _byte_array(self, header: int) -> bytes:
        self._budget.take_text(header >> 1)
        return self._take(header >> 1)

    def _array(self, header: int) -> Value:
        """Section 3.11: pairs up to an empty key, then the dense part."""
        self._budget.enter()
        named = self._pairs()
        dense = self._list(header >> 1)
        self._budget.leave()
        if not named:
            return dense
        return EcmaArray({str(index): item for index, item in enumerate(dense)} | named)

    def _object(self, header: int) -> Value:
        """Section 3.12, with U29O-ref already told from the rest."""
        self._budget.enter()
        traits = self._read_traits(header)
        # Traits that are referenced cost a byte, and each object of them as many values as they have names.
        self._budget.check_count(len(traits.sealed_names))
        properties: dict[str, Value] = {name: self.read_value() for name in traits.sealed_names}
        if traits.is_dynamic:
            properties |= self._pairs()
        self._budget.leave()
        return TypedObject(traits.class_name, properties) if traits.class_name else properties

    def _vector_int(self, header: int) -> list[Value]:
        return self._vector("i", 4, header >> 1)

    def _vector_uint(self, header: int) -> list[Value]:
        return self._vector("I", 4, header >> 1)

    def _vector_double(self, header: int) -> list[Value]:
        return self._vector("d", 8, header >> 1)

    def _vector_object(self, header: int) -> list[Value]:
        self._budget.enter()
        self._byte()  # fixed-vector: whether it may grow
        self._string()  # object-type-name; each item says its own type too
        values = self._list(header >> 1)
        self._budget.leave()
        return values

    def _dictionary(self, header: int) -> list[Value]:
        count = header >> 1
        self._budget.enter()
        self._byte()  # weak-keys
        # A key can be any value: pairs, [[key, value], …], hold them all.
        self._budget.check_count(2 * count)
        pairs: list[Value] = [[self.read_value(), self.read_value()] for _ in range(count)]
        self._budget.leave()
        return pairs

    def _read_traits(self, header: int) -> _Traits:
        if not header & 0b10:
            index = header >> 2
            if index >= len(self._traits):
                raise AmfError(f"traits reference {index} of {len(self._traits)}")
            return self._traits[index]
        if header & 0b100:
            # 3.12: "the client and server must have an agreement as to how to interpret it". We have
            # none, so nobody knows where it ends.
            raise AmfError("externalizable object")
        sealed_count = header >> 4
        # Each name, and the value behind it.
        self._budget.check_count(2 * sealed_count)
        class_name = self._string()
        names = tuple([self._string() for _ in range(sealed_count)])
        traits = _Traits(class_name, names, is_dynamic=bool(header & 0b1000))
        self._traits.append(traits)
        return traits

    def _pairs(self) -> dict[str, Value]:
        """Names and values, up to the empty name."""
        pairs: dict[str, Value] = {}
        while name := self._string():
            pairs[name] = self.read_value()
        return pairs

    def _list(self, count: int) -> list[Value]:
        self._budget.check_count(count)
        return [self.read_value() for _ in range(count)]

    def _vector(self, item: str, item_bytes: int, count: int) -> list[Value]:
        self._byte()  # fixed-vector: whether it may grow
        self._budget.take_values(count)
        return list(struct.unpack(f">{count}{item}", self._take(count * item_bytes)))

    def _reference(self, index: int) -> Reference:
        if index >= self._complex_count:
            raise AmfError(f"object reference {index} of {self._complex_count}")
        return Reference(index)

    def _string(self) -> str:
        """Section 3.8 without its marker: a U29S, then UTF-8 or nothing. It counts as a value, by reference too."""
        self._budget.take_value()
        header = self._u29()
        if header == _EMPTY_STRING:
            return ""
        if not header & 1:
            index = header >> 1
            if index >= len(self._strings):
                raise AmfError(f"string reference {index} of {len(self._strings)}")
            text, length_bytes = self._strings[index]
            self._budget.take_text(length_bytes)
            return text
        length_bytes = header >> 1
        text = self._utf8(length_bytes)
        # 1.3.2: "the empty string is never sent by reference".
        self._strings.append((text, length_bytes))
        return text

    def _utf8(self, length_bytes: int) -> str:
        self._budget.take_text(length_bytes)
        return self._take(length_bytes).decode("utf-8", "replace")

    def _double(self) -> float:
        value: float = _DOUBLE.unpack(self._take(8))[0]
        return value

    def _u29(self) -> int:
        """Section 1.3.1: 7 bits a byte, most significant first, but all 8 of a fourth byte."""
        value = self._byte()
        if value < 0x80:
            return value
        value &= 0x7F
        for _ in range(2):
            byte = self._byte()
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value
        return value << 8 | self._byte()

    def _byte(self) -> int:
        offset = self.offset
        if offset >= len(self._data):
            raise self._cut_short()
        self.offset = offset + 1
        return self._data[offset]

    def _take(self, count: int) -> bytes:
        end = self.offset + count
        taken = self._data[self.offset : end]
        if len(taken) < count:
            raise self._cut_short()
        self.offset = end
        return taken

    def _cut_short(self) -> AmfError:
        return AmfError(f"AMF3 ends at byte {len(self._data)}, inside a value")


# By marker; see ``amf0``.
_SIMPLE: dict[int, Value] = {
    int(Marker.UNDEFINED): UNDEFINED,
    int(Marker.NULL): None,
    int(Marker.FALSE): False,
    int(Marker.TRUE): True,
}
_READERS: dict[int, Callable[[Reader], Value]] = {
    int(Marker.INTEGER): Reader._integer,
    int(Marker.DOUBLE): Reader._double,
    int(Marker.STRING): Reader._string,
}
_COMPLEX_READERS: dict[int, Callable[[Reader, int], Value]] = {
    int(Marker.XML_DOCUMENT): Reader._xml,
    int(Marker.DATE): Reader._date,
    int(Marker.ARRAY): Reader._array,
    int(Marker.OBJECT): Reader._object,
    int(Marker.XML): Reader._xml,
    int(Marker.BYTE_ARRAY): Reader._byte_array,
    int(Marker.VECTOR_INT): Reader._vector_int,
    int(Marker.VECTOR_UINT): Reader._vector_uint,
    int(Marker.VECTOR_DOUBLE): Reader._vector_double,
    int(Marker.VECTOR_OBJECT): Reader._vector_object,
    int(Marker.DICTIONARY): Reader._dictionary,
}
