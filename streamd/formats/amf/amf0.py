"""Reader and writer of AMF0, the values of RTMP's command and data messages and of FLV's script tags.

Spec: AMF 0 (Adobe, December 2007).
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Mapping, Sequence

from streamd.errors import AmfError
from streamd.formats.amf import amf3
from streamd.formats.amf.values import (
    DEFAULT_LIMITS,
    UNDEFINED,
    Budget,
    Date,
    EcmaArray,
    Limits,
    Reference,
    TypedObject,
    Undefined,
    Value,
    XmlDocument,
)

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_DOUBLE = struct.Struct(">d")
_DATE = struct.Struct(">dh")

# 2.11: "an object-end-type is preceded by an empty 16-bit string length".
_OBJECT_END = b"\x00\x00\x09"


class Marker(enum.IntEnum):
    """Type markers, section 2.1."""

    NUMBER = 0x00
    BOOLEAN = 0x01
    STRING = 0x02
    OBJECT = 0x03
    NULL = 0x05
    UNDEFINED = 0x06
    REFERENCE = 0x07
    ECMA_ARRAY = 0x08
    OBJECT_END = 0x09
    STRICT_ARRAY = 0x0A
    DATE = 0x0B
    LONG_STRING = 0x0C
    UNSUPPORTED = 0x0D
    XML_DOCUMENT = 0x0F
    TYPED_OBJECT = 0x10
    AVMPLUS_OBJECT = 0x11


_STRING = bytes((Marker.STRING,))
_NUMBER = bytes((Marker.NUMBER,))


def read_values(data: bytes, limits: Limits = DEFAULT_LIMITS, budget: Budget | None = None) -> list[Value]:
    """Read every value of a message body.

    Text that is not UTF-8 is read with replacement characters.

    Args:
        data: Values one after the other, nothing else.
        limits: How much the message may ask of the reader.
        budget: The rest of these limits, where several messages share it.

    Returns:
        The values, in order; none for no bytes.

    Raises:
        AmfError: The bytes end inside a value, are not AMF0, or pass a limit.
    """
    reader = Reader(data, limits, budget)
    values: list[Value] = []
    while not reader.at_end:
        values.append(reader.read_value())
    return values


def write_values(*values: Value) -> bytes:
    """Write values one after the other, as a message body.

    Integers are written as numbers (doubles). ``bytes`` have no AMF0 type.

    Raises:
        TypeError: A value that AMF0 cannot say.
    """
    out: list[bytes] = []
    for value in values:
        _write(value, out)
    return b"".join(out)


class Reader:
    """Reads AMF0 values one by one from a message body.

    Args:
        data: The whole body.
        limits: How much it may ask of the reader, over all its values.
        budget: The rest of these limits, where several messages share it.
    """

    __slots__ = ("_budget", "_complex_count", "_data", "_offset")

    def __init__(self, data: bytes, limits: Limits = DEFAULT_LIMITS, budget: Budget | None = None) -> None:
        self._data = data
        self._offset = 0
        self._budget = budget or Budget(limits)
        self._budget.start_message()
        self._complex_count = 0

    @property
    def at_end(self) -> bool:
        """Whether every byte is read."""
        return self._offset >= len(self._data)

    @property
    def at_text(self) -> bool:
        """Whether the next value is a short string, or one in AMF3."""
        return self._data.startswith((_STRING, amf3.STRING_IN_AMF0), self._offset)

    @property
    def at_number(self) -> bool:
        """Whether the next value is a number, or one in AMF3."""
        return self._data.startswith((_NUMBER, *amf3.NUMBERS_IN_AMF0), self._offset)

    def read_value(self) -> Value:
        """Read one value and move past it.

        Raises:
            AmfError: The bytes end too early, are not AMF0, or pass a limit.
        """
        self._budget.take_value()
        offset = self._offset
        if offset >= len(self._data):
            raise self._cut_short()
        self._offset = offset + 1
        read = _READERS.get(self._data[offset])
        if read is None:
            raise AmfError(f"no AMF0 value starts with 0x{self._data[offset]:02x}")
        return read(self)

    def _number(self) -> float:
        number: float = _DOUBLE.unpack(self._take(8))[0]
        return number

    def _boolean(self) -> bool:
        return self._take(1) != b"\x00"

    def _null(self) -> None:
        return None

    def _undefined(self) -> Undefined:
        # 2.15: "unsupported" stands for a type that could not be written; nothing of it is kept.
        return UNDEFINED

    def _date(self) -> Date:
        milliseconds, timezone_minutes = _DATE.unpack(self._take(10))
        return Date(milliseconds, timezone_minutes)

    def _xml_document(self) -> XmlDocument:
        return XmlDocument(self._long_string())

    def _object(self) -> dict[str, Value]:
        self._enter()
        properties = self._properties({})
        self._budget.leave()
        return properties

    def _ecma_array(self) -> dict[str, Value]:
        self._enter()
        # 2.10's associative-count is wrong in the field, in both directions (FFmpeg and SRS ignore it).
        self._take(4)
        properties = self._properties(EcmaArray(), ends_with_data=True)
        self._budget.leave()
        return properties

    def _strict_array(self) -> list[Value]:
        self._enter()
        count = _U32.unpack(self._take(4))[0]
        self._budget.check_count(count)
        values = [self.read_value() for _ in range(count)]
        self._budget.leave()
        return values

    def _typed_object(self) -> TypedObject:
        self._enter()
        self._budget.take_value()
        value = TypedObject(self._short_string(), self._properties({}))
        self._budget.leave()
        return value

    def _enter(self) -> None:
        """Go into a value that holds values and has a place in the table of references, after its marker."""
        self._complex_count += 1
        self._budget.enter()

    def _properties(self, into: dict[str, Value], *, ends_with_data: bool = False) -> dict[str, Value]:
        """Read names and values up to the object end marker; a name seen twice keeps its last value.

        Args:
            into: Where they are put.
            ends_with_data: Take the end of the data for the marker. Some encoders leave it out after the
                ECMA array of onMetaData, which is a message's last value.
        """
        while True:
            if self._data.startswith(_OBJECT_END, self._offset):
                self._offset += len(_OBJECT_END)
                return into
            if ends_with_data and self.at_end:
                return into
            self._budget.take_value()
            name = self._short_string()
            into[name] = self.read_value()

    def _reference(self) -> Reference:
        index = _U16.unpack(self._take(2))[0]
        if index >= self._complex_count:
            raise AmfError(f"object reference {index} of {self._complex_count}")
        return Reference(index)

    def _amf3_value(self) -> Value:
        """Section 3.1: one value in AMF3, whose reference tables start empty."""
        reader = amf3.Reader(self._data, self._offset, self._budget)
        value = reader.read_value()
        self._offset = reader.offset
        return value

    def _short_string(self) -> str:
        return self._utf8(_U16.unpack(self._take(2))[0])

    def _long_string(self) -> str:
        return self._utf8(_U32.unpack(self._take(4))[0])

    def _utf8(self, length_bytes: int) -> str:
        self._budget.take_text(length_bytes)
        return self._take(length_bytes).decode("utf-8", "replace")

    def _take(self, count: int) -> bytes:
        end = self._offset + count
        taken = self._data[self._offset : end]
        if len(taken) < count:
            raise self._cut_short()
        self._offset = end
        return taken

    def _cut_short(self) -> AmfError:
        return AmfError(f"AMF0 ends at byte {len(self._data)}, inside a value")


# By marker. A chain of comparisons with the members of ``Marker`` takes longer than the reading of most values.
_READERS: dict[int, Callable[[Reader], Value]] = {
    int(Marker.NUMBER): Reader._number,
    int(Marker.BOOLEAN): Reader._boolean,
    int(Marker.STRING): Reader._short_string,
    int(Marker.OBJECT): Reader._object,
    int(Marker.NULL): Reader._null,
    int(Marker.UNDEFINED): Reader._undefined,
    int(Marker.REFERENCE): Reader._reference,
    int(Marker.ECMA_ARRAY): Reader._ecma_array,
    int(Marker.STRICT_ARRAY): Reader._strict_array,
    int(Marker.DATE): Reader._date,
    int(Marker.LONG_STRING): Reader._long_string,
    int(Marker.UNSUPPORTED): Reader._undefined,
    int(Marker.XML_DOCUMENT): Reader._xml_document,
    int(Marker.TYPED_OBJECT): Reader._typed_object,
    int(Marker.AVMPLUS_OBJECT): Reader._amf3_value,
}


def _write(value: Value, out: list[bytes]) -> None:
    match value:
        case bool():
            out.append(bytes((Marker.BOOLEAN, value)))
        case int() | float():
            out += bytes((Marker.NUMBER,)), _DOUBLE.pack(value)
        case str():
            _write_string(value, out)
        case None:
            out.append(bytes((Marker.NULL,)))
        case Undefined():
            out.append(bytes((Marker.UNDEFINED,)))
        case EcmaArray():
            out += bytes((Marker.ECMA_ARRAY,)), _U32.pack(len(value))
            _write_properties(value, out)
        case dict():
            out.append(bytes((Marker.OBJECT,)))
            _write_properties(value, out)
        case list():
            out += bytes((Marker.STRICT_ARRAY,)), _U32.pack(len(value))
            _write_all(value, out)
        case Date():
            out += bytes((Marker.DATE,)), _DATE.pack(value.milliseconds, value.timezone_minutes)
        case XmlDocument():
            text = value.text.encode()
            out += bytes((Marker.XML_DOCUMENT,)), _U32.pack(len(text)), text
        case TypedObject():
            out += bytes((Marker.TYPED_OBJECT,)), _short_string(value.class_name)
            _write_properties(value.properties, out)
        case Reference():
            out += bytes((Marker.REFERENCE,)), _U16.pack(value.index)
        case _:
            raise TypeError(f"AMF0 has no type for {type(value).__name__}")


def _write_all(values: Sequence[Value], out: list[bytes]) -> None:
    for value in values:
        _write(value, out)


def _write_properties(properties: Mapping[str, Value], out: list[bytes]) -> None:
    for name, value in properties.items():
        out.append(_short_string(name))
        _write(value, out)
    out.append(_OBJECT_END)


def _write_string(text: str, out: list[bytes]) -> None:
    encoded = text.encode()
    # 2.14: "A long string is used in AMF 0 to encode strings that would occupy more than 65535 bytes".
    if len(encoded) <= 0xFFFF:
        out += bytes((Marker.STRING,)), _U16.pack(len(encoded)), encoded
    else:
        out += bytes((Marker.LONG_STRING,)), _U32.pack(len(encoded)), encoded


def _short_string(text: str) -> bytes:
    encoded = text.encode()
    return _U16.pack(len(encoded)) + encoded
