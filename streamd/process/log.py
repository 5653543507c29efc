"""Logging: standard library records, rendered by structlog for people or machines, without secrets.

Code logs events with fields (``log.info("publish.accepted", extra={"key_id": …})``) and knows
nothing of this module. Everything that is written passes ``Redactor`` as the last step, as finished
text: message, fields and tracebacks alike.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TextIO

from streamd.process.redaction import Redactor, escape_controls

# structlog takes rich, where it finds it, for tracebacks that print the values of local variables: ours do not, so
# rich and the languages that it colours stay where they are, a twentieth of a server's start.
_rich = sys.modules.pop("rich", None)
sys.modules["rich"] = None  # type: ignore[assignment]  # an import of it fails
try:
    import structlog
finally:
    del sys.modules["rich"]
    if _rich is not None:
        sys.modules["rich"] = _rich


def _escape_fields(_: object, __: str, fields: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {name: escape_controls(value) if isinstance(value, str) else value for name, value in fields.items()}


def _write_traceback(stream: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    # Not the pretty one: it prints the values of local variables, keys among them.
    plain = io.StringIO()
    structlog.dev.plain_traceback(plain, exc_info)
    stream.write(escape_controls(plain.getvalue(), keep="\n\t"))


class _RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    def __init__(self, redactor: Redactor, processors: Sequence[structlog.typing.Processor]) -> None:
        super().__init__(
            processors=processors,
            foreign_pre_chain=[
                # The name of the request that is being answered.
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
        )
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor.redact(super().format(record))


def choose_lines(lines: logging.Filter) -> Callable[[], None]:
    """Have what is logged from now on pass a filter; returns what undoes it."""
    root = logging.getLogger()
    before = (*root.handlers,)
    for handler in before:
        handler.addFilter(lines)

    def undo() -> None:
        # A reload may have put others in their place, which have the filter, too.
        for handler in (*before, *root.handlers):
            handler.removeFilter(lines)

    return undo


def configure_logging(
    level: str = "info",
    form: Literal["auto", "console", "json"] = "auto",
    *,
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
    lines: logging.Filter | None = None,
) -> None:
    """Send every log record of the process to ``stream``, rendered and redacted.

    Called once, by who owns the process.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        form: ``console`` for people, ``json`` for machines, ``auto``: console on a terminal, else json.
        secrets: Texts that must not be seen: the admin token, a password.
        stream: Where to write; stderr by default.
        lines: Says which lines are written; all where there is none.
    """
    stream = stream if stream is not None else sys.stderr
    is_terminal = stream.isatty()
    processors: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if form == "console" or (form == "auto" and is_terminal):
        processors.append(_escape_fields)
        processors.append(structlog.dev.ConsoleRenderer(colors=is_terminal, exception_formatter=_write_traceback))
    else:
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_RedactingFormatter(Redactor(secrets), processors))
    if lines is not None:
        handler.addFilter(lines)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    # Each says at INFO or DEBUG what our own events say better, or every statement with its values.
    for name in ("aiohttp.access", "aiosqlite", "alembic", "sqlalchemy", "libav"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
