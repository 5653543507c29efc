from __future__ import annotations

import math
import struct

import pytest

from streamd.errors import AmfError
from streamd.formats.amf import amf0
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

# (name, bytes, value): read and written.
VALUES: list[tuple[str, str, Value]] = [
    ("zero", "00 0000000000000000", 0.0),
    ("number", "00 3ff8000000000000", 1.5),
    ("infinity", "00 7ff0000000000000", math.inf),
    ("true", "01 01", True),
    ("false", "01 00", False),
    ("empty string", "02 0000", ""),
    ("string", "02 0004 6c697665", "live"),
    ("string beyond ASCII", "02 0002 c3a9", "é"),
    ("empty object", "03 000009", {}),
    ("object", "03 0003 617070 02 0004 6c697665 000009", {"app": "live"}),
    ("object with an empty name", "03 0000 05 000009", {"": None}),
    ("null", "05", None),
    ("undefined", "06", UNDEFINED),
    ("ECMA array", "08 00000001 0001 61 01 01 000009", EcmaArray(a=True)),
    ("empty strict array", "0a 00000000", []),
    ("strict array", "0a 00000002 05 02 0001 78", [None, "x"]),
    ("date", "0b 4270000000000000 0000", Date(2.0**40)),
    ("date with a time zone", "0b 0000000000000000 ffc4", Date(0.0, -60)),
    ("XML document", "0f 00000004 3c612f3e", XmlDocument("<a/>")),
    ("typed object", "10 0003 466f6f 0001 61 05 000009", TypedObject("Foo", {"a": None})),
    ("nested", "03 0001 61 03 0001 62 0a 00000001 06 000009 000009", {"a": {"b": [UNDEFINED]}}),
]
ids = [name for name, _, _ in VALUES]


@pytest.mark.parametrize(("encoded", "value"), [row[1:] for row in VALUES], ids=ids)
class TestEveryType:
    """AMF 0 section 2."""

    def test_is_read(self, encoded: str, value: Value) -> None:
        (read,) = amf0.read_values(bytes.fromhex(encoded))
        assert read == value
        assert type(read) is type(value)

    def test_is_written(self, encoded: str, value: Value) -> None:
        assert amf0.write_values(value) == bytes.fromhex(encoded)

    def test_is_read_among_others(self, encoded: str, value: Value) -> None:
        data = bytes.fromhex("05" + encoded + "05")
        if not isinstance(value, EcmaArray):
            assert amf0.read_values(data) == [None, value, None]

    def test_cut_short_is_an_error(self, encoded: str, value: Value) -> None:
        data = bytes.fromhex(encoded)
        for end in range(1, len(data)):
            if isinstance(value, EcmaArray) and end in (5, len(data) - 3):
                continue  # cut between two properties, which ends the array
            with pytest.raises(AmfError):
                amf0.read_values(data[:end])


