"""What services answer where something is wrong, as obstore passes it on."""

from __future__ import annotations

import pytest

from streamd.errors import StorageError
from streamd.services.storage.faults import WORDS, StorageFault, failure, failure_of, fault_of

STATUS = "Generic S3 error: Error performing PUT http://h/b/k in 1ms - Server returned non-2xx status code: {}: {}"


def said(status: int, code: str = "") -> Exception:
    return Exception(STATUS.format(status, f"<Error><Code>{code}</Code></Error>" if code else ""))


@pytest.mark.parametrize(
    ("exc", "fault"),
    [
        (said(403, "SignatureDoesNotMatch"), StorageFault.WRONG_SECRET),
        (said(403, "InvalidAccessKeyId"), StorageFault.WRONG_SECRET),
        (said(403, "AuthenticationFailed"), StorageFault.WRONG_SECRET),
        (said(401), StorageFault.WRONG_SECRET),
        (said(404, "NoSuchBucket"), StorageFault.WRONG_BUCKET),
        # obstore has a class of its own for a 404.
        (FileNotFoundError("<Code>NoSuchBucket</Code>"), StorageFault.WRONG_BUCKET),
        (FileNotFoundError("not found: <Code>NoSuchKey</Code>"), StorageFault.MISSING),
        (FileNotFoundError("Object at location a not found"), StorageFault.MISSING),
        (said(301, "PermanentRedirect"), StorageFault.WRONG_REGION),
        (said(307), StorageFault.WRONG_REGION),
        (said(400, "AuthorizationHeaderMalformed"), StorageFault.WRONG_REGION),
        (said(403, "AccessDenied"), StorageFault.FORBIDDEN),
        (said(403), StorageFault.FORBIDDEN),
        (said(507), StorageFault.FULL),
        (said(403, "QuotaExceeded"), StorageFault.FULL),
        (said(503, "SlowDown"), StorageFault.BUSY),
        (said(500), StorageFault.BUSY),
        (said(429), StorageFault.BUSY),
        (said(400, "InvalidRequest"), StorageFault.OTHER),
        (TimeoutError(), StorageFault.TIMEOUT),
        (Exception("HTTP error\n\nDebug source: HttpError { kind: Timeout,"), StorageFault.TIMEOUT),
        (Exception("HTTP error\n\nDebug source: HttpError { kind: Connect,"), StorageFault.UNREACHABLE),
        (OSError("No space left on device"), StorageFault.FULL),
        (Exception("something else"), StorageFault.OTHER),
    ],
)
def test_faults_are_told_apart(exc: Exception, fault: StorageFault) -> None:
    assert fault_of(exc) is fault
    error = failure_of(exc)
    assert (error.reason, str(error)) == (fault, WORDS[fault])


def test_the_words_of_the_service_are_not_repeated() -> None:
    assert "AKIDEXAMPLE" not in str(failure_of(said(403, "SignatureDoesNotMatch AKIDEXAMPLE")))


def test_an_error_of_ours_stays_as_it_is() -> None:
    error = failure(StorageFault.DAMAGED, "in better words")
    assert failure_of(error) is error
    assert isinstance(error, StorageError)
    assert str(error) == "in better words"


def test_every_fault_has_words() -> None:
    assert set(WORDS) == set(StorageFault)
