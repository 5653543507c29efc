"""Takes out of a text the things that must not be seen: secrets, and characters that steer a terminal.

It stands apart from the log, whose libraries a command that only prints does without.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

REDACTED = "[redacted]"

# The looks of a secret, wherever it stands. Each pattern keeps what it names in group 1.
_PATTERNS = [
    # A stream key or an operator's token: its id is public, the rest is not. Percent-encoded, as it may come in a URL,
    # too.
    re.compile(r"(\bs[ko](?:_|%5[Ff])[0-9A-Za-z]{1,32}(?:_|%5[Ff]))[0-9A-Za-z_]+"),
    # Something that begins like one and is as long, as when an underscore was lost in copying.
    re.compile(r"(\bs[ko](?:_|%5[Ff]))[0-9A-Za-z]{20,}"),
    # The text in the place of a stream key in an RTMP address, also where it is not one of ours.
    re.compile(r"(rtmpt?s?://[^/\s\"']+/[^/?\s\"']+[/?])[^\s\"']+"),
    re.compile(r"(\b[Bb]earer\s+)[0-9A-Za-z._~+/=-]+"),
    # user:password@ in a URL.
    re.compile(r"(\b[a-z][a-z0-9+.-]*://[^/\s:@\"']*:)[^/\s@\"']+(?=@)"),
]


class Redactor:
    """Takes secrets out of text.

    Args:
        secrets: Texts that are secret for what they are, beside what looks like a secret.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # As they are, and as they stand in a JSON string.
        forms = {form for secret in secrets for form in (secret, json.dumps(secret)[1:-1])}
        self._secrets = sorted(forms, key=len, reverse=True)

    def redact(self, text: str) -> str:
        """``text`` with every secret replaced by ``REDACTED``."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\1{REDACTED}", text)
        return text


def escape_controls(text: str, keep: str = "") -> str:
    """``text`` as a terminal may show it: what would steer the terminal, or turn text around, is written out.

    Names, labels and the words of errors come from publishers and clients, and are read by operators.

    Args:
        text: Text from outside.
        keep: Control characters that stay, such as a line's end.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)
