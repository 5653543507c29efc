from __future__ import annotations

import pytest

from streamd.errors import AmfError, MessageError
from streamd.formats.amf import amf0
from streamd.formats.amf.values import UNDEFINED, Budget, EcmaArray, Limits, Value
from streamd.formats.rtmp import command as commands
from streamd.formats.rtmp.command import Command
from streamd.formats.rtmp.message import Message


def message(type_id: int, payload: bytes) -> Message:
    return Message(type_id, 0, 1, payload)


class TestReading:
    """RTMP 1.0 section 7.1.1."""

    def test_a_command_has_a_name_a_transaction_an_object_and_arguments(self) -> None:
        payload = amf0.write_values("publish", 5, {"a": 1}, "name", "live")
        command = commands.read_command(message(20, payload))
        assert command == Command("publish", 5.0, {"a": 1.0}, ("name", "live"))

    @pytest.mark.parametrize(
        ("values", "command"),
        [
            (["play"], Command("play", 0.0)),
            (["play", 3], Command("play", 3.0)),
            (["play", 3, None], Command("play", 3.0)),
            (["publish", "3", "x", "y"], Command("publish", 0.0, {}, ("y",))),
            (["connect", 1, EcmaArray(app="live")], Command("connect", 1.0, {"app": "live"})),
        ],
    )
    def test_what_is_missing_or_of_the_wrong_type_is_empty(self, values: list[Value], command: Command) -> None:
        assert commands.read_command(message(20, amf0.write_values(*values))) == command

    @pytest.mark.parametrize("payload", [b"", amf0.write_values(None, 1), amf0.write_values(5, "publish")])
    def test_a_command_without_a_name_is_an_error(self, payload: bytes) -> None:
        with pytest.raises(MessageError):
            commands.read_command(message(20, payload))

    @pytest.mark.parametrize("selector", [b"\x00", b""])
    def test_amf3_messages_start_with_a_format_selector(self, selector: bytes) -> None:
        payload = selector + amf0.write_values("publish", 5, None, "name")
        assert commands.read_command(message(17, payload)) == Command("publish", 5.0, {}, ("name",))

    def test_values_of_an_amf3_message_may_be_amf3(self) -> None:
        payload = b"\x00" + amf0.write_values("publish") + bytes.fromhex("11 04 05 11 01 11 06 07 6b6579")
        assert commands.read_command(message(17, payload)) == Command("publish", 5.0, {}, ("key",))

    def test_an_amf0_message_has_no_selector(self) -> None:
        assert commands.amf0_body(message(18, amf0.write_values(0.0))) == amf0.write_values(0.0)

    def test_limits_are_kept(self) -> None:
        with pytest.raises(AmfError):
            commands.read_command(message(20, amf0.write_values("publish", 1, None, "x")), Limits(amf_values_max=3))

    @pytest.mark.parametrize(
        ("payload", "command"),
        [
            (amf0.write_values("play", 3), Command("play", 3.0)),
            (amf0.write_values("play"), Command("play", 0.0)),
            (amf0.write_values("createStream", 3, None), Command("createStream", 3.0)),
            (amf0.write_values("connect", 3, {"app": "x"}), Command("connect", 3.0, {"app": "x"})),
            (amf0.write_values("deleteStream", 3, None, 1), Command("deleteStream", 3.0, {}, (1.0,))),
            (amf0.write_values("publish", 3, None, "x", "live"), Command("publish", 3.0, {}, ("x", "live"))),
        ],
    )
    def test_values_that_mean_nothing_are_not_read(self, payload: bytes, command: Command) -> None:
        # No value begins so, and a thousand would be too many.
        assert commands.read_command(message(20, payload + b"\xff" * 1000), Limits(amf_values_max=8)) == command

    @pytest.mark.parametrize("payload", [bytes.fromhex("05"), bytes.fromhex("0affffffff"), bytes.fromhex("110a8001")])
    def test_without_a_name_nothing_is_read(self, payload: bytes) -> None:
        budget = Budget(Limits(amf_values_max=1))
        with pytest.raises(MessageError):
            commands.read_command(message(20, payload), budget=budget)
        assert not budget.is_spent

    def test_nothing_it_was_called_with_is_shown(self) -> None:
        command = Command("publish", 5.0, {"tcUrl": "sk_secret"}, ("sk_secret",))
        assert "secret" not in repr(command)


class TestWriting:
    """RTMP 1.0 sections 7.1.1 and 7.2.2."""

    def test_a_result_has_nothing_to_say_by_default(self) -> None:
        assert commands.result(2) == Message(20, 0, 0, amf0.write_values("_result", 2, None, UNDEFINED))

    def test_on_status_is_sent_on_the_stream_with_transaction_0(self) -> None:
        sent = commands.on_status(1, "error", "NetStream.Publish.Denied", "No.")
        assert sent.message_stream_id == 1
        assert amf0.read_values(bytes(sent.payload)) == [
            "onStatus",
            0.0,
            None,
            {"level": "error", "code": "NetStream.Publish.Denied", "description": "No."},
        ]

    def test_an_error_says_why(self) -> None:
        sent = commands.error(4, "NetConnection.Call.Failed", "No such method.")
        assert amf0.read_values(bytes(sent.payload))[:3] == ["_error", 4.0, None]


class TestFindMetadata:
    @pytest.mark.parametrize(
        "values",
        [
            ["@setDataFrame", "onMetaData", {"width": 320.0}],
            ["onMetaData", {"width": 320.0}],
            [0.0, 1.0, "@setDataFrame", "onMetaData", {"width": 320.0}],
            ["@setDataFrame", "onMetaData", None, EcmaArray(width=320.0), "more"],
        ],
    )
    def test_finds_the_values_wherever_they_stand(self, values: list[Value]) -> None:
        assert commands.find_metadata(values) == {"width": 320.0}

    @pytest.mark.parametrize("values", [[], ["onCuePoint", {}], [{"onMetaData": 1.0}], ["@clearDataFrame"]])
    def test_other_data_is_no_metadata(self, values: list[Value]) -> None:
        assert commands.find_metadata(values) is None

    @pytest.mark.parametrize("values", [["onMetaData"], [{}, "onMetaData", "text"]])
    def test_metadata_without_values_is_an_error(self, values: list[Value]) -> None:
        with pytest.raises(MessageError):
            commands.find_metadata(values)
