"""Reader of AMF3, ActionScript 3's values.

Peers that speak AMF3 send AMF0 that switches to AMF3 for single values; we answer in AMF0, so there
is no writer.

Spec: AMF 3 (Adobe, January 2013).
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

from streamd.amf import (
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
from streamd.errors import AmfError

_DOUBLE = struct.Struct(">d")
_INT = struct.Struct(">i")
_UINT = struct.Struct(">I")


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


_VECTOR_ITEMS = {Marker.VECTOR_INT: _INT, Marker.VECTOR_UINT: _UINT, Marker.VECTOR_DOUBLE: _DOUBLE}


@dataclass(frozen=True, slots=True)
class _Traits:
    """What instances of one class have in common (section 3.12)."""

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
        budget: What the message may still use up, where it is shared with AMF0 around it.
    """

    def __init__(self, data: bytes, offset: int = 0, budget: Budget | None = None) -> None:
        self._data = data
        self.offset = offset
        """Where the next value starts."""
        self._budget = budget or Budget(DEFAULT_LIMITS)
        self._strings: list[str] = []
        self._traits: list[_Traits] = []
        self._complex_count = 0

    def read_value(self) -> Value:
        """Read one value and move past it.

        Raises:
            AmfError: The bytes end too early, are not AMF3, or pass a limit.
        """
        self._budget.take_value()
        marker = self._take(1)[0]
        match marker:
            case Marker.UNDEFINED:
                return UNDEFINED
            case Marker.NULL:
                return None
            case Marker.FALSE:
                return False
            case Marker.TRUE:
                return True
            case Marker.INTEGER:
                # 3.6: a 29-bit integer, signed.
                value = self._u29()
                return value - (1 << 29) if value >= 1 << 28 else value
            case Marker.DOUBLE:
                return self._double()
            case Marker.STRING:
                return self._string()
            case _:
                return self._complex(marker)

    def _complex(self, marker: int) -> Value:
        """Read a value that has a place in the table of objects, after its marker."""
        if marker not in Marker.__members__.values():
            raise AmfError(f"AMF3 has no type 0x{marker:02x}")
        header = self._u29()
        if not header & 1:
            # "The remaining 1 to 28 significant bits are used to encode an object reference index."
            return self._reference(header >> 1)
        self._complex_count += 1
        count = header >> 1
        if marker == Marker.DATE:
            return Date(self._double())
        if marker in (Marker.XML_DOCUMENT, Marker.XML):
            return XmlDocument(self._utf8(count))
        if marker == Marker.BYTE_ARRAY:
            self._budget.check_string(count)
            return self._take(count)
        if marker in _VECTOR_ITEMS:
            return self._vector(_VECTOR_ITEMS[Marker(marker)], count)
        self._budget.enter()
        value: Value
        match marker:
            case Marker.ARRAY:
                value = self._array(count)
            case Marker.VECTOR_OBJECT:
                self._take(1)  # fixed-vector: whether it may grow
                self._string()  # object-type-name; each item says its own type too
                value = self._list(count)
            case Marker.DICTIONARY:
                self._take(1)  # weak-keys
                # A key can be any value: pairs, [[key, value], …], hold them all.
                self._budget.check_count(2 * count)
                value = [[self.read_value(), self.read_value()] for _ in range(count)]
            case _:
                value = self._object(header)
        self._budget.leave()
        return value

    def _array(self, dense_count: int) -> Value:
        """Section 3.11: pairs up to an empty key, then the dense part."""
        named = self._pairs()
        dense = self._list(dense_count)
        if not named:
            return dense
        return EcmaArray({str(index): item for index, item in enumerate(dense)} | named)

    def _object(self, header: int) -> Value:
        """Section 3.12, with U29O-ref already told from the rest."""
        traits = self._read_traits(header)
        properties: dict[str, Value] = {name: self.read_value() for name in traits.sealed_names}
        if traits.is_dynamic:
            properties |= self._pairs()
        return TypedObject(traits.class_name, properties) if traits.class_name else properties

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
        self._budget.check_count(sealed_count)
        class_name = self._string()
        names = tuple(self._string() for _ in range(sealed_count))
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

    def _vector(self, item: struct.Struct, count: int) -> list[Value]:
        self._take(1)  # fixed-vector: whether it may grow
        self._budget.check_count(count)
        values: list[Value] = []
        for _ in range(count):
            self._budget.take_value()
            values.append(item.unpack(self._take(item.size))[0])
        return values

    def _reference(self, index: int) -> Reference:
        if index >= self._complex_count:
            raise AmfError(f"object reference {index} of {self._complex_count}")
        return Reference(index)

    def _string(self) -> str:
        """Section 3.8 without its marker: a U29S, then UTF-8 or nothing."""
        header = self._u29()
        if not header & 1:
            index = header >> 1
            if index >= len(self._strings):
                raise AmfError(f"string reference {index} of {len(self._strings)}")
            return self._strings[index]
        text = self._utf8(header >> 1)
        # 1.3.2: "the empty string is never sent by reference".
        if text:
            self._strings.append(text)
        return text

    def _utf8(self, length_bytes: int) -> str:
        self._budget.check_string(length_bytes)
        return self._take(length_bytes).decode("utf-8", "replace")

    def _double(self) -> float:
        value: float = _DOUBLE.unpack(self._take(8))[0]
        return value

    def _u29(self) -> int:
        """Section 1.3.1: 7 bits a byte, most significant first, but all 8 of a fourth byte."""
        value = 0
        for _ in range(3):
            byte = self._take(1)[0]
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value
        return value << 8 | self._take(1)[0]

    def _take(self, count: int) -> bytes:
        end = self.offset + count
        taken = self._data[self.offset : end]
        if len(taken) < count:
            raise AmfError(f"AMF3 ends at byte {len(self._data)}, inside a value")
        self.offset = end
        return taken
