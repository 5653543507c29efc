"""What a database's errors mean for the operator, in one line."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

# What SQLite says, and what it means for the operator (sqlite3_errstr and its own messages).
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


def explain(exc: Exception) -> str:
    """One line that follows the store's name: what is wrong and what to do."""
    cause = exc.orig if isinstance(exc, DBAPIError) and exc.orig is not None else exc
    message = str(cause)
    for said, meaning in _EXPLANATIONS.items():
        if said in message:
            return meaning
    if isinstance(exc, PoolTimeoutError):
        return "is too busy to answer"
    if isinstance(exc, TimeoutError):
        return "does not answer"
    # The driver's first line says it; what follows quotes statements and sometimes values.
    first_line = message.partition("\n")[0] or type(cause).__name__
    return f"cannot be used: {first_line}"