class TestReading:
    def test_no_bytes_are_no_values(self) -> None:
        assert amf0.read_values(b"") == []

    def test_not_a_number_is_a_number(self) -> None:
        (value,) = amf0.read_values(bytes.fromhex("00 7ff8000000000000"))
        assert isinstance(value, float)
        assert math.isnan(value)

    def test_any_byte_but_zero_is_true(self) -> None:
        assert amf0.read_values(b"\x01\x02") == [True]

    def test_unsupported_is_read_as_undefined(self) -> None:
        assert amf0.read_values(b"\x0d") == [UNDEFINED]

    @pytest.mark.parametrize("marker", [0x04, 0x09, 0x0E, 0x12, 0xFF])
    def test_reserved_and_unknown_markers_are_errors(self, marker: int) -> None:
        with pytest.raises(AmfError, match=f"0x{marker:02x}"):
            amf0.read_values(bytes((marker,)) + bytes(16))

    def test_text_that_is_not_utf8_is_read_with_replacements(self) -> None:
        assert amf0.read_values(bytes.fromhex("02 0002 ff61")) == ["\ufffda"]

    def test_a_name_seen_twice_keeps_its_last_value(self) -> None:
        assert amf0.read_values(bytes.fromhex("03 0001 61 05 0001 61 0101 000009")) == [{"a": True}]

    @pytest.mark.parametrize("count", [0, 1, 2, 7, 2**32 - 1])
    def test_the_count_of_an_ecma_array_is_not_believed(self, count: int) -> None:
        data = b"\x08" + count.to_bytes(4, "big") + bytes.fromhex("0001 61 05 0001 62 06 000009")
        assert amf0.read_values(data) == [{"a": None, "b": UNDEFINED}]

    def test_an_ecma_array_may_end_with_the_message(self) -> None:
        assert amf0.read_values(bytes.fromhex("08 00000001 0001 61 05")) == [EcmaArray(a=None)]

    def test_an_object_may_not(self) -> None:
        with pytest.raises(AmfError):
            amf0.read_values(bytes.fromhex("03 0001 61 05"))

    def test_a_reference_stays_a_number(self) -> None:
        assert amf0.read_values(bytes.fromhex("03 0001 61 07 0000 000009")) == [{"a": Reference(0)}]

    def test_a_reference_to_what_was_not_seen_is_an_error(self) -> None:
        with pytest.raises(AmfError, match="reference 1 of 1"):
            amf0.read_values(bytes.fromhex("03 0001 61 07 0001 000009"))

    def test_one_value_can_be_amf3(self) -> None:
        data = bytes.fromhex("05 11 06 07 616263 02 0001 78")
        assert amf0.read_values(data) == [None, "abc", "x"]

    def test_a_long_string_is_read(self) -> None:
        assert amf0.read_values(bytes.fromhex("0c 00000002 6869")) == ["hi"]


class TestLookingAhead:
    @pytest.mark.parametrize(
        ("data", "text", "number"),
        [
            ("02 0001 61", True, False),
            ("11 06 03 61", True, False),
            ("0c 00000001 61", False, False),
            ("00 3ff0000000000000", False, True),
            ("11 04 05", False, True),
            ("11 05 3ff0000000000000", False, True),
            ("11 0a 01", False, False),
            ("05", False, False),
            ("", False, False),
        ],
    )
    def test_says_what_the_next_value_is(self, data: str, text: bool, number: bool) -> None:
        reader = amf0.Reader(bytes.fromhex(data))
        assert (reader.at_text, reader.at_number) == (text, number)


class TestBudget:
    def test_what_was_used_up_comes_back_with_the_bytes_that_come(self) -> None:
        budget = Budget(Limits(amf_values_max=10, text_bytes=100))
        budget.take_values(10)
        budget.take_text(100)
        assert budget.is_spent
        budget.earn(7)
        assert budget.is_spent
        budget.earn(9)
        budget.take_values(2)
        budget.take_text(16)
        with pytest.raises(AmfError):
            budget.take_value()
        budget.earn(10**9)
        budget.take_values(10)
        budget.take_text(100)
        with pytest.raises(AmfError):
            budget.take_text(1)

    def test_a_value_too_many_is_no_debt(self) -> None:
        budget = Budget(Limits(amf_values_max=0))
        for _ in range(3):
            with pytest.raises(AmfError):
                budget.take_value()
        budget.earn(8)
        assert budget.is_spent

    def test_a_charge_takes_what_there_is(self) -> None:
        budget = Budget(Limits(amf_values_max=10))
        budget.charge(4)
        budget.check_count(6)
        budget.charge(100)
        budget.check_count(0)
        assert budget.is_spent


