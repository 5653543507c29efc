from __future__ import annotations

import json

import pytest

from streamd.process.redaction import REDACTED, Redactor, escape_controls
from streamd.services.keys.stream_key import StreamKey

KEY = StreamKey("7k2m9xq4ct", "aB3" * 10 + "zZ")
TOKEN = 'the-"admin"-token'


class TestRedactor:
    @pytest.mark.parametrize(
        ("text", "redacted"),
        [
            (KEY.reveal(), f"sk_{KEY.key_id}_{REDACTED}"),
            (f"app/{KEY.reveal()}?x=y", f"app/sk_{KEY.key_id}_{REDACTED}?x=y"),
            (f"sk%5F{KEY.key_id}%5f{KEY.secret}", f"sk%5F{KEY.key_id}%5f{REDACTED}"),
            (f"sk_{KEY.secret}", f"sk_{REDACTED}"),
            ("rtmp://h:1935/live/whatever?a=b", f"rtmp://h:1935/live/{REDACTED}"),
            ("rtmps://h/live?token=x", f"rtmps://h/live?{REDACTED}"),
            ("rtmp://h/live", "rtmp://h/live"),
            ("Authorization: Bearer abc.DEF-9_~+/=", f"Authorization: Bearer {REDACTED}"),
            ("postgresql+asyncpg://u:p:w@h/d", f"postgresql+asyncpg://u:{REDACTED}@h/d"),
            ("http://localhost:8080/x", "http://localhost:8080/x"),
            ("disk_usage task_id=7 sk_7k2m9xq4ct", "disk_usage task_id=7 sk_7k2m9xq4ct"),
            (f"a {TOKEN} b", f"a {REDACTED} b"),
            (json.dumps({"t": TOKEN}), f'{{"t": "{REDACTED}"}}'),
        ],
    )
    def test_secrets_go_and_the_rest_stays(self, text: str, redacted: str) -> None:
        assert Redactor([TOKEN]).redact(text) == redacted


class TestEscapeControls:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("студия 東京", "студия 東京"),
            ("a\x1b[31mred", "a\\x1b[31mred"),
            ("a\u202eb", "a\\u202eb"),
            ("two\nlines", "two\\nlines"),
        ],
    )
    def test_what_steers_a_terminal_is_written_out(self, text: str, shown: str) -> None:
        assert escape_controls(text) == shown

    def test_what_is_asked_for_stays(self) -> None:
        assert escape_controls("two\nlines\x07", "\n") == "two\nlines\\x07"
