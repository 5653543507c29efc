"""AMF3: values, or ``AmfError``, and never past the end of the bytes."""

from __future__ import annotations

from streamd.errors import AmfError
from streamd.formats.amf import amf3
from streamd.formats.amf.values import Budget, Limits

LIMITS = Limits(amf_depth_max=8, amf_values_max=200, amf_string_bytes_max=500)


def seeds() -> list[bytes]:
    return [
        b"\x00\x01\x02\x03\x04\x81\x00\x05" + bytes(8) + b"\x06\x07abc\x06\x00",
        b"\x09\x05\x03k\x06\x03v\x01\x04\x01\x04\x02",
        b"\x0a\x13\x05A.B\x03x\x04\x05",
        b"\x0a\x0b\x01\x03a\x04\x01\x03b\x0a\x01\x04\x02\x01",
        b"\x0a\x07\x15flex.messaging",
        b"\x08\x01" + bytes(8) + b"\x0c\x05ab\x0b\x05<>\x07\x05<>",
        b"\x0d\x05\x00" + bytes(8) + b"\x0e\x05\x01" + bytes(8) + b"\x0f\x03\x00" + bytes(8),
        b"\x10\x05\x00\x03C\x04\x01\x04\x02\x11\x05\x00\x06\x03k\x04\x01\x06\x00\x04\x02",
        # References, and counts, that are not there: CVE-2015-8270 to 8272 in librtmp.
        b"\x06\x7e\x0a\x7d\x09\x7e\x0a\xff\xff\xff\xff",
        b"\x09\x03\x01" * 1000,
    ]


def run(data: bytes) -> None:
    """Args: data: Values one after the other."""
    reader = amf3.Reader(data, 0, Budget(LIMITS))
    try:
        while reader.offset < len(data):
            start = reader.offset
            reader.read_value()
            assert start < reader.offset <= len(data)
    except AmfError:
        pass
