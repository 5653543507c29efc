"""What AMF0 and AMF3 share: the Python values both read to, and the limits of reading.

Everything read is inert. A typed object is its class name beside its properties; a reference stays a
number. So no value holds itself or is held twice, and a walk over it ends after as many steps as were read.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

from streamd.errors import AmfError


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


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one message may ask of the reader."""

    depth: int = 32
    """Values inside values: OBS's deepest message has 1, Enhanced RTMP's track maps 3."""
    values: int = 4096
    """Values in one message, or in all that are read at once. onMetaData has some 25; reading 4096 takes about 5 ms."""
    string_bytes: int = 65_535
    """Bytes of one string: all that a short string can have. XMP in FMLE's metadata has 10 KB."""


DEFAULT_LIMITS = Limits()


class Budget:
    """What is left of the limits while one message is read, in AMF0 and in the AMF3 inside it.

    Args:
        limits: What the message may use up. Several may share the values: ``start_message`` begins another one.
    """

    __slots__ = ("_depth_left", "_values_left", "limits")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._depth_left = limits.depth
        self._values_left = limits.values

    def start_message(self) -> None:
        """Be at the surface again, wherever the message before was given up."""
        self._depth_left = self.limits.depth

    def take_value(self) -> None:
        """Count one value.

        Raises:
            AmfError: The message has more values than allowed.
        """
        self._values_left -= 1
        if self._values_left < 0:
            raise AmfError(f"more than {self.limits.values} values at once", limit="amf_values_max")

    def check_count(self, declared: int) -> None:
        """Refuse a declared number of values that cannot be read anyway, before anything is read.

        Raises:
            AmfError: More values are declared than may still be read.
        """
        if declared > self._values_left:
            raise AmfError(
                f"{declared} values declared, {self._values_left} left of {self.limits.values}", limit="amf_values_max"
            )

    def check_string(self, length_bytes: int) -> None:
        """Refuse a long string before it is copied.

        Raises:
            AmfError: The string is longer than allowed.
        """
        if length_bytes > self.limits.string_bytes:
            raise AmfError(
                f"string of {length_bytes} bytes, {self.limits.string_bytes} allowed", limit="amf_string_bytes_max"
            )

    def enter(self) -> None:
        """Go into a value that holds values.

        Raises:
            AmfError: Values are nested deeper than allowed.
        """
        self._depth_left -= 1
        if self._depth_left < 0:
            raise AmfError(f"values nested deeper than {self.limits.depth}", limit="amf_depth_max")

    def leave(self) -> None:
        """Come out of a value that ``enter`` went into."""
        self._depth_left += 1
