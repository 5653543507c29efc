"""What AMF0 and AMF3 share: the Python values both read to, and the limits of reading.

Everything read is inert. A typed object is its class name beside its properties; a reference stays a
number. So no value holds itself or is held twice, and a walk over it ends after as many steps as were read.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

from streamd.errors import AmfError
from streamd.limits import DEFAULT


class Undefined(enum.Enum):
    """The type of ``UNDEFINED``, ActionScript's value of what was never set; ``None`` is its null."""

    UNDEFINED = "undefined"


UNDEFINED = Undefined.UNDEFINED


class EcmaArray(dict[str, "Value"]):
    """An associative array: on the wire an object with a count that nobody keeps."""


@dataclass(frozen=True, slots=True)
class Date:
    """A moment, as sent."""

    milliseconds: float
    """Since 1970-01-01 UTC; any double, so not always a moment that a calendar has."""
    timezone_minutes: int = 0
    """Reserved in AMF0, "should be set to 0x0000"; not in AMF3."""


@dataclass(frozen=True, slots=True)
class XmlDocument:
    """XML, not parsed."""

    text: str


@dataclass(frozen=True, slots=True)
class TypedObject:
    """An object of a named class, of which nothing is ever instantiated."""

    class_name: str
    properties: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Reference:
    """The ``index``-th complex value of the same message, left unresolved.

    Resolved, it could make a cycle, or a graph that is small on the wire and endless to walk.
    No encoder sends one.
    """

    index: int


Value: TypeAlias = (
    "float | bool | str | bytes | Undefined | dict[str, Value] | list[Value]"
    " | Date | XmlDocument | TypedObject | Reference | None"
)
"""Any AMF value. Objects are ``dict``, associative arrays ``EcmaArray``, dense arrays ``list``."""


# What one value is worth of the bytes that came. A number and its name have some 20 bytes for two values; values that
# are shorter than this, by the thousand, say nothing. So a byte of AMF costs us an eighth of a value, in however many
# messages and reads it comes.
VALUE_BYTES = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one message may ask of the reader."""

    amf_depth_max: int = DEFAULT.amf_depth_max
    """Values inside values: OBS's deepest message has 1, Enhanced RTMP's track maps 3."""
    amf_values_max: int = DEFAULT.amf_values_max
    """Values in one message, or in all that come faster than they are earned; names, keys and references count like
    values. onMetaData has some 50; reading 4096 takes about 2 ms."""
    amf_string_bytes_max: int = DEFAULT.amf_string_bytes_max
    """Bytes of one string: all that a short string can have. XMP in FMLE's metadata has 10 KB."""
    text_bytes: int = DEFAULT.command_bytes_max
    """Bytes of all strings together, those that AMF3 repeats by a reference counted each time: as many as the longest
    message has."""


DEFAULT_LIMITS = Limits()


class Budget:
    """What is left of the limits while messages are read, in AMF0 and in the AMF3 inside it.

    Values and text are there in full at first. What was used up comes back with the bytes that the peer sends
    (``earn``): metadata is paid for by the media between it.

    Args:
        limits: What may be used up. Several messages may share it: ``start_message`` begins another one.
    """

    __slots__ = ("_depth_left", "_text_left", "_value_bytes_left", "limits")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._depth_left = limits.amf_depth_max
        self._text_left = limits.text_bytes
        self._value_bytes_left = limits.amf_values_max * VALUE_BYTES

    @property
    def is_spent(self) -> bool:
        """Whether there is nothing left to read a value with."""
        return self._value_bytes_left < VALUE_BYTES

    def earn(self, received_bytes: int) -> None:
        """Let what was used up come back, for bytes that came."""
        self._value_bytes_left = min(self.limits.amf_values_max * VALUE_BYTES, self._value_bytes_left + received_bytes)
        self._text_left = min(self.limits.text_bytes, self._text_left + received_bytes)

    def start_message(self) -> None:
        """Be at the surface again, wherever the message before was given up."""
        self._depth_left = self.limits.amf_depth_max

    def take_value(self) -> None:
        """Count one value, name, key or reference.

        Raises:
            AmfError: There are more than allowed.
        """
        self._value_bytes_left -= VALUE_BYTES
        if self._value_bytes_left < 0:
            # What is left is nothing, and not a debt that the next message pays.
            self._value_bytes_left = 0
            raise AmfError(f"more than {self.limits.amf_values_max} values at once", limit="amf_values_max")

    def take_values(self, declared: int) -> None:
        """Count values that are read in one go, before they are.

        Raises:
            AmfError: There are more than allowed.
        """
        self.check_count(declared)
        self._value_bytes_left -= declared * VALUE_BYTES

    def charge(self, values: int) -> None:
        """Count work that is as much as that of some values; where less is left, all of it is used up."""
        self._value_bytes_left = max(0, self._value_bytes_left - values * VALUE_BYTES)

    def check_count(self, declared: int) -> None:
        """Refuse a declared number of values that cannot be read anyway, before anything is read.

        Raises:
            AmfError: More values are declared than may still be read.
        """
        if declared * VALUE_BYTES > self._value_bytes_left:
            left = self._value_bytes_left // VALUE_BYTES
            raise AmfError(
                f"{declared} values declared, {left} left of {self.limits.amf_values_max}", limit="amf_values_max"
            )

    def take_text(self, length_bytes: int) -> None:
        """Count a string, before it is copied; or one more reference to it.

        Raises:
            AmfError: The string is longer than allowed, or all of them together are.
        """
        if length_bytes > self.limits.amf_string_bytes_max:
            raise AmfError(
                f"string of {length_bytes} bytes, {self.limits.amf_string_bytes_max} allowed",
                limit="amf_string_bytes_max",
            )
        if length_bytes > self._text_left:
            raise AmfError(f"strings of more than {self.limits.text_bytes} bytes at once", limit="amf_string_bytes_max")
        self._text_left -= length_bytes

    def enter(self) -> None:
        """Go into a value that holds values.

        Raises:
            AmfError: Values are nested deeper than allowed.
        """
        self._depth_left -= 1
        if self._depth_left < 0:
            raise AmfError(f"values nested deeper than {self.limits.amf_depth_max}", limit="amf_depth_max")

    def leave(self) -> None:
        """Come out of a value that ``enter`` went into."""
        self._depth_left += 1