class TestWriting:
    def test_integers_are_numbers(self) -> None:
        assert amf0.write_values(1) == amf0.write_values(1.0)

    def test_a_reference_is_written(self) -> None:
        assert amf0.write_values(Reference(2)) == bytes.fromhex("07 0002")

    @pytest.mark.parametrize(("length", "marker"), [(0xFFFF, 0x02), (0x10000, 0x0C)])
    def test_a_string_is_long_from_65536_bytes(self, length: int, marker: int) -> None:
        written = amf0.write_values("x" * length)
        assert written[0] == marker
        assert amf0.read_values(written, Limits(amf_string_bytes_max=length)) == ["x" * length]

    def test_bytes_have_no_type(self) -> None:
        with pytest.raises(TypeError, match="bytes"):
            amf0.write_values(b"raw")


class TestLimits:
    """What one message may ask of the reader."""

    @pytest.mark.parametrize(
        "opening", [bytes.fromhex("0a00000001"), bytes.fromhex("03000161"), bytes.fromhex("0800000000000161")]
    )
    def test_100_000_values_inside_each_other_are_an_error(self, opening: bytes) -> None:
        with pytest.raises(AmfError, match="nested deeper than 32"):
            amf0.read_values(opening * 100_000)

    def test_nesting_up_to_the_limit_is_read(self) -> None:
        (value,) = amf0.read_values(bytes.fromhex("0a00000001") * 32 + b"\x05")
        for _ in range(32):
            assert isinstance(value, list)
            (value,) = value
        assert value is None

    def test_the_limit_counts_what_is_open_and_not_what_was(self) -> None:
        assert len(amf0.read_values(bytes.fromhex("0a00000000") * 1000)) == 1000

    def test_a_strict_array_that_declares_the_impossible_is_refused_at_once(self) -> None:
        with pytest.raises(AmfError, match="4294967295 values declared"):
            amf0.read_values(bytes.fromhex("0a ffffffff 05"))

    def test_values_are_counted_over_the_whole_message(self) -> None:
        limits = Limits(amf_values_max=3)
        assert amf0.read_values(b"\x05" * 3, limits) == [None] * 3
        with pytest.raises(AmfError, match="more than 3 values"):
            amf0.read_values(b"\x05" * 4, limits)
        with pytest.raises(AmfError, match="more than 3 values"):
            amf0.read_values(bytes.fromhex("05 11 01 05 05"), limits)

    @pytest.mark.parametrize("marker", [b"\x0c", b"\x0f"])
    def test_a_string_that_is_too_long_is_refused_before_it_is_copied(self, marker: bytes) -> None:
        with pytest.raises(AmfError, match="string of 65536 bytes"):
            amf0.read_values(marker + struct.pack(">I", 65536))

    def test_names_count_as_values(self) -> None:
        data = bytes.fromhex("03 0001 61 05 0001 61 05 000009")
        assert amf0.read_values(data, Limits(amf_values_max=5)) == [{"a": None}]
        with pytest.raises(AmfError, match="more than 4 values"):
            amf0.read_values(data, Limits(amf_values_max=4))

    def test_the_name_of_a_class_counts_too(self) -> None:
        data = bytes.fromhex("10 0003 466f6f 0001 61 05 000009")
        assert len(amf0.read_values(data, Limits(amf_values_max=4))) == 1
        with pytest.raises(AmfError, match="more than 3 values"):
            amf0.read_values(data, Limits(amf_values_max=3))

    def test_all_strings_together_are_bounded(self) -> None:
        data = bytes.fromhex("02 0004 61616161") * 3
        assert len(amf0.read_values(data, Limits(text_bytes=12))) == 3
        with pytest.raises(AmfError, match="strings of more than 11 bytes") as caught:
            amf0.read_values(data, Limits(text_bytes=11))
        assert caught.value.limit == "amf_string_bytes_max"

    def test_amf3_inside_shares_the_limits(self) -> None:
        data = bytes.fromhex("0a00000001") * 31 + b"\x11" + bytes.fromhex("090301") * 2 + b"\x01"
        with pytest.raises(AmfError, match="nested deeper"):
            amf0.read_values(data)
