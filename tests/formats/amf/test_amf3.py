from __future__ import annotations

import pytest

from streamd.errors import AmfError
from streamd.formats.amf.amf3 import Reader
from streamd.formats.amf.values import (
    UNDEFINED,
    Budget,
    Date,
    EcmaArray,
    Limits,
    Reference,
    TypedObject,
    Value,
    XmlDocument,
)

VALUES: list[tuple[str, str, Value]] = [
    ("undefined", "00", UNDEFINED),
    ("null", "01", None),
    ("false", "02", False),
    ("true", "03", True),
    ("integer 0", "04 00", 0),
    ("integer of 1 byte", "04 7f", 127),
    ("integer of 2 bytes", "04 8100", 128),
    ("greatest of 2 bytes", "04 ff7f", 16383),
    ("integer of 3 bytes", "04 818000", 16384),
    ("greatest of 3 bytes", "04 ffff7f", 2097151),
    ("integer of 4 bytes", "04 80c08000", 2097152),
    ("greatest integer", "04 bfffffff", 2**28 - 1),
    ("least integer", "04 c0808000", -(2**28)),
    ("minus one", "04 ffffffff", -1),
    ("double", "05 3ff8000000000000", 1.5),
    ("empty string", "06 01", ""),
    ("string", "06 09 6c697665", "live"),
    ("XML document", "07 09 3c612f3e", XmlDocument("<a/>")),
    ("date", "08 01 4270000000000000", Date(2.0**40)),
    ("empty array", "09 01 01", []),
    ("dense array", "09 05 01 03 02", [True, False]),
    ("associative array", "09 01 03 61 01 01", EcmaArray(a=None)),
    ("mixed array", "09 03 03 61 01 01 03", EcmaArray({"0": True, "a": None})),
    ("anonymous object", "0a 0b 01 03 61 03 01", {"a": True}),
    ("sealed object", "0a 13 01 03 61 03", {"a": True}),
    ("typed object", "0a 13 07 466f6f 03 61 03", TypedObject("Foo", {"a": True})),
    ("sealed and dynamic", "0a 1b 01 03 61 03 03 62 02 01", {"a": True, "b": False}),
    ("XML", "0b 09 3c612f3e", XmlDocument("<a/>")),
    ("byte array", "0c 07 010203", b"\x01\x02\x03"),
    ("vector of int", "0d 05 00 ffffffff 00000001", [-1, 1]),
    ("vector of uint", "0e 03 01 ffffffff", [2**32 - 1]),
    ("vector of double", "0f 03 00 3ff8000000000000", [1.5]),
    ("vector of object", "10 03 00 01 03", [True]),
    ("dictionary", "11 03 00 06 03 61 03", [["a", True]]),
]


@pytest.mark.parametrize(("encoded", "value"), [row[1:] for row in VALUES], ids=[row[0] for row in VALUES])
class TestEveryType:
    """AMF 3 section 3."""

    def test_is_read_to_its_end(self, encoded: str, value: Value) -> None:
        data = bytes.fromhex(encoded)
        reader = Reader(b"\xff" + data + b"\xff", 1)
        read = reader.read_value()
        assert read == value
        assert type(read) is type(value)
        assert reader.offset == 1 + len(data)

    def test_cut_short_is_an_error(self, encoded: str, value: Value) -> None:
        data = bytes.fromhex(encoded)
        for end in range(len(data)):
            with pytest.raises(AmfError):
                Reader(data[:end]).read_value()


class TestReferences:
    """AMF 3 section 2.2."""

    def test_a_string_is_taken_from_its_table(self) -> None:
        assert Reader(bytes.fromhex("09 05 01 06 03 61 06 00")).read_value() == ["a", "a"]

    def test_the_empty_string_has_no_place_in_the_table(self) -> None:
        assert Reader(bytes.fromhex("09 07 01 06 01 06 03 61 06 00")).read_value() == ["", "a", "a"]

    def test_traits_are_taken_from_their_table(self) -> None:
        data = bytes.fromhex("09 05 01 0a 13 07 466f6f 03 61 03 0a 01 02")
        assert Reader(data).read_value() == [TypedObject("Foo", {"a": True}), TypedObject("Foo", {"a": False})]

    @pytest.mark.parametrize("marker", ["07", "08", "09", "0a", "0b", "0c", "0d", "0e", "0f", "10", "11"])
    def test_a_complex_value_stays_a_number(self, marker: str) -> None:
        assert Reader(bytes.fromhex("09 03 01" + marker + "00")).read_value() == [Reference(0)]

    @pytest.mark.parametrize(
        ("data", "what"),
        [
            ("06 00", "string reference 0 of 0"),
            ("06 fffffffe", "string reference 268435455 of 0"),
            ("0a 01", "traits reference 0 of 0"),
            ("0a 00", "object reference 0 of 0"),
            ("09 02", "object reference 1 of 0"),
        ],
    )
    def test_out_of_range_is_an_error(self, data: str, what: str) -> None:
        # CVE-2015-8270 and -8272: librtmp followed them.
        with pytest.raises(AmfError, match=what):
            Reader(bytes.fromhex(data)).read_value()


