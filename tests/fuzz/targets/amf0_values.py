"""AMF0, and the AMF3 inside it: values that are written and read again the same, or ``AmfError``."""

from __future__ import annotations

from streamd.errors import AmfError
from streamd.formats.amf import amf0
from streamd.formats.amf.values import UNDEFINED, Date, EcmaArray, Limits, TypedObject, XmlDocument

LIMITS = Limits(amf_depth_max=8, amf_values_max=200, amf_string_bytes_max=500)
NESTED = 100_000


def seeds() -> list[bytes]:
    values = amf0.write_values(
        "connect", 1.0, {"app": "live", "on": True, "n": None}, EcmaArray(width=1920.0), [UNDEFINED, "x" * 70_000]
    )
    rest = amf0.write_values(Date(1e12), XmlDocument("<a/>"), TypedObject("C", {"p": 1.0}))
    lying = [
        b"\x0a\xff\xff\xff\xff",
        b"\x08\xff\xff\xff\xff\x00\x01a\x05",
        b"\x0c\xff\xff\xff\xff",
        b"\x02\xff\xff",
        b"\x07\x00\x05",
        b"\x11\x0a\x0b\x01\x03a\x04\x05\x01",
        b"\x03\x00\x01a\x11\x09\x03\x01\x06\x03z",
        b"\x0a\x00\x00\x00\x01" * (NESTED // 100),
        b"\x03\x00\x01a" * (NESTED // 100),
    ]
    return [values[:500], values[-300:], rest, *lying]


def run(data: bytes) -> None:
    """Args: data: A message's body."""
    try:
        values = amf0.read_values(data, LIMITS)
    except AmfError:
        return
    try:
        written = amf0.write_values(*values)
    except TypeError:
        # Some of AMF3's values have no AMF0 form.
        return
    assert amf0.write_values(*amf0.read_values(written)) == written
