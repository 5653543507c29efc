from __future__ import annotations

import io
import json
import logging
import sys
import warnings

import pytest

from streamd.process.log import configure_logging
from streamd.services.keys.stream_key import StreamKey

KEY = StreamKey("7k2m9xq4ct", "aB3" * 10 + "zZ")
TOKEN = 'the-"admin"-token'


pytestmark = pytest.mark.usefixtures("logging_as_it_was")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def configured(form: str = "json", level: str = "info", stream: io.StringIO | None = None) -> io.StringIO:
    stream = stream or io.StringIO()
    configure_logging(level, form, secrets=[TOKEN], stream=stream)  # type: ignore[arg-type]  # a parameter of tests
    return stream


class TestSecrecy:
    """The stream name is the secret."""

    @pytest.mark.parametrize("form", ["console", "json"])
    @pytest.mark.parametrize("secret", [KEY.reveal(), f"Bearer {TOKEN}", "rtmp://h/live/hunter22hunter22"])
    def test_no_way_into_the_log_shows_a_secret(self, form: str, secret: str) -> None:
        stream = configured(form, "debug")
        log = logging.getLogger("streamd.anything")
        log.info("in the event %s", secret)
        log.info("field", extra={"value": secret, "nested": {"list": [secret]}, secret: 1})
        log.info("stack", stack_info=True, extra={"object": KEY})
        try:
            try:
                raise ValueError(secret)
            except ValueError as exc:
                local = secret  # noqa: F841  # a renderer of tracebacks may show local variables
                raise KeyError({"args": (secret,)}) from exc
        except KeyError:
            log.exception("in the exception")
        logging.getLogger("aiohttp.server").error("from a library: %r", secret)
        logging.getLogger(secret).warning("in the name")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn(f"in a warning {secret}", stacklevel=1)
        written = stream.getvalue()
        assert written.count("\n") >= 7
        for part in (KEY.secret, TOKEN, json.dumps(TOKEN)[1:-1], "hunter22"):
            assert part not in written


class TestRendering:
    def test_json_is_one_object_a_line_with_the_fields(self) -> None:
        stream = configured("json")
        logging.getLogger("streamd.doors.ingest").info("publish.accepted", extra={"key_id": "abc", "duration_s": 1.5})
        (line,) = stream.getvalue().splitlines()
        record = json.loads(line)
        assert record.pop("timestamp").endswith("Z")
        assert record == {
            "event": "publish.accepted",
            "level": "info",
            "logger": "streamd.doors.ingest",
            "key_id": "abc",
            "duration_s": 1.5,
        }

    def test_a_traceback_in_json_stays_on_its_line(self) -> None:
        stream = configured("json")
        try:
            raise ValueError("boom")
        except ValueError:
            logging.getLogger("streamd").exception("x.failed")
        assert "ValueError: boom" in json.loads(stream.getvalue())["exception"]

    def test_console_is_a_line_for_people(self) -> None:
        stream = configured("console")
        logging.getLogger("streamd.doors.ingest").info("publish.accepted", extra={"key_id": "abc"})
        assert "publish.accepted" in stream.getvalue()
        assert "key_id=abc" in stream.getvalue()
        assert "\x1b" not in stream.getvalue()

    def test_auto_is_console_with_colours_on_a_terminal_and_json_elsewhere(self) -> None:
        terminal = configured("auto", stream=Terminal())
        logging.getLogger("streamd").info("a.b")
        assert "\x1b" in terminal.getvalue()
        pipe = configured("auto")
        logging.getLogger("streamd").info("a.b")
        assert json.loads(pipe.getvalue())["event"] == "a.b"

    def test_a_line_break_from_outside_makes_no_second_line(self) -> None:
        for form in ("console", "json"):
            stream = configured(form)
            logging.getLogger("streamd").info("a.b", extra={"encoder": "x\n2026 [info] forged"})
            assert stream.getvalue().count("\n") == 1

    @pytest.mark.parametrize("form", ["console", "json"])
    def test_what_comes_from_outside_does_not_steer_the_terminal(self, form: str) -> None:
        stream = configured(form)
        steering = "\x1b[2J\x07\x9b31m\u202e"
        try:
            raise ValueError(steering)
        except ValueError:
            logging.getLogger("streamd").exception("x.failed", extra={"encoder": steering, "listed": [steering]})
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(stream.getvalue())
        assert "ValueError" in stream.getvalue()

    def test_the_level_holds_and_chatty_libraries_keep_quiet(self) -> None:
        stream = configured(level="info")
        logging.getLogger("streamd").debug("a.b")
        logging.getLogger("sqlalchemy.engine").info("SELECT")
        logging.getLogger("aiohttp.access").info("GET /")
        assert stream.getvalue() == ""

    def test_stderr_is_where_it_goes(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging()
        logging.getLogger("streamd").info("a.b")
        sys.stderr.flush()
        captured = capsys.readouterr()
        assert json.loads(captured.err)["event"] == "a.b"
        assert captured.out == ""