class TestCounted:
    """Names and references cost what values do: they are a byte on the wire, and each is a place in a dict."""

    def traits(self, names: int) -> bytes:
        """An object of ``names`` sealed names, all but the first by reference, and no values."""
        header = names << 4 | 0b0011
        return (
            bytes((0x0A, header >> 14 | 0x80, header >> 7 & 0x7F | 0x80, header & 0x7F, 0x01, 0x03))
            + b"a"
            + bytes(names - 1)
        )

    def left(self, data: bytes, values: int = 1000) -> int:
        """How many values are left after all of ``data`` was tried."""
        budget = Budget(Limits(amf_values_max=values))
        with pytest.raises(AmfError):
            Reader(data, 0, budget).read_value()
        return budget._value_bytes_left // 8

    def test_names_of_traits(self) -> None:
        # The object, its class name, its names, and the value that is not there.
        assert self.left(self.traits(400)) == 1000 - 403

    def test_names_of_traits_are_refused_before_they_are_read(self) -> None:
        # A name and a value each.
        assert self.left(self.traits(500)) == 999

    def test_values_of_objects_that_share_traits(self) -> None:
        sealed = "0a 23 01 03 61 03 62 01 01"
        again = "0a 01 01 01"
        data = bytes.fromhex("09 07 01" + sealed + again + again)
        assert Reader(data, 0, Budget(Limits(amf_values_max=14))).read_value() == [{"a": None, "b": None}] * 3
        with pytest.raises(AmfError, match="2 values declared, 1 left of 13"):
            Reader(data, 0, Budget(Limits(amf_values_max=13))).read_value()

    def test_objects_of_many_sealed_names_are_refused_before_their_values(self) -> None:
        # A dictionary whose first value sets up traits that the second asks for.
        first = self.traits(300) + b"\x01" * 300
        assert self.left(b"\x09\x05\x01" + first + b"\x0a\x01", values=800) == 800 - 1 - 1 - 302 - 300 - 1

    @pytest.mark.parametrize(
        ("data", "values"),
        [
            ("06 03 61", 2),
            ("09 05 01 06 03 61 06 00", 6),
            ("0a 0b 01 03 61 01 03 62 01 01", 7),
            ("09 01 03 61 01 01", 4),
            ("11 05 00 01 01 01 01", 5),
            ("10 03 00 01 01", 3),
            ("0d 05 00 0000000000000000", 3),
        ],
    )
    def test_exactly(self, data: str, values: int) -> None:
        Reader(bytes.fromhex(data), 0, Budget(Limits(amf_values_max=values))).read_value()
        with pytest.raises(AmfError):
            Reader(bytes.fromhex(data), 0, Budget(Limits(amf_values_max=values - 1))).read_value()

    def test_text_that_a_reference_repeats(self) -> None:
        text = b"\x06\x8f\x51" + b"x" * 1000
        data = b"\x09\x15\x01" + text + b"\x06\x00" * 9
        assert Reader(data, 0, Budget(Limits(text_bytes=10_000))).read_value() == ["x" * 1000] * 10
        with pytest.raises(AmfError, match="strings of more than 9999 bytes"):
            Reader(data, 0, Budget(Limits(text_bytes=9999))).read_value()


class TestHostile:
    def test_an_externalizable_object_is_never_made(self) -> None:
        # CVE-2017-5878: Red5 called the class that the peer named.
        data = bytes.fromhex("0a 07 07 466f6f") + bytes(8)
        with pytest.raises(AmfError, match="externalizable"):
            Reader(data).read_value()

    def test_an_unknown_marker_is_an_error(self) -> None:
        with pytest.raises(AmfError, match="0x12"):
            Reader(bytes.fromhex("12 01")).read_value()

    @pytest.mark.parametrize("opening", ["09 03 01", "0a 0b 01 03 61", "10 03 00 01", "11 03 00"])
    def test_100_000_values_inside_each_other_are_an_error(self, opening: str) -> None:
        with pytest.raises(AmfError, match="nested deeper than 32"):
            Reader(bytes.fromhex(opening) * 100_000).read_value()

    @pytest.mark.parametrize(
        "data", ["09 ffffffff 01", "0d ffffffff 00", "10 ffffffff 00 01", "11 ffffffff 00", "0a fffffff3 01"]
    )
    def test_declared_counts_are_checked_before_they_are_read(self, data: str) -> None:
        with pytest.raises(AmfError, match="values declared"):
            Reader(bytes.fromhex(data)).read_value()

    @pytest.mark.parametrize("marker", ["06", "07", "0b", "0c"])
    def test_declared_lengths_are_checked_before_they_are_copied(self, marker: str) -> None:
        with pytest.raises(AmfError, match="string of 268435455 bytes"):
            Reader(bytes.fromhex(marker + "ffffffff")).read_value()

    def test_vector_items_count_as_values(self) -> None:
        budget = Budget(Limits(amf_values_max=3))
        with pytest.raises(AmfError, match="3 values declared, 2 left"):
            Reader(bytes.fromhex("0d 07 00") + bytes(12), 0, budget).read_value()
