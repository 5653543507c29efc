"""The meaning of a database's errors for the operator, in one line each."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

# SQLite's words (sqlite3_errstr and its own messages), and their meaning for the operator.
_EXPLANATIONS = {
    "unable to open database file": "cannot be opened: check that its directory exists and can be written to",
    "file is not a database": "is damaged or not a database: restore a backup, or move the file away to begin anew",
    "malformed": "is damaged: restore a backup, or move the file away to begin anew",
    "readonly": "cannot be written: check the file's owner and permissions",
    "locked": "is locked by another process",
    "disk is full": "cannot be written: the disk is full",
    # Said of a full disk, too, where there is no room for SQLite's -shm file: at a start (SQLITE_IOERR_SHMSIZE).
    "disk I/O error": "cannot be read or written: the disk is full or reports an error",
}


FILE_FAULTS = frozenset(_EXPLANATIONS[said] for said in ("unable to open database file", "readonly", "disk I/O error"))
"""The explanations of a file or directory that cannot be used."""


def explain(exc: Exception) -> str:
    """One line behind the store's name: the fault, and the remedy."""
    cause = exc.orig if isinstance(exc, DBAPIError) and exc.orig is not None else exc
    message = str(cause)
    for said, meaning in _EXPLANATIONS.items():
        if said in message:
            return meaning
    if isinstance(exc, PoolTimeoutError):
        return "is too busy to answer"
    if isinstance(exc, TimeoutError):
        return "does not answer"
    if isinstance(cause, OSError) and cause.strerror:
        # Of a socket: SQLite's errors are its own.
        return f"cannot be reached: {cause.strerror}"
    # The driver's first line names the fault; the lines behind it quote statements and sometimes values.
    first_line = message.partition("\n")[0] or type(cause).__name__
    return f"cannot be used: {first_line}"
