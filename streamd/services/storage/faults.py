"""Faults of a bucket, told apart by the answer of its service.

The service's own words are read and not repeated: they hold names of buckets, URLs, and on some services a part of what
was signed.
"""

from __future__ import annotations

import enum
import re
from typing import Final

from streamd.errors import StorageError


class StorageFault(enum.StrEnum):
    """The reason why the bucket does not do what it is asked; a label of metrics."""

    WRONG_SECRET = "wrong_secret"  # noqa: S105  # a word for people
    WRONG_BUCKET = "wrong_bucket"
    WRONG_REGION = "wrong_region"
    FORBIDDEN = "forbidden"
    FULL = "full"
    BUSY = "busy"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    MISSING = "missing"
    """There is no such object."""
    DAMAGED = "damaged"
    """The service said yes, and has or sends something else."""
    LOCAL_FILE = "local_file"
    """A file on this machine's disk cannot be read."""
    OTHER = "other"


WORDS: Final = {
    StorageFault.WRONG_SECRET: "the bucket's service does not take the access key or its secret",
    StorageFault.WRONG_BUCKET: "there is no such bucket",
    StorageFault.WRONG_REGION: "the bucket is in another region, or at another endpoint",
    StorageFault.FORBIDDEN: "the access key may not do this in the bucket",
    StorageFault.FULL: "the bucket is full",
    StorageFault.BUSY: "the bucket's service is overloaded or broken",
    StorageFault.UNREACHABLE: "the bucket's service cannot be reached",
    StorageFault.TIMEOUT: "the bucket's service does not answer in time",
    StorageFault.MISSING: "the bucket has no such object",
    StorageFault.DAMAGED: "the bucket's service says yes, and has or sends something else",
    StorageFault.LOCAL_FILE: "a file on the disk cannot be read",
    StorageFault.OTHER: "the bucket's service answers something unknown",
}

# Error codes of S3 (API Reference, "List of error codes"), MinIO, Ceph and Azure ("Common REST API error codes").
_BY_CODE: Final = {
    StorageFault.WRONG_SECRET: (
        "SignatureDoesNotMatch InvalidAccessKeyId InvalidToken ExpiredToken TokenRefreshRequired InvalidSecurity "
        "AuthenticationFailed InvalidAuthenticationInfo"
    ),
    StorageFault.WRONG_BUCKET: "NoSuchBucket InvalidBucketName ContainerNotFound ContainerBeingDeleted",
    StorageFault.WRONG_REGION: (
        "PermanentRedirect TemporaryRedirect Redirect AuthorizationHeaderMalformed IllegalLocationConstraintException"
    ),
    StorageFault.FORBIDDEN: (
        "AccessDenied AllAccessDisabled AccountProblem AuthorizationFailure AuthorizationPermissionMismatch "
        "InvalidObjectState MethodNotAllowed"
    ),
    StorageFault.FULL: "QuotaExceeded XMinioStorageFull InsufficientStorage EntityTooLarge TooManyBuckets",
    StorageFault.BUSY: (
        "SlowDown ServiceUnavailable InternalError Throttling RequestLimitExceeded OperationAborted Busy ServerBusy "
        "XMinioServerNotInitialized"
    ),
    StorageFault.TIMEOUT: "RequestTimeout OperationTimedOut",
    StorageFault.MISSING: "NoSuchKey BlobNotFound",
}
_FAULT_OF_CODE: Final = {code: fault for fault, codes in _BY_CODE.items() for code in codes.split()}
_CODE: Final = re.compile(r"<Code>(\w{1,64})</Code>")
_STATUS: Final = re.compile(r"status code: (\d{3})")
_KIND: Final = re.compile(r"kind: (\w{1,32})")
_FAULT_OF_STATUS: Final = {
    301: StorageFault.WRONG_REGION,
    302: StorageFault.WRONG_REGION,
    307: StorageFault.WRONG_REGION,
    308: StorageFault.WRONG_REGION,
    401: StorageFault.WRONG_SECRET,
    403: StorageFault.FORBIDDEN,
    404: StorageFault.MISSING,
    408: StorageFault.TIMEOUT,
    413: StorageFault.FULL,
    429: StorageFault.BUSY,
    507: StorageFault.FULL,
}
# Words of obstore about an answer that is none of the service's errors.
_ODD_ANSWERS: Final = {
    "Received redirect without LOCATION": StorageFault.WRONG_REGION,
    "Unable to extract metadata from headers": StorageFault.DAMAGED,
    "Header missing from response": StorageFault.DAMAGED,
    "invalid multipart response": StorageFault.DAMAGED,
    "non-partial response": StorageFault.DAMAGED,
    "invalid list response": StorageFault.DAMAGED,
}
_TEXT_MAX: Final = 65_536


def failure(fault: StorageFault, detail: str = "") -> StorageError:
    """An error for a fault, in its words or in better ones."""
    return StorageError(fault, detail or WORDS[fault])


def failure_of(exc: Exception) -> StorageError:
    """An error for what obstore raised, or waiting for it.

    obstore has one class for most faults; the status and the error code of the service stand in its text.
    """
    return exc if isinstance(exc, StorageError) else failure(fault_of(exc))


def fault_of(exc: Exception) -> StorageFault:
    """The kind of fault that an exception of obstore tells of."""
    if isinstance(exc, TimeoutError):
        return StorageFault.TIMEOUT
    text = str(exc)[:_TEXT_MAX]
    for code in _CODE.findall(text):
        if fault := _FAULT_OF_CODE.get(code):
            return fault
    for words, fault in _ODD_ANSWERS.items():
        if words in text:
            return fault
    if isinstance(exc, FileNotFoundError):
        return StorageFault.MISSING
    if status := _STATUS.search(text):
        number = int(status[1])
        if fault := _FAULT_OF_STATUS.get(number):
            return fault
        return StorageFault.BUSY if number >= 500 else StorageFault.OTHER
    kinds = set(_KIND.findall(text))
    if "Timeout" in kinds or "timed out" in text:
        return StorageFault.TIMEOUT
    if kinds & {"Connect", "Request", "Interrupted"} or "connection" in text.lower():
        return StorageFault.UNREACHABLE
    if isinstance(exc, OSError) or "No space left" in text or "StorageFull" in text:
        return StorageFault.FULL if "No space left" in text or "StorageFull" in text else StorageFault.OTHER
    return StorageFault.OTHER
