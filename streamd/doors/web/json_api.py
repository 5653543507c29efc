"""JSON in and out for an API of ours: read and validate the request, write the answer, turn errors into problems.

Spec: RFC 8259 for what is read; RFC 9457 for errors.
"""

from __future__ import annotations

import http
import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeVar

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ValidationError

from streamd.doors.web.fields import media_type
from streamd.doors.web.headers import DOCUMENT_HEADERS
from streamd.doors.web.models.common import Problem
from streamd.doors.web.openapi import JSON_TYPE, PROBLEM_TYPE, Operation
from streamd.doors.web.refusals import forget_traceback, may_tell, route_of
from streamd.errors import (
    BlockError,
    CaseNotFoundError,
    CaseStateError,
    ClipNotFoundError,
    ClipRefusedError,
    ClipsBusyError,
    ClipTimesError,
    CodeRefusedError,
    CodesSpentError,
    KeyNotFoundError,
    KeyRequestError,
    KeyStateError,
    ModerationStateError,
    NodeNotFoundError,
    OperatorNotFoundError,
    OperatorRequestError,
    OperatorStateError,
    OrderError,
    OwnDecisionError,
    ReporterSuspendedError,
    ReportRefusedError,
    ReportsBusyError,
    RestreamError,
    RestreamTargetNotFoundError,
    SecretsError,
    StatementError,
    StoreUnavailableError,
    TakedownNotFoundError,
    TargetNotFoundError,
    TargetRefusedError,
    TooManyReportsError,
    UserNotFoundError,
)

log = logging.getLogger(__name__)

# When to ask a server again that is busy, seconds.
BUSY_S: Final = "5"

# Faults of a body or query that are listed one by one: more than any request of ours has fields.
FAULTS_MAX = 32

_Body = TypeVar("_Body", bound=BaseModel)


def served(operation: Operation) -> Handler:
    """The operation as aiohttp calls it: its input is read and validated before its handler sees it."""
    query, body, handler = operation.query, operation.body, operation.handler

    async def serve(request: web.Request) -> web.StreamResponse:
        if body is not None:
            return await handler(request, await read_body(request, body))
        if query is not None:
            return await handler(request, read_query(request, query))
        return await handler(request)

    return serve


class NotFoundError(Exception):
    """The thing that a path names does not exist; the text is for the asker."""


class ConflictError(Exception):
    """The state of the thing does not allow it; the text says why."""


class ForbiddenError(Exception):
    """The asker may not do this; the text says why."""


class UnavailableError(Exception):
    """The server cannot do this now; the text says why."""


class InvalidRequestError(Exception):
    """A request that does not validate.

    Args:
        status: HTTP status of the answer.
        detail: The fault.
        errors: Each fault with its field.
    """

    def __init__(self, status: int, detail: str, errors: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.errors = list(errors)


async def read_body(request: web.Request, model: type[_Body]) -> _Body:
    """The request's JSON as ``model``; no body at all is an empty object."""
    raw = await request.read()
    # A body of another type is not read: a browser may send text/plain to any site without asking first.
    if raw and media_type(request) != JSON_TYPE:
        raise InvalidRequestError(415, "send the body as application/json")
    try:
        return parse_json(raw or b"{}", model)
    except ValidationError as exc:
        if exc.error_count() == 1 and exc.errors()[0]["type"] == "json_invalid":
            raise InvalidRequestError(400, "the body is not JSON") from exc
        raise InvalidRequestError(422, "the body does not validate", _faults(exc)) from exc


def parse_json(raw: bytes, model: type[_Body]) -> _Body:
    """Read JSON as ``model``, if it has one meaning for every reader.

    RFC 8259 4: "The names within an object SHOULD be unique"; otherwise "many implementations report the last
    name/value pair only", and others the first: a proxy or a log would see another request than streamd.

    Raises:
        InvalidRequestError: It is no JSON, or an object in it gives a name twice.
        ValidationError: It does not fit the model.
    """
    try:
        # Numbers are read by the model: their digits could take long.
        json.loads(raw, object_pairs_hook=_check_names, parse_int=len, parse_float=len)
    except (ValueError, RecursionError) as exc:
        raise InvalidRequestError(400, "the body is not JSON") from exc
    return model.model_validate_json(raw)


def _check_names(pairs: list[tuple[str, object]]) -> None:
    names: set[str] = set()
    for name, _ in pairs:
        if name in names:
            raise InvalidRequestError(400, f"the body gives {_shown(name)} more than once")
        names.add(name)


def read_query(request: web.Request, model: type[_Body]) -> _Body:
    """The request's query as ``model``."""
    repeated = [name for name in request.query if len(request.query.getall(name)) > 1]
    if repeated:
        raise InvalidRequestError(422, f"the query gives {_shown(repeated[0])} more than once")
    try:
        return model.model_validate_strings(dict(request.query))
    except ValidationError as exc:
        raise InvalidRequestError(422, "the query does not validate", _faults(exc)) from exc


def _faults(exc: ValidationError) -> list[str]:
    # A body may have thousands of unknown names; listing them takes longer than finding them.
    if exc.error_count() > FAULTS_MAX:
        return [f"{exc.error_count()} faults"]
    # The value is not repeated: a stream key may stand in the wrong field.
    return [
        f"{'.'.join(_shown(part) for part in error['loc']) or 'body'}: {error['msg']}"
        for error in exc.errors(include_url=False, include_input=False)
    ]


def _shown(name: object) -> str:
    """A name from the request, if it is like ours: a stream key has capital letters, and is longer."""
    text = str(name)
    return text if re.fullmatch(r"[a-z0-9_]{1,24}", text) else "an unknown field"


def answer(
    model: BaseModel, *, status: int = 200, headers: Mapping[str, str] | None = None, with_defaults: bool = True
) -> web.Response:
    """Answer with a model as JSON; without defaults, fields that were not set are left out."""
    return web.Response(
        body=model.model_dump_json(exclude_unset=not with_defaults).encode(),
        status=status,
        content_type=JSON_TYPE,
        # These answers are secret, or true for a moment only.
        headers={hdrs.CACHE_CONTROL: "no-store", **(headers or {})},
    )


def answer_bytes(body: bytes) -> web.Response:
    """Answer with JSON that is written already; it is secret, or true for a moment only."""
    return web.Response(body=body, content_type=JSON_TYPE, headers={hdrs.CACHE_CONTROL: "no-store"})


def problem(
    status: int, detail: str, errors: Sequence[str] = (), headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer with an error.

    Args:
        status: HTTP status.
        detail: The fault of this request, and the remedy.
        errors: Each fault of the body or query, with the field it is in.
        headers: Of the answer.
    """
    content = Problem(title=http.HTTPStatus(status).phrase, status=status, detail=detail, errors=list(errors))
    return web.Response(
        body=content.model_dump_json(exclude_defaults=True).encode(),
        status=status,
        content_type=PROBLEM_TYPE,
        headers={hdrs.CACHE_CONTROL: "no-store", **(headers or {})},
    )


def raw_problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> bytes:
    """A problem as the bytes of an answer after which the connection closes, for faults without a request."""
    phrase = http.HTTPStatus(status).phrase
    body = Problem(title=phrase, status=status, detail=detail).model_dump_json(exclude_defaults=True).encode()
    fields = {
        hdrs.CONTENT_TYPE: PROBLEM_TYPE,
        hdrs.CONTENT_LENGTH: str(len(body)),
        hdrs.CACHE_CONTROL: "no-store",
        hdrs.CONNECTION: "close",
        hdrs.SERVER: "streamd",
        **DOCUMENT_HEADERS,
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} {phrase}\r\n{head}\r\n".encode() + body


# Errors whose text is for whoever asked, and the status that they have.
STATUS_OF: Final[Mapping[type[Exception], int]] = MappingProxyType(
    {
        **dict.fromkeys((CodeRefusedError, ForbiddenError, OwnDecisionError, ReporterSuspendedError), 403),
        **dict.fromkeys(
            (
                CaseNotFoundError,
                ClipNotFoundError,
                KeyNotFoundError,
                NotFoundError,
                OperatorNotFoundError,
                NodeNotFoundError,
                RestreamTargetNotFoundError,
                TakedownNotFoundError,
                TargetNotFoundError,
                UserNotFoundError,
            ),
            404,
        ),
        **dict.fromkeys(
            (
                CaseStateError,
                ClipRefusedError,
                ConflictError,
                KeyStateError,
                ModerationStateError,
                OperatorStateError,
            ),
            409,
        ),
        **dict.fromkeys(
            (ClipTimesError, KeyRequestError, OperatorRequestError, ReportRefusedError, TargetRefusedError), 422
        ),
        **dict.fromkeys((CodesSpentError, TooManyReportsError), 429),
        **dict.fromkeys((ReportsBusyError, SecretsError, UnavailableError), 503),
    }
)


def _retry_after(exc: Exception, status: int) -> dict[str, str]:
    """When to ask again, where that helps."""
    if isinstance(exc, CodesSpentError | TooManyReportsError):
        return {hdrs.RETRY_AFTER: str(math.ceil(exc.wait_s))}
    return {hdrs.RETRY_AFTER: BUSY_S} if status == 503 else {}


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error that has an answer into a problem, RFC 9457."""
    try:
        return await handler(request)
    except InvalidRequestError as exc:
        return problem(exc.status, str(exc), exc.errors)
    except (BlockError, OrderError, RestreamError, StatementError) as exc:
        return problem(422, "the body does not validate", [str(exc)])
    except ClipsBusyError:
        return problem(429, "many clips are being made: ask again", headers={hdrs.RETRY_AFTER: BUSY_S})
    except tuple(STATUS_OF) as exc:
        status = next(STATUS_OF[each] for each in type(exc).__mro__ if each in STATUS_OF)
        return problem(status, str(exc), headers=_retry_after(exc, status))
    except StoreUnavailableError as exc:
        if may_tell(request, "store"):
            log.warning("store.failed", extra={"path": route_of(request), "reason": str(exc)})
        return problem(503, "the key store is unavailable; see the server's log", headers={hdrs.RETRY_AFTER: "1"})
    except web.HTTPException as exc:
        # aiohttp's own: no such route, wrong method, body too large.
        forget_traceback(exc)
        kept = {name: value for name, value in exc.headers.items() if name == hdrs.ALLOW}
        return problem(exc.status, exc.reason, headers=kept)
